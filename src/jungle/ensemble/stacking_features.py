"""What a stacker of columns sees of a clip: every answer of every member, and whatever else was asked for."""

from __future__ import annotations

import numpy as np
import polars as pl

from jungle.data.formats.times import is_sortable, read_times
from jungle.ensemble.logits import to_logits
from jungle.ensemble.prediction_matrix import PredictionMatrix, StackerInput
from jungle.errors import UsageError
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
    """Return `[N, 2*C]` float32: the members' mean answer to the clips before and after it at its site.

    The first and the last clip of a site see their own answer there. Only answers are looked at, never
    labels; but a camera's clips are then no longer judged one by one: see docs/ensembles.md.

    Raises:
        UsageError: the clips have no site or no time.
    """
    table = matrix.clips.table
    for column in ("site", "time"):
        if column not in table.columns or table[column].null_count() == len(table):
            raise UsageError(
                f"neighbours=true: the clips have no {column}; give the labels a {column} column"
            )
    times = read_times(table["time"])
    if not is_sortable(times):
        raise UsageError(
            f"neighbours=true: the clips' times are text of unknown order, as "
            f"{show(times.drop_nulls()[0], 40)!r}; write 2021-03-31 14:05:00 in the labels' column of "
            "times, and train again"
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
