"""`jungle index`: what every video file is, in one table."""

from pathlib import Path

import polars as pl

from jungle.config import IndexConfig, parse_config
from jungle.console import log, print_result
from jungle.data.formats import find_clips
from jungle.errors import UsageError
from jungle.system import share_of_cores
from jungle.video.container.timestamps import NAME_PATTERN
from jungle.video.indexing.index import index_clips
from jungle.wording import count, format_seconds, tally


def main(raw: object) -> None:
    """Look into every file and write the table; goes on where it was stopped."""
    cfg = parse_config(IndexConfig, raw)
    if cfg.out.suffix != ".parquet":
        raise UsageError(f"out={cfg.out}: the index is a Parquet file: give it a name that ends in .parquet")
    found = find_clips(cfg.videos)
    root = cfg.videos if isinstance(cfg.videos, str) and Path(cfg.videos).is_dir() else None
    table = index_clips(
        [f.path for f in found],
        cfg.out,
        root=root,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        timeout_s=cfg.timeout_s,
        name_pattern=cfg.name_pattern or NAME_PATTERN,
        file_time=cfg.file_time,
    )
    unreadable = table.filter(pl.col("status") == "failed")
    if len(unreadable):
        log.warning(
            f"{len(unreadable)} of {count(len(table), 'file')} cannot be read; column reason says why"
        )
    log.info(_summary(table))
    print_result(f"index: {cfg.out}")


def _summary(table: pl.DataFrame) -> str:
    """One line: how many clips, hours, by night, copies, damaged."""
    read = table.filter(pl.col("status") != "failed")
    copies = table.filter(pl.col("copy_of") != pl.col("clip"))
    counts = {
        "by infrared": read["infrared"].fill_null(False).sum(),
        "that begin like another": len(copies),
        "damaged": (table["status"] == "degraded").sum(),
        "unreadable": len(table) - len(read),
    }
    said = ", ".join(f"{n} {what}" for what, n in counts.items())
    return f"{tally(len(table), 'clips')}, {format_seconds(float(read['duration'].sum() or 0))}; {said}"
