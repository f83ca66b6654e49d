"""From the name a table gives a clip to its id and its file.

A table may come from anybody, so a name can only reach files inside the root. The name alone decides: `..`
that leads out of the root and absolute names outside it are refused. A symbolic link in the root is followed
wherever it points, because a table cannot make one: users spread clips over disks by links.
"""

import itertools
import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from jungle.console import log
from jungle.data.folder_walk import classify_entry, list_entries
from jungle.data.text import Matches, clean_text, match_fitting, strip_quotes
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import is_video, strip_suffix
from jungle.files import expand_user
from jungle.names import show
from jungle.wording import tally

MAX_PATH = 4096  # letters; no file lies deeper
TRIED = 200  # names that are looked for on disk to see how much of their folders to cut off
FEW = 32  # clips of one folder up to which asking for each beats listing the folder
OUTSIDE = "is outside the root"
TWICE = "would be the clip of another name"
DRIVE = re.compile(r"[A-Za-z]:/")
# What needs a closer look than taking the name as it is; nearly no name does.
ODD = r"^[\"'«“‘=]|^file:|^/|^[A-Za-z]:|//|(^|/)\.\.?(/|$)|/$|[\x00-\x1f\x7f]"


@dataclass(frozen=True)
class Names:
    """The ids `[N]` of named clips (null where refused), their paths, and the reason for each refused row."""

    clip: pl.Series
    path: pl.Series
    refused: dict[int, str]


def make_absolute(path: str | Path) -> Path:
    """Return `path` from the root of the file system, `~` expanded, links kept.

    Raises:
        UserError: it begins with `~` and there is no such user.
    """
    return Path(os.path.abspath(expand_user(path)))


def explain_windows(text: str) -> str:
    """Say how to give a name of a Windows disk, as a sentence behind a message; empty for other names."""
    name = text.replace("\\", "/")
    if os.name == "nt" or not (DRIVE.match(name) or text.startswith("\\\\")):
        return ""
    if text.startswith("\\\\"):
        return f" {show(text)} is a name of Windows: mount that share, and give the folder where it is here."
    here = _find_mounted(name)
    if os.path.exists(here):
        return f" Here it is {show(here)}."
    return f" {show(text)} is a name of Windows: give the folder where that disk is here (WSL: {show(here)})."


def _find_mounted(name: str) -> str:
    """Return where Windows' own Linux (WSL) has a name such as `D:/clips`."""
    return f"/mnt/{name[0].lower()}/{name[2:].lstrip('/')}".rstrip("/")


def name_clips(names: pl.Series, root: Path, say: bool = True) -> Names:
    r"""Turn the names `[N]` of a table, relative to `root` or absolute inside it, into ids and paths.

    Backslashes are separators, as Windows writes them; `./a.mp4`, `b/../a.mp4` and `a.mp4` are one clip, and
    so is a name in quotes. Absolute names of another machine are those below the root with the same end,
    where the files are there: what all of them begin with is cut off, and that is logged.
    """
    root = make_absolute(root)
    base = root.as_posix().rstrip("/")
    clip = (
        names.cast(pl.String).str.strip_chars().str.replace_all("\\", "/", literal=True).str.normalize("NFC")
    )
    odd = clip.str.contains(ODD)
    refused = dict.fromkeys(clip.is_null().arg_true().to_list(), "no name")
    resolved: dict[str, str] = {}
    if odd.any():
        ids = clip.to_list()
        outside: dict[int, str] = {}
        for row in odd.fill_null(False).arg_true().to_list():
            name = _unquote(ids[row])
            ids[row], reason = _place_inside(name, base, resolved)
            if reason:
                refused[row] = reason
            if reason == OUTSIDE:
                outside[row] = name
        for row, (tail, reason) in _place_elsewhere(outside, base, say).items():
            if tail is not None:
                del refused[row]
                ids[row] = tail
            else:
                refused[row] = reason
        clip = pl.Series(ids, dtype=pl.String)
    return Names(clip.alias("clip"), (f"{base}/" + clip).alias("path"), refused)


def place_clips(names: Sequence[str], base: Path) -> list[str]:
    """Return the paths of the clips of a list: names relative to `base`, or absolute ones anywhere.

    As in `name_clips`, names of another machine are those below `base` with the same end, if they are there.
    """
    folder = base.as_posix().rstrip("/")
    plain = [_unquote(n.replace("\\", "/")) for n in names]
    outside: dict[int, str] = {}
    paths: list[str] = []
    for row, name in enumerate(plain):
        if DRIVE.match(name) and os.name != "nt":
            here = posixpath.normpath(_find_mounted(name))
            outside |= {} if os.path.exists(here) else {row: name}
            paths.append(here if os.path.exists(here) else name)
        elif name.startswith("/"):
            path = os.path.normpath(name)
            outside |= {} if os.path.exists(path) else {row: name}
            paths.append(path)
        else:
            paths.append(os.path.normpath(f"{folder}/{name}"))
    for row, (tail, _) in _place_elsewhere(outside, folder).items():
        if tail is not None:
            paths[row] = f"{folder}/{tail}"
    return paths


def _unquote(name: str) -> str:
    """Remove quotes around a name and `file://` before it."""
    name = clean_text(strip_quotes(name))
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").removeprefix("//").removeprefix("localhost"))
        name = name[1:] if DRIVE.match(name[1:]) else name
    return name


def _place_elsewhere(
    outside: dict[int, str], base: str, say: bool = True
) -> dict[int, tuple[str | None, str]]:
    """Turn names of another machine into names below the root: each row's id, or None and the reason.

    All names of one disk lose the same folders: those before the longest end that is there. A name that is a
    file of this machine is left alone, since it is that file that is meant.
    """
    disks: dict[str, list[int]] = {}
    for row, name in outside.items():
        disks.setdefault(_get_drive(name), []).append(row)
    found: dict[int, tuple[str | None, str]] = {}
    for disk, rows in disks.items():
        parts = {row: [p for p in posixpath.normpath(outside[row]).split("/") if p] for row in rows}
        levels = zip(*(p[:-1] for p in parts.values()), strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
        some = rows[:: max(len(rows) // TRIED, 1)]
        if not disk and any(os.path.exists(outside[row]) for row in some[:FEW]):
            continue
        hits = {}
        for cut in range(1 if disk else 0, shared + 1):  # 0: a name below the root with a slash before it
            ends = pl.Series([f"{base}/{'/'.join(parts[row][cut:])}" for row in some], dtype=pl.String)
            hits[cut] = int(locate(ends).is_not_null().sum())
        cut = max(hits, key=lambda c: hits[c], default=0)
        if not hits.get(cut):
            continue
        found |= {row: ("/".join(parts[row][cut:]), "") for row in rows}
        end = "/".join(parts[rows[0]][cut:])
        lead = outside[rows[0]].removesuffix(f"/{end}")
        if not say:
            continue
        missing = f"{show(lead)}, which is not on this machine" if lead else "/, where no such file is"
        log.warning(
            f"{tally(len(rows), 'names begin')} with {missing}: looked for in {show(base)}, as {show(end)}"
        )
    meant: dict[str, set[str]] = {}
    for row, (end, _) in found.items():
        meant.setdefault(end or "", set()).add(outside[row].casefold())
    twice = {end for end, named in meant.items() if len(named) > 1}
    return {r: (None, TWICE) if f[0] in twice else f for r, f in found.items()}


def _get_drive(name: str) -> str:
    """Return the drive or the share of a name of Windows; empty for others."""
    if DRIVE.match(name):
        return name[0].upper()
    return "/".join(name.split("/")[:4]) if name.startswith("//") else ""


def _place_inside(name: str, base: str, resolved: dict[str, str]) -> tuple[str | None, str]:
    """Return the id of an odd name, or None and why it is refused."""
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return None, "holds control characters"
    if name.endswith("/"):
        return None, "is a folder"
    if name.startswith("/") or DRIVE.match(name):
        path = posixpath.normpath("/" + name.lstrip("/") if name.startswith("/") else name)
        if path.startswith(f"{base}/"):
            return path[len(base) + 1 :], ""
        if DRIVE.match(name):
            here = posixpath.normpath(_find_mounted(name))
            return (here[len(base) + 1 :], "") if here.startswith(f"{base}/") else (None, OUTSIDE)
        # The root and the name may reach one folder by different links; each folder is resolved once.
        folder, _, last = path.rpartition("/")
        for key in (base, folder):
            if key not in resolved:
                resolved[key] = Path(os.path.realpath(key or "/")).as_posix().rstrip("/")
        real = f"{resolved[folder]}/{last}"
        if real.startswith(f"{resolved[base]}/"):
            return real[len(resolved[base]) + 1 :], ""
        return None, OUTSIDE
    path = posixpath.normpath(name)
    if path == ".." or path.startswith("../"):
        return None, "leads out of the root"
    return (path, "") if path not in (".", "") else (None, "no name")


def fold_name(name: str) -> str:
    """Fold a file name for comparison: accents composed, no capitals."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _fold_suffix(name: str) -> str:
    """Fold a file name for the closer comparison: accents composed, its suffix in lower case."""
    stem, dot, suffix = unicodedata.normalize("NFC", name).rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot else suffix


def find_fitting(name: str, there: dict[str, list[str]]) -> list[str]:
    """Find the names that `name` may mean: the one whose suffix alone differs, else those of one fold.

    Args:
        name: the name, which is not among them as it is.
        there: the names by their fold (`fold_name`).
    """
    alike = there.get(fold_name(name), [])
    close = [other for other in alike if _fold_suffix(other) == _fold_suffix(name)]
    return close or alike


def compose_ids(ids: Sequence[str]) -> list[str]:
    """Compose the accents of ids; leave them as they are where two would become one."""
    made = [unicodedata.normalize("NFC", i) for i in ids]
    return made if len(set(made)) == len(made) else list(ids)


def group_by_fold(names: Iterable[str]) -> dict[str, list[str]]:
    """Group names by their fold, each once, for `find_fitting`."""
    there: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        there.setdefault(fold_name(name), []).append(name)
    return there


def build_clip_matcher(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function that finds the known clips that a name may mean; the name is not one of them.

    They are those that differ by case or accents (`find_fitting`), else by the suffix of a video, which one
    of the two lacks: tables often have `lion_01` for `lion_01.mp4`.
    """
    there = group_by_fold(known)
    stems: dict[str, list[str]] = {}
    for names in there.values():
        for name in names:
            if is_video(name):
                stems.setdefault(fold_name(strip_suffix(name)), []).append(name)

    def fit(name: str) -> list[str]:
        bare = there.get(fold_name(strip_suffix(name)), []) if is_video(name) else []
        return find_fitting(name, there) or stems.get(fold_name(name), []) or bare

    return fit


def match_clips(names: Iterable[str], known: Sequence[str]) -> Matches:
    """Find each named clip among the known ones: exactly, else as `build_clip_matcher` does."""
    return match_fitting(names, set(known), build_clip_matcher(known))


def say_matches(found: Matches, where: object, problems: Problems) -> None:
    """Log the names that were found under another one, and add those that fit several clips to `problems`."""
    if found.guessed:
        pairs = [f"{show(a)} is {show(b)}" for a, b in list(found.guessed.items())[:5]]
        more = ", ..." if len(found.guessed) > 5 else ""
        log.warning(
            f"{show(where)}: {tally(len(found.guessed), 'names differ')} from the clip's by case, "
            f"accents or suffix: {', '.join(pairs)}{more}"
        )
    problems.add(
        f"names of {show(where)} fit several clips",
        [f"{show(name)} ({' or '.join(map(show, fit))})" for name, fit in found.ambiguous.items()],
        "Write each as the clip's name is written.",
    )


def locate(paths: pl.Series) -> pl.Series:
    """Return the paths `[N]` as they are on disk; null where there is no such file.

    Where the exact name is missing, the one that differs by case, by how its accents are composed or by the
    suffix of a video that the name lacks is taken; where several do, none is. Folders are listed once each,
    which for many clips is far quicker than asking for every file.
    """
    frame = pl.DataFrame({"path": paths.cast(pl.String)}).with_columns(
        folder=pl.col("path").str.extract(r"^(.*)/[^/]*$"), name=pl.col("path").str.extract(r"([^/]*)$")
    )
    wanted = frame.drop_nulls().unique("path").group_by("folder").agg("name")
    folders, names = wanted["folder"].to_list(), wanted["name"].to_list()
    # Threads because on a network disk the time goes in waiting.
    with ThreadPoolExecutor(16) as pool:
        real = list(pool.map(match_case, folders))
        found = list(pool.map(_match_folder, real, names))
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


def resolve_files(paths: pl.Series) -> pl.Series:
    """Follow the links of paths `[N]`: the same text for two names of one file.

    Each folder is resolved once, and of the files only the links.
    """
    folder = paths.str.extract(r"^(.*)/[^/]*$")
    wanted = pl.DataFrame({"path": paths, "folder": folder}).unique("path").group_by("folder").agg("path")
    with ThreadPoolExecutor(16) as pool:
        links = list(pool.map(_find_links, wanted["folder"].to_list(), wanted["path"].to_list()))
    real = {f: os.path.realpath(f or "/") for f in wanted["folder"]}
    file = folder.replace_strict(real, return_dtype=pl.String) + paths.str.extract(r"(/[^/]*)$")
    aims = {path: os.path.realpath(path) for found in links for path in found}
    return pl.select(
        pl.coalesce(paths.replace_strict(aims, default=None, return_dtype=pl.String), file)
    ).to_series()


def _find_links(folder: str, paths: list[str]) -> list[str]:
    """Return those of some paths in a folder that are links."""
    if len(paths) <= FEW:
        return [p for p in paths if os.path.islink(p)]
    links = {f"{folder}/{e.name}" for e in list_entries(folder) if e.is_symlink()}
    return [p for p in paths if p in links]


def find_candidates(path: str) -> list[str]:
    """Find the files that a path may mean which `locate` did not find: two or more."""
    folder, _, name = path.rpartition("/")
    try:
        return [
            f"{folder}/{f}" for f in build_clip_matcher(sorted(os.listdir(match_case(folder) or "/")))(name)
        ]
    except (OSError, ValueError):
        return []


def match_case(folder: str) -> str:
    """Return a folder or file as it is on disk, where its case or the form of its accents differs."""
    if not folder or len(folder) > MAX_PATH or os.path.exists(folder):
        return folder
    parent, _, name = folder.rpartition("/")
    parent = match_case(parent)
    try:
        alike = find_fitting(name, group_by_fold(os.listdir(parent or "/")))
    except (OSError, ValueError):
        return folder
    return f"{parent}/{alike[0]}" if len(alike) == 1 else folder


def _match_folder(folder: str, names: list[str]) -> list[str | None]:
    """Return the names as the folder has them, None for each that it lacks."""
    if len(names) <= FEW:
        exact = {n for n in names if os.path.isfile(f"{folder}/{n}")}
        if len(exact) == len(names):
            return list(names)
    else:
        exact = set()
    files = {e.name for e in list_entries(folder) if classify_entry(e) == "file"} | exact
    if all(n in files for n in names):
        return list(names)
    alike = build_clip_matcher(sorted(files))
    fit = [[n] if n in files else alike(n) for n in names]
    return [f[0] if len(f) == 1 else None for f in fit]  # two that fit: neither is taken
