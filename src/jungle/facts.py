"""What is known of clips besides their pictures, for models that see metadata: from an index."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.config import TrainConfig
from jungle.console import timed
from jungle.data.clips import Clips
from jungle.data.metadata import SEEN_OF, facts_of
from jungle.files import Lock

INDEX = "index.parquet"  # in `paths.cache`: of all files that were ever asked for
COLUMNS = {**dict.fromkeys(SEEN_OF, pl.Float64()), "time": pl.Datetime("us")}  # of an index


def of_training(cfg: TrainConfig, clips: Clips) -> np.ndarray | None:
    """Return the facts of all clips if a config asks for them."""
    asked = cfg.data.metadata
    if asked is None:
        return None
    from jungle.inputs import workers_of

    return of_clips(
        clips.table["clip"].to_list(),
        clips.table["path"].to_list(),
        None if asked == "index" else Path(asked),
        cfg.paths.cache,
        "data.metadata",
        workers_of(cfg),
        cfg.data.timeout_s,
    )


def of_clips(
    names: Sequence[str],
    paths: Sequence[str | None],
    index: Path | None,
    cache: Path,
    setting: str,
    workers: int,
    timeout_s: float,
) -> np.ndarray:
    """Return the facts of clips, float32 `[N, F]` in their order; all nan where nothing is known.

    Args:
        names: of the clips, as an index has them.
        paths: of their files; None or a file that is not there: nothing is known.
        index: what `jungle index` wrote, matched by name; None: the files are looked into, those that are
            new or have changed since the last time.
        cache: folder that keeps what was found in files.
        setting: which setting names the index, for messages.
        workers: processes that look into files.
        timeout_s: seconds that a file may take.

    Raises:
        UserError: the index cannot be read, or is of other clips.
    """
    if index is None:
        return _looked_into(paths, cache, max(workers, 1), timeout_s)
    from jungle.data.indexed import rows_of

    return facts_of(rows_of(names, index, COLUMNS, setting, "what it tells is unknown of them"))


def _looked_into(paths: Sequence[str | None], cache: Path, workers: int, timeout_s: float) -> np.ndarray:
    """Keep one index of all files that were ever asked for; processes at once wait for each other."""
    from jungle.video.index import as_text, index_clips

    files = [str(Path(p).absolute()) if p and os.path.isfile(p) else None for p in paths]
    there = sorted({f for f in files if f})
    known = pl.DataFrame(schema={"path": pl.String, **COLUMNS})
    if there:
        cache.mkdir(parents=True, exist_ok=True)
        with timed("metadata"), Lock(cache / f"{INDEX}.lock"):
            known = index_clips(
                there,
                cache / INDEX,
                root=Path(there[0]).anchor,
                workers=workers,
                timeout_s=timeout_s,
                keep=True,
            )
    asked = pl.DataFrame({"path": [f and as_text(f) for f in files]}, schema={"path": pl.String})
    return facts_of(asked.join(known.unique("path"), on="path", how="left", maintain_order="left"))
