"""Discovery of clips without labels: folders, files, globs and lists become clip ids and paths."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from jungle.console import log
from jungle.data.folder_walk import SkippedFiles, glob_paths, walk
from jungle.data.formats.headings import find_columns
from jungle.data.paths import compose_ids, explain_windows, locate, make_absolute, match_case, place_clips
from jungle.data.table_io import read_table, read_text
from jungle.data.text import clean_text, strip_quotes
from jungle.data.video_suffixes import OTHER_VIDEO_SUFFIXES, VIDEO_SUFFIXES, get_suffix, is_video
from jungle.errors import UserError
from jungle.files import describe_absent, expand_user
from jungle.names import show
from jungle.wording import tally

LISTS = (".txt", ".csv", ".tsv", ".parquet")
MAX_LIST_BYTES = 512 * 2**20


class FoundClip(NamedTuple):
    """A clip to be read."""

    clip: str
    """Unique id: its path relative to what was asked for, with `/`; bytes that are not UTF-8 are escaped."""
    path: str
    """Its file, for `open`."""


def find_clips(videos: str | Path | Sequence[str | Path], root: str | Path | None = None) -> list[FoundClip]:
    """Find the clips that `videos` means, in a stable order.

    Args:
        videos: a folder (searched whole; hidden files and folders are skipped), a video, a glob, a list of
            videos (.txt with a path a line, or a table with a column filepath), or several of these. Entries
            of a list are returned even where no such file exists, so that each can be answered; where none
            exists, the list is refused.
        root: the folder ids are relative to, and that a list's names are relative to. None takes the folder
            itself, or the list's own folder (for a list: the working folder where that is where its files
            are).

    Returns:
        Each clip once, however often it was named. Where two clips would share an id, both get their path
        relative to the folder that holds all clips.

    Raises:
        UserError: nothing is there, or nothing there is a video.
    """
    asked = [videos] if isinstance(videos, (str, Path)) else list(videos)
    if not asked:
        raise UserError("videos: an empty list; give a folder, a video, a glob or a list")
    clips: dict[str, str] = {}  # path -> id; a dict keeps the first of each path
    passed: set[str] = set()
    for one in asked:
        for path, base in _expand(one, root, passed):
            clips.setdefault(path, _make_relative(path, base))
    report_skipped(passed)
    if len(set(clips.values())) < len(clips):
        clips = _lengthen_ids(clips)
    ids = compose_ids([_decode_name(clip) for clip in clips.values()])
    return [FoundClip(clip, path) for clip, path in zip(ids, clips, strict=True)]


def walk_videos(folder: Path, passed: set[str], seen: set[tuple[int, int]] | None = None) -> Iterator[str]:
    """Yield paths of the videos in `folder` and below, by name; links are followed, loops are not.

    A link that leads nowhere, in a circle, or where one may not go is a clip where it has a video's name: it
    fails, it is not passed over. Pipes, devices and folders that cannot be entered are passed over, and
    that is said.

    Args:
        folder: where to look.
        passed: takes the paths of files that are passed over although they look like videos.
        seen: folders that were walked before, and are not walked again.
    """
    unread = SkippedFiles()
    for entry, kind in walk(folder, unread, seen):
        if kind in ("file", "lost") and is_video(entry.name):
            yield entry.path
        elif kind == "other" and is_video(entry.name):
            unread.add(entry.path, "not a file")
        elif kind == "lost" and os.path.islink(entry.path):
            unread.add(entry.path, "a link that cannot be followed")
        elif kind == "file" and get_suffix(entry.name) in OTHER_VIDEO_SUFFIXES:
            passed.add(entry.path)
    unread.say(show(folder))


def report_skipped(passed: set[str]) -> None:
    """Log in one line how many files were passed over that look like videos."""
    if passed:
        log.warning(
            f"passed over, since their suffixes are not looked for: {_count_suffixes(passed)}. Name them "
            "in a list (videos=list.txt) to read them all the same, or convert them, for example to .mp4"
        )


def _count_suffixes(passed: set[str]) -> str:
    """Count the files of each suffix, the most first."""
    counts = Counter(get_suffix(path) for path in passed)
    return ", ".join(f"{n} {suffix}" for suffix, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))


def _expand(one: str | Path, root: str | Path | None, passed: set[str]) -> list[tuple[str, str]]:
    """List what one entry of `videos` holds, as (path, the folder its id is relative to)."""
    text = os.fspath(one)
    path = make_absolute(text)
    if not path.exists():
        text = strip_quotes(text.strip())
        path = make_absolute(text)
    if not text:
        raise UserError("videos: an empty name; give a folder, a video, a glob or a list")
    if os.path.isdir(path):
        base = os.fspath(make_absolute(root)) if root is not None else os.fspath(path)
        found = [(p, base) for p in walk_videos(path, passed)]
        if not found:
            raise UserError(
                f"videos={show(text)}: no video in this folder. Suffixes looked for: {_list_suffixes()}."
                + (
                    f" There are {_count_suffixes(passed)}: name them in a list, or convert them."
                    if passed
                    else ""
                )
            )
        return found
    if os.path.isfile(path):
        if path.suffix.lower() in LISTS:
            return _read_list(path, root)
        if not is_video(path.name):
            raise UserError(
                f"videos={show(text)}: not a video ({_list_suffixes()}), nor a list (.txt, .csv), "
                "nor a folder."
            )
        return [(os.fspath(path), os.fspath(make_absolute(root) if root is not None else path.parent))]
    if glob.has_magic(text):
        return _expand_glob(text, root, passed)
    if os.path.islink(path) or os.path.lexists(path):
        raise UserError(f"videos={show(text)}: {_explain_unread(path)}.")
    if os.path.exists(there := match_case(os.fspath(path))):  # another case, or other accents
        log.warning(f"videos={show(text)}: this is {show(there)}")
        return _expand(there, root, passed)
    said = describe_absent(path, "file or folder")
    hint = explain_windows(text) or ("" if " There is " in said else f" Looked in {show(path.parent)}.")
    raise UserError(f"videos={show(text)}: {said}{hint}")


def _explain_unread(path: Path) -> str:
    try:
        os.stat(path)
    except FileNotFoundError:
        return "a link that leads nowhere"
    except OSError as e:
        return (e.strerror or "cannot be read").lower()
    return "neither a file nor a folder"


def _expand_glob(text: str, root: str | Path | None, passed: set[str]) -> list[tuple[str, str]]:
    pattern = os.fspath(expand_user(text))
    stem, suffix = os.path.splitext(pattern)
    if suffix.lower() in VIDEO_SUFFIXES:  # cameras write .MP4, people type .mp4
        pattern = stem + "." + "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in suffix[1:])
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    base = os.fspath(make_absolute(root) if root is not None else make_absolute(Path(*parts[:fixed])))
    found: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()
    for match in glob_paths(pattern):
        path = make_absolute(match)
        if path.name.startswith("."):
            continue
        if os.path.isdir(path):
            found += [(p, base) for p in walk_videos(path, passed, seen)]
        elif is_video(path.name):
            found.append((os.fspath(path), base))
        elif get_suffix(path.name) in OTHER_VIDEO_SUFFIXES:
            passed.add(os.fspath(path))
    if not found:
        raise UserError(
            f"videos={show(text)}: the pattern matches no video. Suffixes looked for: {_list_suffixes()}."
        )
    return found


def _read_list(path: Path, root: str | Path | None) -> list[tuple[str, str]]:
    """Read the entries of a list: the user wrote it, so it may name files anywhere."""
    if path.suffix.lower() == ".txt":
        if path.stat().st_size > MAX_LIST_BYTES:
            raise UserError(f"{path}: larger than {MAX_LIST_BYTES >> 20} MiB; split it")
        names = [clean_text(line) for line in read_text(path).splitlines()]
        names = [n for n in names if not n.startswith("#") or _names_video(n)]  # the others are remarks
    else:
        table = read_table(path)
        columns = find_columns(table, {}, [make_absolute(root) if root is not None else path.parent])
        names = columns.table.frame[columns.roles["filepath"]].to_list()
    if any(n and "\0" in n for n in names):
        raise UserError(f"{path}: a name holds a NUL; write a path a line, or a column filepath")
    if path.suffix.lower() != ".txt" and (empty := sum(not n for n in names)) and empty < len(names):
        log.warning(f"{path}: {tally(empty, 'rows name')} no clip: passed over")
    names = [n for n in names if n]
    if not names:
        raise UserError(f"{path}: names no clip; write a path a line, or a column filepath")
    bases = [make_absolute(root)] if root is not None else [path.parent, Path.cwd()]
    tried: list[tuple[int, str, list[str], list[str | None]]] = []
    for base in bases:
        paths = place_clips(names, base)
        there = locate(pl.Series(paths, dtype=pl.String)).to_list()
        tried.append((sum(t is not None for t in there), os.fspath(base), paths, there))
        if None not in there:
            break
    hits, base, paths, there = max(tried, key=lambda t: t[0])
    if not hits:
        raise UserError(_explain_absent(path, paths, bases))
    other = [(p, t) for p, t in zip(paths, there, strict=True) if t is not None and p != t]
    if other:
        log.warning(
            f"{path}: {tally(len(other), 'names differ')} from the file's by case, accents or suffix, as "
            f"{show(_make_relative(other[0][0], base))}: {show(_make_relative(other[0][1], base))}"
        )
    return [(t if t is not None else p, base) for p, t in zip(paths, there, strict=True)]


def _explain_absent(path: Path, paths: list[str], bases: list[Path]) -> str:
    """Say that no file of a list is there, where it was looked for, and what to do."""
    many = len(paths) > 1
    none = f"none of the {len(paths)} files that it names is" if many else "the file that it names is not"
    inside = [p for p in paths if p.startswith(os.fspath(bases[0]).rstrip("/\\") + os.sep)]
    if not inside:
        return f"{path}: {none} there{', as' if many else ':'} {show(paths[0])}: correct the names"
    places = [f"{show(bases[0])}, the list's folder"]
    if bases[1:] and bases[1] != bases[0]:
        places.append(f"in {show(bases[1])}, the working folder")
    return (
        f"{path}: {none} in {' or '.join(places)}{', as' if many else ':'} "
        f"{show(_make_relative(inside[0], os.fspath(bases[0])))}: give videos=<the clips' folder>, or copy "
        "the list into that folder"
    )


def _names_video(line: str) -> bool:
    """Return whether a line that begins with `#` is a name: a remark has a blank behind the sign."""
    return is_video(line) and not line.startswith("# ")


def _make_relative(path: str, base: str) -> str:
    inside = base.rstrip("/\\") + os.sep
    return (path[len(inside) :] if path.startswith(inside) else path.lstrip("/\\")).replace(os.sep, "/")


def _lengthen_ids(clips: dict[str, str]) -> dict[str, str]:
    """Make ids that are not unique relative to the folder that holds all clips."""
    common = os.path.commonpath([os.path.dirname(p) for p in clips])
    ids = list(clips.values())
    shared = {i for i in set(ids) if ids.count(i) > 1} if len(ids) < 1000 else _find_repeated(ids)
    longer = {p: _make_relative(p, common) if i in shared else i for p, i in clips.items()}
    if len(set(longer.values())) < len(longer):  # a long id met another's short one: all are made long
        longer = {p: _make_relative(p, common) for p in clips}
    return longer


def _find_repeated(ids: list[str]) -> set[str]:
    once: set[str] = set()
    return {i for i in ids if i in once or once.add(i)}


def _decode_name(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _list_suffixes() -> str:
    return ", ".join(sorted(s[1:] for s in VIDEO_SUFFIXES))
