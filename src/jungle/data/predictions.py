"""The predictions table: one row a clip, failed ones included, matched by `clip` and never by position."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle import names
from jungle.errors import UserError
from jungle.files import write_text
from jungle.parquet import read_parquet, write_parquet

STATUSES = ("ok", "degraded", "failed")
META = ("clip", "status", "reason", "times", "attention")
CSV_META = ("top_class", "top_probability")  # of the CSV alone


def make(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> pl.DataFrame:
    """Make a table of rows: `clip`, `status`, `reason`, `probs` `[C]`, `times` `[T]`, `attention` `[T]`.

    Columns: clip, status, reason, one float32 probability a class, times and attention (lists of float32, a
    clip's frames; null where it failed or the head does not look).
    """
    check_classes(classes)
    probs = np.array([r["probs"] for r in rows], np.float32).reshape(len(rows), len(classes))
    columns: dict[str, Any] = {
        "clip": pl.Series([r["clip"] for r in rows], dtype=pl.String),
        "status": pl.Series([r["status"] for r in rows], dtype=pl.String),
        "reason": pl.Series([r["reason"] for r in rows], dtype=pl.String),
        **{c: probs[:, i] for i, c in enumerate(classes)},
        "times": pl.Series([_floats(r.get("times")) for r in rows], dtype=pl.List(pl.Float32)),
        "attention": pl.Series([_floats(r.get("attention")) for r in rows], dtype=pl.List(pl.Float32)),
    }
    return check(pl.DataFrame(columns))


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the class names where they can be columns of a predictions table.

    Raises:
        UserError: there is none, one stands twice, or a name is no class's: see `jungle.names`.
    """
    names.check_class_names(classes)
    if len(set(classes)) < len(classes):
        twice = next(c for i, c in enumerate(classes) if c in classes[:i])
        raise UserError(f"two classes are named '{names.shown(twice)}': each class needs a name of its own")
    if not classes:
        raise UserError("there is no class, and each needs a name of its own")
    return tuple(classes)


def _floats(values: Any) -> list[float] | None:
    return None if values is None else [float(v) for v in values]


def check(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table where it is a predictions table.

    Raises:
        UserError: a column is missing, a clip stands twice, a status or a probability is none.
    """
    missing = [c for c in META if c not in table.columns]
    if missing:
        raise UserError(f"not a predictions table: it lacks the columns {', '.join(missing)}")
    if table["clip"].is_duplicated().any():
        twice = table.filter(pl.col("clip").is_duplicated())["clip"][0]
        raise UserError(
            f"a predictions table names each clip once; '{names.shown(twice)}' stands there more often"
        )
    if not set(table["status"].unique()) <= set(STATUSES):
        raise UserError(f"a status is one of {', '.join(STATUSES)}")
    probs = probabilities(table)
    if not np.isfinite(probs).all() or (probs < 0).any() or (probs > 1).any():
        raise UserError("a probability lies outside 0 to 1")
    return table


def classes_of(table: pl.DataFrame) -> tuple[str, ...]:
    """Return the class names: every column that is not one of `META`."""
    return tuple(c for c in table.columns if c not in META)


def probabilities(table: pl.DataFrame) -> np.ndarray:
    """Return float32 probabilities `[N, C]` in row order."""
    return np.stack([table[c].to_numpy().astype(np.float32) for c in classes_of(table)], axis=1)


def write(table: pl.DataFrame, path: str | Path) -> None:
    """Write the table in one step: Parquet whole, CSV for people (no frames, the top class first)."""
    path = Path(path)
    if path.suffix != ".csv":
        write_parquet(table, path)
        return
    probs, classes = probabilities(table), classes_of(table)
    best = probs.argmax(1) if len(classes) else np.zeros(len(table), int)
    shown = table.select(
        for_people(table["clip"]),
        "status",
        pl.col("reason").replace("", None),
        pl.Series("top_class", [classes[b] for b in best], dtype=pl.String),
        pl.Series("top_probability", probs[np.arange(len(best)), best], dtype=pl.Float32),
        *classes,
    )
    write_text(path, shown.write_csv(float_precision=6))


def for_people(texts: pl.Series) -> pl.Series:
    """Return names as a CSV shows them: letters that would steer a terminal are spelt out.

    The Parquet file has them as they are.
    """
    if not texts.str.contains(r"[\p{C}\p{Zl}\p{Zp}]").any():
        return texts
    spelt = [None if t is None else names.escaped(t) for t in texts]
    return pl.Series(texts.name, spelt, dtype=pl.String)


def read(path: str | Path) -> pl.DataFrame:
    """Read and check a Parquet table of `write`.

    Raises:
        UserError: it cannot be read, or is no predictions table.
    """
    table = read_parquet(path)
    try:
        names.check_class_names(classes_of(table))
        return check(table)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
