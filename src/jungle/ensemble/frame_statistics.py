"""Statistics of a model's predictions for single frames, independent of their order and number.

The trees of the first place of Pri-matrix Factorization (2017) saw such statistics of 32 frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from jungle.ensemble.members import Member
from jungle.errors import UsageError, UserError, shorten_error
from jungle.metrics.logits import to_logits
from jungle.parquet import read_parquet

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
EDGES = (0.1, 0.5, 0.9)
"""Edges between the bins of the histogram."""
PARTS = 4
"""Equal parts of the sorted frames."""
COLUMNS = 1 + len(QUANTILES) + len(EDGES) + 1 + PARTS


def compute_statistics(probs_TC: np.ndarray) -> np.ndarray:
    """Return the statistics of a clip's frames, float32 `[COLUMNS * C]`.

    For the logits of each class: the mean, quantiles (minimum, median and maximum among them), and the means
    of the four quarters of the sorted frames; and a histogram of the probabilities, as shares of the frames.

    Args:
        probs_TC: probabilities of one frame or more, in any order.
    """
    z_TC = np.sort(to_logits(probs_TC, "multilabel"), axis=0)
    bin_TC = np.searchsorted(EDGES, probs_TC, side="right")
    shares = [(bin_TC == b).mean(0) for b in range(len(EDGES) + 1)]
    ends = np.linspace(0, len(z_TC), PARTS + 1)
    quarters = [z_TC[int(a) : max(int(np.ceil(b)), int(a) + 1)].mean(0) for a, b in pairwise(ends)]
    rows = [z_TC.mean(0), *np.quantile(z_TC, QUANTILES, axis=0), *shares, *quarters]
    return np.concatenate(rows).astype(np.float32)


def compute_member_statistics(
    member: Member, split: str, clips: Sequence[str], classes: Sequence[str], probs_NC: np.ndarray
) -> np.ndarray:
    """Return the statistics of a member's frames, float32 `[N, COLUMNS * C]`; for folds the mean over runs.

    Args:
        member: trained with `frame_answers=true`.
        split: `val` or `test`.
        clips: names of the N clips, in order.
        classes: names of all C classes, in order; those that the member does not know have no columns.
        probs_NC: the member's predictions, nan for classes that it does not know; a clip that it could not
            read counts as one frame with this prediction.

    Raises:
        UsageError: the member has no predictions for single frames.
        UserError: a table of them is damaged.
    """
    at = [i for i, c in enumerate(classes) if c in member.classes]
    sums_NF, runs_N = np.zeros((len(clips), COLUMNS * len(at))), np.zeros(len(clips))
    row_of = {c: i for i, c in enumerate(clips)}
    for run in member.runs:
        file = run / f"frames_{split}.parquet"
        if not file.is_file():
            raise UsageError(
                f"frame_statistics=true: {run} has no {file.name}: train it with frame_answers=true"
            )
        table = read_frames(file, [classes[i] for i in at])
        for name, *lists in table.iter_rows():
            if (i := row_of.get(name)) is not None:
                sums_NF[i] += compute_statistics(np.array(lists, np.float32).T)
                runs_N[i] += 1
    for i in np.flatnonzero(runs_N == 0):
        sums_NF[i], runs_N[i] = compute_statistics(probs_NC[i : i + 1, at]), 1
    return (sums_NF / runs_N[:, None]).astype(np.float32)


def read_frames(file: Path, classes: Sequence[str]) -> pl.DataFrame:
    """Read a table of predictions for single frames: `clip`, and one list per class.

    Raises:
        UserError: the table is damaged.
    """
    try:
        table = read_parquet(file).select("clip", pl.col(list(classes)).cast(pl.List(pl.Float32)))
    except (pl.exceptions.PolarsError, UserError) as e:
        raise UserError(f"{file}: not a table of predictions for frames ({shorten_error(e, 120)})") from None
    frames = pl.col(classes[0]).list.len()
    sound = pl.all_horizontal(
        *(pl.col(c).list.len() == frames for c in classes),
        *(pl.col(c).list.eval(pl.element().is_between(0, 1)).list.all() for c in classes),
        frames > 0,
    )
    if not table.select(sound.fill_null(False).all()).item():
        raise UserError(f"{file}: a clip without frames, or a frame without a probability for each class")
    return table
