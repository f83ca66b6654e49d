"""From the name a table gives a clip to its id and its file.

Tables are other people's text, so a name can only reach files inside the root. This is judged by the name
alone: `..` that leads out of the root and absolute names outside it are refused. A symbolic link that lies
in the root is followed wherever it points, because a table cannot make one: it is how users spread clips
over disks.
"""

import os
import posixpath
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.data.walking import entries_of, kind_of
from jungle.files import expanded

MAX_PATH = 4096  # letters; no file lies deeper
FEW = 32  # clips of one folder up to which asking for each beats listing the folder
DRIVE = re.compile(r"[A-Za-z]:/")
# What needs a closer look than taking the name as it is; nearly no name does.
ODD = r"^/|^[A-Za-z]:|//|(^|/)\.\.?(/|$)|/$|[\x00-\x1f\x7f]"


@dataclass(frozen=True)
class Names:
    """The ids `[N]` of named clips (null where refused), their paths, and the reason for each refused row."""

    clip: pl.Series
    path: pl.Series
    refused: dict[int, str]


def absolute(path: str | Path) -> Path:
    """`path` from the root of the file system, `~` expanded, links kept."""
    return Path(os.path.abspath(expanded(path)))


def name_clips(names: pl.Series, root: Path) -> Names:
    r"""Turn the names `[N]` of a table, relative to `root` or absolute inside it, into ids and paths.

    Backslashes are separators, as Windows writes them; `./a.mp4`, `b/../a.mp4` and `a.mp4` are one clip.
    """
    root = absolute(root)
    base = root.as_posix().rstrip("/")
    clip = names.cast(pl.String).str.replace_all("\\", "/", literal=True)
    odd = clip.str.contains(ODD)
    refused = dict.fromkeys(clip.is_null().arg_true().to_list(), "no name")
    resolved: dict[str, str] = {}
    if odd.any():
        ids = clip.to_list()
        for row in odd.fill_null(False).arg_true().to_list():
            ids[row], reason = _inside(ids[row], base, resolved)
            if reason:
                refused[row] = reason
        clip = pl.Series(ids, dtype=pl.String)
    return Names(clip.alias("clip"), (f"{base}/" + clip).alias("path"), refused)


def _inside(name: str, base: str, resolved: dict[str, str]) -> tuple[str | None, str]:
    """The id of an odd name, or None and why it is refused."""
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return None, "holds control characters"
    if name.endswith("/"):
        return None, "is a folder"
    if name.startswith("/") or DRIVE.match(name):
        path = posixpath.normpath("/" + name.lstrip("/") if name.startswith("/") else name)
        if path.startswith(f"{base}/"):
            return path[len(base) + 1 :], ""
        # The root and the name may reach one folder by different links; that is asked once a folder.
        folder, _, last = path.rpartition("/")
        for key in (base, folder):
            if key not in resolved:
                resolved[key] = Path(os.path.realpath(key or "/")).as_posix().rstrip("/")
        real = f"{resolved[folder]}/{last}"
        if not DRIVE.match(name) and real.startswith(f"{resolved[base]}/"):
            return real[len(resolved[base]) + 1 :], ""
        return None, "is outside the root"
    path = posixpath.normpath(name)
    if path == ".." or path.startswith("../"):
        return None, "leads out of the root"
    return (path, "") if path != "." else (None, "no name")


def folded(name: str) -> str:
    """A file name as compared where the exact one is not there: accents composed, suffix in lower case."""
    stem, dot, suffix = name.rpartition(".")
    text = f"{stem}{dot}{suffix.lower()}" if dot else name
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def locate(paths: pl.Series) -> pl.Series:
    """The paths `[N]` as they are on disk; null where there is no such file.

    Where the exact name is missing, one that differs by the case of its suffix or by how its accents are
    composed is taken. Folders are listed once each, which for many clips is far quicker than asking for
    every file.
    """
    frame = pl.DataFrame({"path": paths.cast(pl.String)}).with_columns(
        folder=pl.col("path").str.extract(r"^(.*)/[^/]*$"), name=pl.col("path").str.extract(r"([^/]*)$")
    )
    wanted = frame.drop_nulls().unique("path").group_by("folder").agg("name")
    folders, names = wanted["folder"].to_list(), wanted["name"].to_list()
    # Threads because on a network disk the time goes in waiting.
    with ThreadPoolExecutor(16) as pool:
        real = list(pool.map(_folder_on_disk, folders))
        found = list(pool.map(_in_folder, real, names))
    there = pl.DataFrame(
        {
            "path": [f"{folder}/{n}" for folder, ns in zip(folders, names, strict=True) for n in ns],
            "on_disk": [
                f"{folder}/{f}" if f is not None else None
                for folder, fs in zip(real, found, strict=True)
                for f in fs
            ],
        },
        schema={"path": pl.String, "on_disk": pl.String},
    )
    joined = frame.select("path").join(there, on="path", how="left", maintain_order="left")
    return joined["on_disk"].alias(paths.name)


def _folder_on_disk(folder: str) -> str:
    """The folder as it is on disk, where its accents may be composed in another way."""
    if folder.isascii() or len(folder) > MAX_PATH or os.path.isdir(folder):
        return folder
    parent, _, name = folder.rpartition("/")
    parent = _folder_on_disk(parent)
    try:
        alike = [f for f in os.listdir(parent or "/") if folded(f) == folded(name)]
    except (OSError, ValueError):
        return folder
    return f"{parent}/{alike[0]}" if len(alike) == 1 else folder


def _in_folder(folder: str, names: list[str]) -> list[str | None]:
    """The names as the folder has them, None for each that it lacks."""
    if len(names) <= FEW:
        exact = {n for n in names if os.path.isfile(f"{folder}/{n}")}
        if len(exact) == len(names):
            return list(names)
    else:
        exact = set()
    files = {e.name for e in entries_of(folder) if kind_of(e) == "file"} | exact
    if all(n in files for n in names):
        return list(names)
    alike: dict[str, str | None] = {}
    for f in files:
        key = folded(f)
        alike[key] = None if key in alike else f  # two that fit: neither is taken
    return [n if n in files else alike.get(folded(n)) for n in names]
