"""Index of the files of some clips, kept in the cache: each file is looked into once."""

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle.files import Lock
from jungle.video.indexing.index import SCHEMA, index_clips
from jungle.video.indexing.inspect_file import to_text

INDEX = "index.parquet"  # in the cache: of all files that were ever asked for


def read_file_index(paths: Sequence[str | None], cache: Path, workers: int, timeout_s: float) -> pl.DataFrame:
    """Return the index's row of each file, in their order; nulls where there is no file.

    Only files that are new or have changed since the last time are read; concurrent processes wait for each
    other.

    Args:
        paths: of the files.
        cache: folder of the index.
        workers: processes that read files.
        timeout_s: seconds that a file may take.
    """
    files = [str(Path(p).absolute()) if p and os.path.isfile(p) else None for p in paths]
    there = sorted({f for f in files if f})
    known = pl.DataFrame(schema=SCHEMA)
    if there:
        cache.mkdir(parents=True, exist_ok=True)
        with Lock(cache / f"{INDEX}.lock"):
            known = index_clips(
                there,
                cache / INDEX,
                root=Path(there[0]).anchor,
                workers=max(workers, 1),
                timeout_s=timeout_s,
                keep=True,
            )
    asked = pl.DataFrame({"path": [f and to_text(f) for f in files]}, schema={"path": pl.String})
    return asked.join(known.unique("path"), on="path", how="left", maintain_order="left")
