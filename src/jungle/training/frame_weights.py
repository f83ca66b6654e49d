"""Frames that are drawn more often in training, since a trained model has seen an animal in them.

After the first place of Pri-matrix Factorization (2017): a clip's label is of the whole clip, and most frames
of many clips are empty. What a first model says of each frame alone says which ones later models see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle.config import ClipsConfig
from jungle.console import log
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.text import is_blank
from jungle.data.validation import BLANK
from jungle.ensemble.frame_statistics import read_frames
from jungle.ensemble.members import find_runs
from jungle.errors import UsageError, UserError
from jungle.video.types import Likely
from jungle.wording import count

LEAST = 0.05  # weight of a frame that is certainly empty: it is seen now and then


class Known(Sequence[Likely]):
    """`Frames.likely` of each clip, made when asked for: as tuples those of 200,000 clips would fill memory.

    Args:
        clips: their names.
        found: by name, float32 `[T, 2]`; a clip that is not there has nothing.
    """

    def __init__(self, clips: Sequence[str], found: dict[str, np.ndarray]) -> None:
        self._rows = [found.get(name) for name in clips]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: Any) -> Any:
        rows = self._rows[number]
        return () if rows is None else tuple(map(tuple, rows.tolist()))


def likely_of(cfg: ClipsConfig, clips: Clips) -> Sequence[Likely] | None:
    """Return `Frames.likely` of each clip as `frames.weights` asks, empty where nothing is known of it.

    Raises:
        UsageError: no run lies there, it has no answers to frames, or to no training clip.
        UserError: a table of them is damaged.
    """
    asked = cfg.frames.weights
    if asked is None:
        return None
    found = _weights(asked if isinstance(asked, list) else [asked])
    names = clips.table["clip"].to_list()
    train = [n for n, s in zip(names, clips.splits(), strict=True) if s == "train"]
    known = sum(n in found for n in train)
    if not known:
        raise UsageError(
            "frames.weights: of no training clip is it known what its frames show: runs answer to the clips "
            "that they do not train on, so that all folds together (data.folds) answer to all"
        )
    log.info(f"frames are drawn by what they show in {known} of {count(len(train), 'training clip')}")
    return Known(names, found)


def _weights(folders: Sequence[Path]) -> dict[str, np.ndarray]:
    """Clip -> times and weights, float32 `[T, 2]`: the mean of the runs that saw the same of its frames."""
    sums: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
    for run in find_runs(folders, "frames.weights"):
        for split in ("val", "test"):
            file = run / f"predictions_{split}.parquet"
            if not file.is_file():
                continue
            for name, times_T, weights_T in _of_run(run, split, predictions.read(file)):
                before = sums.get(name)
                if before is None:
                    sums[name] = times_T, weights_T, 1
                elif np.array_equal(before[0], times_T):
                    sums[name] = times_T, before[1] + weights_T, before[2] + 1
    return {
        name: np.stack([times_T, weights_T / n], axis=1, dtype=np.float32)
        for name, (times_T, weights_T, n) in sums.items()
    }


def _of_run(run: Path, split: str, table: pl.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each clip that was read, the seconds of its frames and their weights."""
    file = run / f"frames_{split}.parquet"
    if not file.is_file():
        raise UsageError(f"frames.weights: {run} has no {file.name}: train it with frame_answers=true")
    classes = predictions.get_classes(table)
    blank = [i for i, c in enumerate(classes) if is_blank(c)]
    if guessed := [classes[i] for i in blank if classes[i] != BLANK]:
        log.info(f"frames.weights: {run}: class {' and '.join(guessed)} is taken for clips without an animal")
    try:
        times = table.select("clip", pl.col("times").cast(pl.List(pl.Float64)))
    except pl.exceptions.PolarsError:
        raise UserError(
            f"{run}/predictions_{split}.parquet: column times holds no lists of seconds"
        ) from None
    answers = read_frames(file, classes).join(times, on="clip")
    for name, *lists, seconds in answers.drop_nulls("times").iter_rows():
        probs_TC, times_T = np.array(lists, np.float64).T, np.array(seconds, np.float64)
        sound = np.isfinite(times_T).all() and (np.diff(times_T) > 0).all()
        if len(times_T) != len(probs_TC) or not sound:
            raise UserError(f"{file}: its frames are not those of {file.parent}/predictions_{split}.parquet")
        animal_T = 1 - probs_TC[:, blank].max(1) if blank else probs_TC.max(1)
        yield name, times_T, LEAST + (1 - LEAST) * animal_T
