"""Index of video files: one row per file, readable or not, in one Parquet file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.errors import UserError
from jungle.parquet import read_parquet, write_parquet
from jungle.video.container.timestamps import NAME_PATTERN, compile_pattern, find_recording_time
from jungle.video.indexing.inspect_file import RULES, inspect, is_current, to_text
from jungle.video.indexing.journal import Journal, Row, run_tasks
from jungle.video.indexing.perceptual_hash import mark_copies
from jungle.wording import count, tally

PART = 4096  # rows gathered before they become a table

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "clip": pl.String,  # path relative to the root, with /
    "path": pl.String,
    "status": pl.String,  # ok, degraded, failed
    "reason": pl.String,
    "size": pl.Int64,  # bytes
    "mtime_ns": pl.Int64,
    "ctime_ns": pl.Int64,
    "hash": pl.String,  # BLAKE2b of 128 bits: equal for duplicates
    "time": pl.Datetime("us"),  # of recording, by the camera's clock
    "time_source": pl.String,  # container, name, file
    "created": pl.String,  # the container's own text
    "width": pl.Int32,
    "height": pl.Int32,
    "rotation": pl.Int32,
    "fps": pl.Float64,
    "frames": pl.Int64,
    "duration": pl.Float64,  # seconds
    "bit_rate": pl.Int64,
    "container": pl.String,
    "codec": pl.String,
    "pix_fmt": pl.String,
    "key_frames": pl.Int64,
    "open_gop": pl.Boolean,
    "audio": pl.Boolean,
    "brightness": pl.Float64,
    "saturation": pl.Float64,
    "infrared": pl.Boolean,
    "looks": pl.String,  # hash of the first frame: few bits differ between copies
    "rules": pl.Int64,  # version of reading: see `inspect_file.RULES`
    "copy_of": pl.String,  # the first clip, by name, with the same bytes or beginning
}

LATER = {"looks", "copy_of", "rules", "ctime_ns"}
"""Columns that indexes of earlier versions lack."""


def index_clips(
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    root: str | Path | None = None,
    workers: int = 1,
    timeout_s: float = 120,
    name_pattern: str = NAME_PATTERN,
    file_time: bool = False,
    keep: bool = False,
) -> pl.DataFrame:
    """Inspect every file and write the index.

    Killed at any moment, the same call resumes; called later, it inspects only new and changed files. Files
    that are no longer among `paths` leave the table, unless `keep` is set.

    Args:
        paths: video files.
        out: the Parquet file.
        root: folder that the clips are named relative to; by default the folder that holds all of them.
        workers: processes.
        timeout_s: seconds a file may take.
        name_pattern: regular expression that finds the time of recording in a file's name.
        file_time: use the file's own time if neither the container nor the name has one.
        keep: keep rows of files that are not among `paths`.

    Returns:
        The table as written: columns `SCHEMA`, one row per file, in the order of `clip`; unknown values are
        null.

    Raises:
        UsageError: `name_pattern` is wrong.
        UserError: two files would have the same name, a file lies outside the root, or `out` is not an index.
    """
    pattern = compile_pattern(name_pattern)
    out = Path(out)
    names = name_clips(paths, root)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = _open_journal(out)
    known = _read_known(out, journal)
    parts = [_select_unchanged(known, names)]
    done = set(parts[0]["clip"])
    if keep:
        parts.append(known.filter(~pl.col("clip").is_in(list(names))))
    if done:
        log.info(f"index: {len(done)} of {count(len(names), 'file')} known from before")
    left = [(name, path) for name, path in names.items() if name not in done]
    rows: list[Row] = []
    for row in run_tasks(
        journal,
        inspect,
        left,
        label="index",
        total=len(names),
        workers=workers,
        timeout_s=timeout_s,
        failed={"rules": RULES},
    ):
        rows.append(row)
        if len(rows) == PART:
            parts.append(_make_table(rows))
            rows = []
    table = pl.concat([*parts, _make_table(rows)]).sort("clip")
    table = _add_times(table, pattern, file_time)
    if left or len(table) != len(known) or journal.rows():
        table = mark_copies(table)
    write_parquet(table, out)
    journal.drop()
    return table


def list_indexed(out: Path) -> pl.Series:
    """Return the paths of the files in the index `out`, finished or not.

    Raises:
        UserError: `out` is not an index.
    """
    return _read_known(out, _open_journal(out))["path"]


def name_clips(paths: Iterable[str | Path], root: str | Path | None) -> dict[str, str]:
    """Map clip names, relative to the root, to absolute paths.

    Raises:
        UserError: there are no files, two would bear the same name, or one lies outside the root.
    """
    files = sorted({os.path.abspath(path) for path in paths})
    if not files:
        raise UserError("There are no video files to work on.")
    shared = os.path.commonpath([os.path.dirname(f) for f in files])
    base = Path(os.path.abspath(root)) if root is not None else Path(shared)
    names: dict[str, str] = {}
    for file in files:
        if not Path(file).is_relative_to(base):
            raise UserError(f"{file} lies outside the root {base}. Give a root that holds all files.")
        name = to_text(Path(file).relative_to(base).as_posix())
        if name in names:
            raise UserError(f"Two files would be called {name}. Rename one of them.")
        names[name] = file
    return names


def _make_table(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, strict=False)


def _open_journal(out: Path) -> Journal:
    return Journal(out, set(SCHEMA))


def _read_known(out: Path, journal: Journal) -> pl.DataFrame:
    """Return the rows of the table as last written, and of a run that did not end."""
    parts = [_make_table([])]
    if out.exists():
        try:
            found = read_parquet(out)
            found = found.with_columns(pl.lit(None).alias(name) for name in LATER - set(found.columns))
            old = len(found.filter(pl.col("rules").ne_missing(RULES)))
            found = found.filter(pl.col("rules") == RULES)
            parts.append(found.select(pl.col(k).cast(t) for k, t in SCHEMA.items()))
        except UserError as e:
            raise UserError(f"{out} is not an index of clips ({e}): choose another name") from None
        except pl.exceptions.PolarsError:
            raise UserError(f"{out} is not an index of clips: choose another name") from None
        if old:
            said = tally(old, "files were")
            log.info(f"index: {said} read by an earlier version, which saw less damage: they are read again")
    parts.append(_make_table([r for r in journal.rows() if r.get("rules") == RULES]))
    return pl.concat(parts).unique("clip", keep="last", maintain_order=True)


def _select_unchanged(known: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """Return the rows of named files that have not changed."""
    columns = ("clip", "path", "status", "size", "mtime_ns", "ctime_ns")
    kept = [
        (clip := row["clip"]) in names
        and to_text(names[clip]) == row["path"]
        and is_current(row, names[clip])
        for row in known.select(columns).iter_rows(named=True)
    ]
    return known.filter(pl.Series(kept, dtype=pl.Boolean))


def _add_times(table: pl.DataFrame, pattern: re.Pattern[str], file_time: bool) -> pl.DataFrame:
    """Return the table with times of recording, which depend on the settings of each call."""
    found = [
        find_recording_time(created or "", name.rsplit("/", 1)[-1], pattern, written if file_time else None)
        for created, name, written in table.select("created", "clip", "mtime_ns").iter_rows()
    ]
    return table.with_columns(
        pl.Series("time", [time for time, _ in found], pl.Datetime("us")),
        pl.Series("time_source", [source for _, source in found], pl.String),
    )
