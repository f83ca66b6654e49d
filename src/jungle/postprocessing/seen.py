"""Classes that count as seen in each clip: by the table's decisions, else by a threshold."""

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.text import is_blank

UNSURE = "unsure"
DECISION = "decision"
SCHEMA = {"row": pl.UInt32, "name": pl.String, "probability": pl.Float32}
EXCLUSIVE_TOLERANCE = 1e-3


def find_task(table: pl.DataFrame, classes: tuple[str, ...]) -> str:
    """Return `exclusive` where the probabilities of each clip add up to 1, else `multilabel`."""
    total_N = predictions.get_probabilities(table.select(classes)).sum(1)
    read_N = ~np.isnan(total_N)
    adds_up = bool((np.abs(total_N[read_N] - 1) < EXCLUSIVE_TOLERANCE).all())
    return "exclusive" if len(classes) > 1 and read_N.any() and adds_up else "multilabel"


def list_probabilities(table: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    """Return a row for each class of each clip that was read: columns `SCHEMA`, by row, in class order."""
    probs_NC = predictions.get_probabilities(table.select(classes))
    row, column = np.nonzero(~np.isnan(probs_NC))
    values = {"row": row, "name": np.array(classes, object)[column], "probability": probs_NC[row, column]}
    return pl.DataFrame(values, schema=SCHEMA)


def find_seen(
    table: pl.DataFrame,
    classes: tuple[str, ...],
    *,
    task: str,
    threshold: float,
    decisions: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return what counts as seen: columns `row` (of the table), `name` and `probability`, by row.

    A decision is the last word: its class, or nothing where it is `unsure`. Without one, a class counts from
    the threshold on; of exclusive classes only the most probable one does; and a class of empty clips counts
    only where no other does. A clip that could not be read has no row.

    Args:
        table: of predictions.
        classes: columns of probabilities.
        task: `exclusive` or `multilabel`.
        threshold: from 0 to 1.
        decisions: `clip`, `decision` and, where known, `probability`; None: there are none.
    """
    rows = table.select("clip", "status").with_row_index("row")
    if decisions is not None:
        known = [c for c in ("probability",) if c in decisions.columns]
        found = rows.join(decisions.select("clip", DECISION, *known), on="clip", how="inner")
        found = found.filter(
            pl.col(DECISION).is_not_null()
            & (pl.col(DECISION) != UNSURE)
            & (pl.col("status") != predictions.FAILED)
        )
        if not known:
            own = list_probabilities(table, classes)
            found = found.join(own, left_on=["row", DECISION], right_on=["row", "name"], how="left")
        return found.select("row", pl.col(DECISION).alias("name"), "probability").cast(SCHEMA).sort("row")  # type: ignore[arg-type]
    probs = np.nan_to_num(predictions.get_probabilities(table.select(classes)), nan=-1)
    counts = probs >= threshold
    if task == "exclusive" and len(classes):
        counts &= np.arange(len(classes)) == probs.argmax(1)[:, None]
    blank = np.array([is_blank(c) for c in classes], bool)
    counts &= ~(blank & (counts & ~blank).any(1, keepdims=True))
    row, column = np.nonzero(counts)
    return pl.DataFrame(
        {"row": row, "name": [classes[c] for c in column], "probability": probs[row, column]}, schema=SCHEMA
    )
