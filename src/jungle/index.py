"""`jungle index`: what every video file is, in one table."""

from pathlib import Path
from typing import Any

import polars as pl

from jungle.config import IndexConfig, typed
from jungle.console import log, result
from jungle.cores import share_of_cores


def main(raw: Any) -> None:
    """Look into every file and write the table; goes on where it was stopped."""
    from jungle.data.formats import find_clips
    from jungle.video.index import index_clips
    from jungle.video.recorded import NAME_PATTERN

    cfg = typed(IndexConfig, raw)
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
        log.warning(f"{len(unreadable)} of {len(table)} files cannot be read; column reason says why")
    result(f"index: {cfg.out}")
