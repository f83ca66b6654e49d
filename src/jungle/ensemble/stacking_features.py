"""Columns of a stacker: every prediction of every member, and further columns if chosen."""

from __future__ import annotations

import numpy as np
import polars as pl

from jungle.data.formats.times import is_sortable, read_times
from jungle.ensemble.prediction_matrix import PredictionMatrix, StackerInput
from jungle.errors import UsageError
from jungle.metrics.logits import to_logits
from jungle.names import show


def build_features(answers: StackerInput) -> np.ndarray:
    """Return `[n, M*C + F]` float32: the logits of each member's classes, then the extra columns.

    Classes that a member does not know have no column.
    """
    z_MNC = to_logits(answers.probs_MNC, "multilabel")
    z_NK = z_MNC.transpose(1, 0, 2).reshape(len(answers), -1)
    known_K = np.isfinite(z_NK).all(0)
    return np.concatenate([z_NK[:, known_K], answers.extra_NF], axis=1).astype(np.float32)


def build_neighbour_features(matrix: PredictionMatrix) -> np.ndarray:
    """Return the members' mean logits for the clips before and after at the same site, float32 `[N, 2*C]`.

    For the first and the last clip of a site the missing neighbour is the clip itself. Labels are never used.
    See docs/ensembles.md for when this is valid.

    Raises:
        UsageError: the clips have no site or no time.
    """
    table = matrix.clips.table
    for column in ("site", "time"):
        if column not in table.columns or table[column].null_count() == len(table):
            raise UsageError(
                f"neighbours=true: the clips have no {column}; add a column {column} to the labels"
            )
    times = read_times(table["time"])
    if not is_sortable(times):
        raise UsageError(
            f"neighbours=true: the clips' times cannot be sorted: {show(times.drop_nulls()[0], 40)!r}; write "
            "them like 2021-03-31 14:05:00 in the labels, and train again"
        )
    mean_NC = to_logits(np.nanmean(matrix.probs_MNC, axis=0), "multilabel")
    order = (
        table.select("site", times.alias("time"))
        .with_row_index("row")
        .sort("site", "time", "row", nulls_last=True)
        .with_columns(
            before=pl.col("row").shift(1).over("site"),
            after=pl.col("row").shift(-1).over("site"),
        )
        .sort("row")
    )
    alone = pl.col("site").is_null()
    sides = [
        order.select(pl.when(alone).then("row").otherwise(pl.coalesce(side, "row"))).to_series().to_numpy()
        for side in ("before", "after")
    ]
    return np.concatenate([mean_NC[side] for side in sides], axis=1).astype(np.float32)
