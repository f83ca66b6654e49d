"""Names of clips where there are several roots: a name is relative to the root that has its file."""

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle.data.formats.merging import name_tables
from jungle.data.paths import Names, locate, name_clips, resolve_files
from jungle.data.validation_report import Problems
from jungle.names import show


def place_names(names: pl.Series, roots: Sequence[Path], say: bool = True) -> Names:
    """Return ids and paths of the names `[N]` of a table, as `name_clips` does for one root.

    The path is that in the first root that has the file; in the first root where none has it.
    """
    each = [name_clips(names, root, say) for root in roots]
    if len(each) == 1:
        return each[0]
    clips, paths = [one.clip.to_list() for one in each], [one.path.to_list() for one in each]
    there = [locate(one.path).is_not_null().to_list() for one in each]
    chosen: list[int | None] = []
    for row in range(len(names)):
        possible = [i for i in range(len(each)) if clips[i][row] is not None]
        chosen.append(next((i for i in possible if there[i][row]), possible[0] if possible else None))
    refused = {row: each[0].refused[row] for row, i in enumerate(chosen) if i is None}
    return Names(
        pl.Series("clip", [None if i is None else clips[i][n] for n, i in enumerate(chosen)], pl.String),
        pl.Series("path", [None if i is None else paths[i][n] for n, i in enumerate(chosen)], pl.String),
        refused,
    )


def check_roots(clips: pl.DataFrame, roots: Sequence[Path], problems: Problems) -> None:
    """Add clips whose name several roots have to `problems`: the name would stand for two files.

    Args:
        clips: `clip` and `path`, a row for each time that one is named.
        roots: absolute.
        problems: takes them.
    """
    if len(roots) < 2 or not clips.height:
        return
    ids = clips["clip"].drop_nulls().unique(maintain_order=True)
    bases = [root.as_posix().rstrip("/") for root in roots]
    every = pl.concat(
        pl.DataFrame({"clip": ids, "path": f"{base}/" + ids, "root": [name] * len(ids)})
        for base, name in zip(bases, name_tables(roots), strict=True)
    )
    there = every.with_columns(file=locate(every["path"])).drop_nulls("file")
    there = there.with_columns(file=resolve_files(there["file"])).unique(
        ["clip", "file"], maintain_order=True
    )
    twice = there.filter(pl.col("clip").is_duplicated()).group_by("clip", maintain_order=True).agg("root")
    problems.add(
        "clips are in several folders of data.root",
        [f"{show(clip)} ({' and '.join(map(show, names))})" for clip, names in twice.head(5).iter_rows()],
        "Rename one, or give the folder above these, with names from it: "
        f"data.root={show(os.path.commonpath(bases))}",
        count=twice.height,
    )
