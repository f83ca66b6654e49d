"""Weights of frames: those in which a first model sees an animal are drawn more often in training.

After the first place of Pri-matrix Factorization (2017): a label is of the whole clip, and many
clips have an animal in a few frames alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

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

LEAST = 0.05  # weight of a frame that is certainly empty: it is drawn now and then


class ClipWeights(Sequence[Likely]):
    """`Frames.likely` of each clip, as tuples only on access: the tuples of 200,000 clips would fill memory.

    Args:
        clips: their names.
        found: by name, float32 `[T, 2]`; other clips have no weights.
    """

    def __init__(self, clips: Sequence[str], found: dict[str, np.ndarray]) -> None:
        self._rows = [found.get(name) for name in clips]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Likely: ...

    @overload
    def __getitem__(self, number: slice) -> list[Likely]: ...

    def __getitem__(self, number: int | slice) -> Likely | list[Likely]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        rows = self._rows[number]
        return () if rows is None else tuple(map(tuple, rows.tolist()))


def load_frame_weights(cfg: ClipsConfig, clips: Clips) -> Sequence[Likely] | None:
    """Return `Frames.likely` of each clip from the runs of `frames.weights`; empty for clips they lack.

    Raises:
        UsageError: there is no run, it has no predictions of single frames, or of no training clip.
        UserError: a table of predictions is damaged.
    """
    folders = cfg.frames.weights
    if folders is None:
        return None
    found = _average_runs(folders if isinstance(folders, list) else [folders])
    names = clips.table["clip"].to_list()
    train = [n for n, s in zip(names, clips.splits(), strict=True) if s == "train"]
    known = sum(n in found for n in train)
    if not known:
        raise UsageError(
            "frames.weights: the runs have predictions of no training clip: a run predicts the clips that it "
            "does not train on; give the runs of all folds (data.folds)"
        )
    log.info(f"frames are drawn by their weights in {known} of {count(len(train), 'training clip')}")
    return ClipWeights(names, found)


def _average_runs(folders: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return times and weights by clip, float32 `[T, 2]`: the mean of the runs that read the same frames."""
    sums: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
    for run in find_runs(folders, "frames.weights"):
        for split in ("val", "test"):
            file = run / f"predictions_{split}.parquet"
            if not file.is_file():
                continue
            for name, times_T, weights_T in _read_run(run, split, predictions.read(file)):
                before = sums.get(name)
                if before is None:
                    sums[name] = times_T, weights_T, 1
                elif np.array_equal(before[0], times_T):
                    sums[name] = times_T, before[1] + weights_T, before[2] + 1
    return {
        name: np.stack([times_T, weights_T / n], axis=1, dtype=np.float32)
        for name, (times_T, weights_T, n) in sums.items()
    }


def _read_run(run: Path, split: str, table: pl.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each readable clip, the seconds of its frames and their weights."""
    file = run / f"frames_{split}.parquet"
    if not file.is_file():
        raise UsageError(f"frames.weights: {run} has no {file.name}: train it with frame_answers=true")
    classes = predictions.get_classes(table)
    blank = [i for i, c in enumerate(classes) if is_blank(c)]
    if guessed := [classes[i] for i in blank if classes[i] != BLANK]:
        log.info(f"frames.weights: {run}: class {' and '.join(guessed)} counts as clips without an animal")
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
