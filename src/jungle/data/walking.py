"""Folders of other people, walked to their end though links lead in circles and some may not be entered."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jungle.console import log
from jungle.names import shown

SYSTEM_FOLDERS = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir")
Kind = Literal["folder", "file", "lost", "other"]


class PassedOver:
    """What could not be looked at, said in one line however much it is."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def add(self, path: str, why: str) -> None:
        """Note one."""
        self._count += 1
        self._first = self._first or f"{shown(path)}: {why}"

    def say(self, what: str) -> None:
        """Say it, where there was any, as `3 of the entries in /clips ...`."""
        if self._count:
            many = "1 entry is" if self._count == 1 else f"{self._count} entries are"
            log.warning(
                f"{what}: {many} passed over ({'the first: ' if self._count > 1 else ''}{self._first})"
            )


def entries_of(folder: str, passed: PassedOver | None = None) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name: as far as it can be listed."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder or "/") as scan:
            for entry in scan:
                found.append(entry)  # what came before an error counts
    except OSError as e:
        if passed is not None:
            passed.add(folder, (e.strerror or "cannot be listed").lower())
    return sorted(found, key=lambda entry: entry.name)


def kind_of(entry: os.DirEntry[str]) -> Kind:
    """Return what an entry is, or leads to as a link: `lost` where it cannot be asked or leads nowhere."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else "other" if os.path.exists(entry.path) else "lost"
    except OSError:  # a link in a circle, or into a folder that may not be entered
        return "lost"


def walk(folder: str | Path, passed: PassedOver) -> Iterator[tuple[os.DirEntry[str], Kind]]:
    """Yield every entry in a folder and below, by name; links are followed, loops are not.

    Hidden entries and those of operating systems are left out. However deep the folders lie.
    """
    seen: set[tuple[int, int]] = set()
    left: list[Iterator[os.DirEntry[str]]] = []

    def enter(path: str) -> None:
        try:
            info = os.stat(path)
        except OSError as e:
            passed.add(path, (e.strerror or "cannot be looked at").lower())
            return
        if (info.st_dev, info.st_ino) not in seen:
            seen.add((info.st_dev, info.st_ino))
            left.append(iter(entries_of(path, passed)))

    enter(os.fspath(folder))
    while left:
        entry = next(left[-1], None)
        if entry is None:
            left.pop()
        elif not (entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS):
            kind = kind_of(entry)
            yield entry, kind
            if kind == "folder":
                enter(entry.path)


def matches(pattern: str) -> list[str]:
    """Return the paths that a glob pattern matches, sorted; `**` goes into no folder twice."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(glob.glob(pattern))
    at = parts.index("**")
    rest = parts[at + 1 :]
    found: set[str] = set()
    passed = PassedOver()
    for base in glob.glob(os.path.join(*parts[:at])) if at else [os.curdir]:
        for folder in (base, *(e.path for e, kind in walk(base, passed) if kind == "folder")):
            found.update(matches(os.path.join(glob.escape(folder), *rest)) if rest else [folder])
            if not rest:
                found.update(e.path for e in entries_of(folder) if not e.name.startswith("."))
    passed.say(shown(pattern))
    return sorted(found)
