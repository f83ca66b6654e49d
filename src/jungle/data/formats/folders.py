"""One folder a class; the folders train, val and test may stand above the classes."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import Clips, check_class_names
from jungle.data.folder_walk import SYSTEM_FOLDERS, classify_entry, list_entries
from jungle.data.formats.columns import SPLIT_NAMES, add_broken, check_class_count, unify_sites
from jungle.data.formats.discover import report_skipped, walk_videos
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.merging import join_folders, name_tables
from jungle.data.formats.roots import check_roots
from jungle.data.formats.sites import join_sites
from jungle.data.paths import compose_ids
from jungle.data.text import clean_name, is_ambiguous, is_missing, match_names
from jungle.data.validation_report import Problems, list_some
from jungle.errors import UserError
from jungle.files import describe_absent
from jungle.names import show
from jungle.wording import tally


def load_folders(source: LabelSource, problems: Problems) -> Clips:
    """Read `root/<class>/*.mp4` or, where every folder of `root` is a split, `root/<split>/<class>/*.mp4`.

    Deeper folders belong to their class. A folder `unlabelled`, and videos that lie in `test` without a class
    folder, are clips without labels. Every video suffix in any case counts, hidden files do not.

    Raises:
        UserError: there is no such folder, or no video in it.
    """
    return load_roots(source, problems, _read_folder)


def load_roots(
    source: LabelSource, problems: Problems, read: Callable[[Path, LabelSource, Problems], Clips]
) -> Clips:
    """Read each folder of `source.root`, join their clips, and add the sites.

    Args:
        source: the files.
        problems: collects faults; those of several folders are named by the folder.
        read: reads one folder; its clips have the classes that are named in it.

    Raises:
        UserError: a folder is not there or cannot be read.
    """
    roots = source.folders()
    parts = []
    for root, name in zip(roots, name_tables(roots), strict=True):
        if not root.is_dir():
            raise UserError(f"data.root={root}: {describe_absent(root, 'folder')}")
        own = problems if len(roots) == 1 else Problems()
        parts.append(read(root, source, own))
        if own is not problems:
            problems.absorb(own, name)
    named = None if source.classes is None else [clean_name(c) for c in source.classes]
    clips = unify_sites(parts[0] if len(parts) == 1 else join_folders(parts, named))
    check_roots(clips.table, roots, problems)
    return clips if source.sites is None else join_sites(clips, source.sites, roots, problems)


def _read_folder(root: Path, source: LabelSource, problems: Problems) -> Clips:
    classes = source.classes
    top = _list_folders(root)
    splits = {n: SPLIT_NAMES[clean_name(n).lower()] for n in top if clean_name(n).lower() in SPLIT_NAMES}
    above = bool(top) and len(splits) == len(top) and set(splits.values()) - {"unlabelled"} != set()
    if not above and (mixed := [n for n, s in splits.items() if s != "unlabelled"]):
        raise UserError(
            f"data.root={root}: folders of splits ({', '.join(mixed)}) are mixed with folders of classes "
            f"({', '.join([n for n in top if n not in splits][:5])}). Put every class folder under a "
            "split, or none."
        )
    found = (
        {name for split in top for name in _list_folders(root / split)} if above else set(top) - set(splits)
    )
    named = {clean_name(n) for n in found if _is_utf8(n)}
    order = [clean_name(c) for c in classes] if classes is not None else sorted(named)
    check_class_count(root, "folders", len(order))
    check_class_names(order)
    called = _assign_classes(found, order, classes is not None, problems)
    number = {name: order.index(of) for name, of in called.items()}
    ids: list[str] = []
    labels: list[int] = []  # -1: unlabelled
    places: list[str] = []
    stray: list[str] = []
    misnamed: list[str] = []
    below: dict[str, set[str]] = {}  # folders below those of classes, and the classes that have them
    prefix = len(os.fspath(root).rstrip(os.sep)) + 1
    passed: set[str] = set()
    for path in walk_videos(root, passed):
        clip = path[prefix:].replace(os.sep, "/")
        folders = clip.split("/")[:-1]
        if not _is_utf8(path):
            misnamed.append(os.fsencode(clip).decode("utf-8", "backslashreplace"))
            continue
        split = splits.get(folders[0], "") if folders else ""
        name = (folders[1] if len(folders) > 1 else "") if above else (folders[0] if folders else "")
        if split == "unlabelled" or (not name and split == "test"):
            labels.append(-1)
        elif name in number:
            labels.append(number[name])
        else:
            if not name:
                stray.append(clip)
            continue
        ids.append(clip)
        places.append(split)
        inner = folders[1 + above : 2 + above]
        if inner and name in number:
            below.setdefault(inner[0], set()).add(name)
    report_skipped(passed)
    _say_below(root, below)
    problems.add("videos lie in no class folder", stray, "Move them to data.root/<class>/.")
    problems.add("videos have names that are not UTF-8", misnamed, "Rename them, for example with convmv.")
    if not ids and not problems:
        raise UserError(f"data.root={root}: no video below it. Put clips in data.root/<class>/.")
    label = np.asarray(labels, np.int32)
    known = pl.Series(label >= 0)
    base = root.as_posix().rstrip("/")
    frame = pl.DataFrame(
        {"clip": compose_ids(ids), "path": [f"{base}/{i}" for i in ids]},
        schema={"clip": pl.String, "path": pl.String},
    )
    if above or "unlabelled" in places:
        frame = frame.with_columns(pl.Series("split", [p or None for p in places], dtype=pl.String))
    onehot = [pl.Series(name, label == i).cast(pl.Int8) for i, name in enumerate(order)]
    frame = frame.with_columns(
        pl.when(known).then(column).otherwise(None).alias(column.name) for column in onehot
    )
    return Clips(frame, tuple(order))


def _assign_classes(folders: set[str], order: list[str], given: bool, problems: Problems) -> dict[str, str]:
    """Return the class of each folder; add unclear ones to `problems`."""
    names = sorted(n for n in folders if _is_utf8(n))
    if given:
        found = match_names(names, order)
        problems.add(
            "folders are not in data.classes",
            [*found.unknown, *found.ambiguous],
            "Rename them, or add them to data.classes.",
        )
        called = found.known
    else:
        called = {n: clean_name(n) for n in names}
        problems.add(
            "folders have a name that stands for nothing",
            [n for n in names if is_missing(clean_name(n)) or is_ambiguous(clean_name(n))],
            "Call a folder of clips that nobody has looked at unlabelled, one of clips without an animal "
            "blank, or name the classes: data.classes=[...].",
        )
        fix = "Rename them, or name the classes: data.classes=[...]."
        add_broken(problems, "folders", names, fix)
    problems.know(
        pl.DataFrame(schema={"clip": pl.String, "line": pl.Int64}),
        {c: f"folder {show(n)!r}" for n, c in called.items()},
    )
    merged = [c for c in dict.fromkeys(called.values()) if sum(1 for v in called.values() if v == c) > 1]
    for name in merged:
        several = [n for n, c in called.items() if c == name]
        log.warning(f"{tally(len(several), 'folders are')} of the class {show(name)}: {several}")
    for name, other in called.items():
        if given and clean_name(name) != other:
            log.warning(f"folder {show(name)!r} is the class {show(other)!r} of data.classes")
    return called


def _say_below(root: Path, below: Mapping[str, set[str]]) -> None:
    """Say which folders below those of classes are no labels: what lies there may be meant as one."""
    if not below:
        return
    shared = sorted(below, key=lambda name: (-len(below[name]), name))
    theirs = list_some(sorted(set().union(*below.values())))
    log.info(f"{root}: labels are the folders {theirs}; the folders below them are not: {list_some(shared)}")


def _list_folders(root: Path) -> list[str]:
    names = [e.name for e in list_entries(os.fspath(root)) if classify_entry(e) == "folder"]
    return [n for n in names if not n.startswith(".") and n not in SYSTEM_FOLDERS]


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
