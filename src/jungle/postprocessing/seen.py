"""Classes that count as seen in each clip: by the table's decisions, else by a threshold."""

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.text import is_blank
from jungle.metrics.logits import adds_to_one
from jungle.postprocessing.steps import UNSURE

DECISION = "decision"
SCHEMA = {"row": pl.UInt32, "name": pl.String, "probability": pl.Float32}
NOT_KNOWN = pl.lit(None, pl.Float32).alias("probability")


def find_task(table: pl.DataFrame, classes: tuple[str, ...]) -> str:
    """Return `exclusive` where the probabilities of each clip add up to 1, else `multilabel`."""
    probs_NC = predictions.get_probabilities(predictions.select_read(table).select(classes))
    return "exclusive" if len(probs_NC) and adds_to_one(probs_NC) else "multilabel"


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

    A decision is the last word: its class, and those of its column `also`, or nothing where it is `unsure`.
    Without one, a class counts from the threshold on; of exclusive classes only the most probable one does;
    and a class of empty clips counts only where no other does. A clip that could not be read has no row.

    Args:
        table: of predictions.
        classes: columns of probabilities.
        task: `exclusive` or `multilabel`.
        threshold: from 0 to 1.
        decisions: `clip`, `decision` and, where known, `probability` and `also` (classes parted by `|`);
            None: there are none.
    """
    if decisions is not None:
        return _read_decisions(table, classes, decisions)
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


def _read_decisions(table: pl.DataFrame, classes: tuple[str, ...], decisions: pl.DataFrame) -> pl.DataFrame:
    """Return what decisions say of the clips that were read, with the probabilities that they have."""
    optional = [c for c in ("probability", "also") if c in decisions.columns]
    rows = predictions.select_read(table.select("clip", "status").with_row_index("row"))
    found = rows.join(decisions.select("clip", DECISION, *optional), on="clip", how="inner").filter(
        pl.col(DECISION).is_not_null() & (pl.col(DECISION) != UNSURE)
    )
    parts = [
        found.select(
            "row",
            pl.col(DECISION).alias("name"),
            pl.col("probability") if optional[:1] == ["probability"] else NOT_KNOWN,
        )
    ]
    if "also" in optional:
        more = found.drop_nulls("also").select("row", pl.col("also").str.split("|").alias("name"), NOT_KNOWN)
        parts.append(more.explode("name"))
    seen = pl.concat([part.cast(SCHEMA) for part in parts])  # type: ignore[arg-type]  # polars takes a dict of types
    own = list_probabilities(table, classes).rename({"probability": "own"})
    whole = seen.join(own, on=["row", "name"], how="left").with_columns(
        probability=pl.coalesce("probability", "own")
    )
    return whole.select(*SCHEMA).sort("row", maintain_order=True)
