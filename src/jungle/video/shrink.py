"""A smaller copy of a data set, with the same names and tables, so that a terabyte fits a laptop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from jungle.console import Progress, log
from jungle.errors import UserError, count
from jungle.files import replacing, write_json
from jungle.video.index import clip_names
from jungle.video.journal import Journal
from jungle.video.looking import stamp
from jungle.video.shrink_spec import Shrink
from jungle.video.shrinking import ShrinkTask
from jungle.video.workers import TaskFailed, WorkerPool

MEMORY_GB = 2.0
TABLES = (".csv", ".parquet", ".json")
SETTINGS, LIST = "shrink.json", "shrink.parquet"

SCHEMA: dict[str, Any] = {
    "clip": pl.String,
    "status": pl.String,  # ok, degraded, failed
    "reason": pl.String,
    "size": pl.Int64,  # bytes of the source
    "mtime_ns": pl.Int64,
    "size_after": pl.Int64,
    "frames": pl.Int64,
    "width": pl.Int32,
    "height": pl.Int32,
}


def shrink_clips(
    paths: Iterable[str | Path],
    root: str | Path,
    out: str | Path,
    spec: Shrink,
    *,
    workers: int = 1,
    timeout_s: float = 600,
) -> pl.DataFrame:
    """Write a smaller copy of every clip below `out`, under the name that it has below `root`.

    Sound is left out. Tables that lie at the top of the root (.csv, .parquet, .json) are copied, so that
    `data.root=<out>` is all that training on the copy takes. Killed at any moment, the same call goes on from
    where it was; called later, it copies only what is new, has changed, or failed before.

    Args:
        paths: video files.
        root: folder that holds them.
        out: folder for the copies.
        spec: how small.
        workers: processes.
        timeout_s: seconds a clip may take.

    Returns:
        One row a clip, in the order of `clip`: columns `SCHEMA`, also written to `<out>/shrink.parquet`.

    Raises:
        UserError: `out` lies in `root`, holds copies made in another way, or files that are no copies.
    """
    given, root, out = root, Path(root).resolve(), Path(out).resolve()
    if out == root or out.is_relative_to(root):
        raise UserError(f"shrink: {out} lies in {root}, whose files would be mixed with their copies.")
    names = clip_names(paths, given)  # a linked clip has the name of its link
    _settle(out, spec)
    journal = Journal(out / LIST, set(SCHEMA))
    rows = _done(out, journal, names)
    left = [(name, path) for name, path in names.items() if name not in rows]
    if rows:
        log.info(f"shrink: {len(rows)} of {count(len(names), 'clip')} from before")
    with (
        journal,
        Progress("shrink", len(names), done=len(rows)) as bar,
        WorkerPool(
            ShrinkTask(spec, str(out)), workers=workers, timeout_s=timeout_s, memory_gb=MEMORY_GB
        ) as pool,
    ):
        for (name, path), answer in pool.map(left, ahead=2 * max(1, workers)):
            failed = isinstance(answer, TaskFailed)
            facts = {"status": "failed", "reason": str(answer), **stamp(path)} if failed else answer[0]
            rows[name] = {"clip": name, **facts}
            journal.add(rows[name])
            bar.advance()
    table = pl.DataFrame([rows[name] for name in sorted(rows)], schema=SCHEMA, strict=False)
    for source in root.iterdir():
        if source.is_file() and source.suffix.lower() in TABLES and source.name not in (SETTINGS, LIST):
            with replacing(out / source.name) as part:
                shutil.copyfile(source, part)
    with replacing(out / LIST) as part:
        table.write_parquet(part)
    journal.drop()
    return table


def _settle(out: Path, spec: Shrink) -> None:
    """One folder holds copies of one kind."""
    settings = out / SETTINGS
    if settings.exists():
        try:
            before = json.loads(settings.read_text(encoding="utf-8"))
        except (ValueError, OSError):
            before = None
        if before != spec.to_dict():
            raise UserError(
                f"shrink: {out} holds copies made with {before}. Give another folder, or delete it."
            )
    elif out.is_dir() and any(not f.name.startswith(".") for f in out.iterdir()):
        # Copies and tables would replace files of the same names, and half written ones are deleted below.
        raise UserError(f"shrink: {out} holds other files. Give a new or an empty folder.")
    write_json(settings, spec.to_dict())
    # What a killed run left half written.
    for part in out.rglob(".*.part*"):
        part.unlink(missing_ok=True)


def _done(out: Path, journal: Journal, names: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Rows of clips whose copies are there and whose sources are as they were."""
    rows = journal.rows()
    if (out / LIST).exists():
        try:
            rows = pl.read_parquet(out / LIST).select(list(SCHEMA)).to_dicts() + rows
        except (pl.exceptions.PolarsError, OSError):
            log.warning(f"shrink: {out / LIST} cannot be read; all clips are copied anew")
    found = {}
    for row in rows:
        name, path = row["clip"], names.get(row["clip"])
        if path is None or row.get("status") == "failed":
            continue
        same = stamp(path) == {k: row.get(k) for k in ("size", "mtime_ns")}
        if same and stamp(str(out / name)).get("size") == row.get("size_after"):
            found[name] = row
    return found
