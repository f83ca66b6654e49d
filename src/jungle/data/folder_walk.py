"""Walks over folders, safe from links in circles and from folders that may not be entered."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jungle.console import log
from jungle.names import show

SYSTEM_FOLDERS = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found")
Kind = Literal["folder", "file", "lost", "other"]


class SkippedFiles:
    """Files that could not be read, reported in one line."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def add(self, path: str, why: str) -> None:
        """Note one."""
        self._count += 1
        self._first = self._first or f"{show(path)}: {why}"

    def say(self, what: str) -> None:
        """Log them, if there are any."""
        if self._count:
            many = "1 entry is" if self._count == 1 else f"{self._count} entries are"
            log.warning(
                f"{what}: {many} passed over ({'the first: ' if self._count > 1 else ''}{self._first})"
            )


def list_entries(folder: str, passed: SkippedFiles | None = None) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name: as far as it can be listed."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder or "/") as scan:
            for entry in scan:
                found.append(entry)  # what came before an error counts
    except (OSError, ValueError) as e:  # a NUL is no part of a name
        if passed is not None:
            passed.add(folder, _explain(e))
    return sorted(found, key=lambda entry: entry.name)


def classify_entry(entry: os.DirEntry[str]) -> Kind:
    """Return what an entry is, or leads to as a link: `lost` where it is not accessible or leads nowhere."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else "other" if os.path.exists(entry.path) else "lost"
    except OSError:  # a link in a circle, or into a folder that may not be entered
        return "lost"


def walk(
    folder: str | Path, passed: SkippedFiles, seen: set[tuple[int, int]] | None = None
) -> Iterator[tuple[os.DirEntry[str], Kind]]:
    """Yield every entry in a folder and below, by name, however deep; links are followed, loops are not.

    Hidden entries and those of operating systems are left out.

    Args:
        folder: where to begin.
        passed: takes what could not be listed.
        seen: folders that were entered, here or by others, and are not entered again.
    """
    seen = set() if seen is None else seen
    left: list[Iterator[os.DirEntry[str]]] = []

    def enter(path: str) -> bool:
        try:
            info = os.stat(path)
        except OSError as e:
            passed.add(path, _explain(e))
            return False
        if (info.st_dev, info.st_ino) in seen:
            return False
        seen.add((info.st_dev, info.st_ino))
        left.append(iter(list_entries(path, passed)))
        return True

    enter(os.fspath(folder))
    while left:
        entry = next(left[-1], None)
        if entry is None:
            left.pop()
        elif not (entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS):
            kind = classify_entry(entry)
            if kind != "folder" or enter(entry.path):
                yield entry, kind


def glob_paths(pattern: str) -> list[str]:
    """Return the paths that a glob pattern matches, sorted; `**` goes into no folder twice."""
    passed = SkippedFiles()
    found = _glob_parts(Path(pattern).parts, {}, passed)
    passed.say(show(pattern))
    return sorted(found)


def _glob_parts(
    parts: tuple[str, ...], seen: dict[int, set[tuple[int, int]]], passed: SkippedFiles
) -> set[str]:
    """Match the parts of a pattern; `seen` has the folders that each `**` entered, by the parts after it."""
    if "**" not in parts:
        return set(glob.glob(os.path.join(*parts)))
    at = parts.index("**")
    rest = parts[at + 1 :]
    if rest[:1] == ("**",):  # says the same again
        return _glob_parts(parts[:at] + rest, seen, passed)
    found: set[str] = set()
    entered = seen.setdefault(len(rest), set())
    for base in glob.glob(os.path.join(*parts[:at])) if at else [os.curdir]:
        before = len(entered)
        below = [entry.path for entry, kind in walk(base, passed, entered) if not rest or kind == "folder"]
        for place in (base, *below) if len(entered) > before else ():
            found |= _glob_parts((glob.escape(place), *rest), seen, passed) if rest else {place}
    return found


def _explain(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "cannot be looked at").lower()
