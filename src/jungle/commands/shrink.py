"""`jungle shrink`: a smaller copy of a data set."""

import polars as pl

from jungle.config import ShrinkConfig, parse_config
from jungle.console import log, print_result
from jungle.data.formats import find_clips
from jungle.errors import SomeFailed
from jungle.system import share_of_cores
from jungle.video.transcode.clip import AS_IT_IS
from jungle.video.transcode.dataset import shrink_clips
from jungle.video.transcode.spec import Shrink
from jungle.wording import count


def main(raw: object) -> None:
    """Copy every clip of a folder smaller; goes on where it was stopped.

    Raises:
        SomeFailed: some clips could not be copied.
    """
    cfg = parse_config(ShrinkConfig, raw)
    spec = Shrink.parse(cfg.shrink, cfg.codec)
    workers = share_of_cores() if cfg.workers is None else cfg.workers
    paths = [f.path for f in find_clips(str(cfg.videos))]
    table = shrink_clips(paths, cfg.videos, cfg.out, spec, workers=workers, timeout_s=cfg.timeout_s)
    before, after = (float(table[c].sum() or 0) / 1e6 for c in ("size", "size_after"))
    log.info(f"{count(len(table), 'clip')}, {before:.1f} MB became {after:.1f} MB")
    same = int((table["reason"] == AS_IT_IS).sum())
    if same:
        log.info(
            f"copied as they are: {count(same, 'clip')}, no larger than {cfg.shrink} before; a copy in "
            f"{spec.codec} would be larger"
        )
    if after > before:
        codec = "" if spec.codec == "h264" else ", or codec=h264"
        log.warning(
            f"the copies are larger than the clips ({after:.1f} MB of {before:.1f} MB): take a smaller size "
            f"or frame rate{codec}"
        )
    of_damaged = int((table["status"] == "degraded").sum())
    if of_damaged:
        log.warning(
            f"copies of damaged clips: {of_damaged}, which hold what could be read; column reason of "
            f"{cfg.out}/shrink.parquet says what is missing"
        )
    print_result(f"copies: {cfg.out}")
    failed = table.filter(pl.col("status") == "failed")
    if len(failed):
        raise SomeFailed(
            f"{len(failed)} of {count(len(table), 'clip')} could not be copied: {cfg.out}/shrink.parquet "
            "says why"
        )
