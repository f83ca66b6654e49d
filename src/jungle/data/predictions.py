"""The predictions table: one row a clip, failed ones included, matched by `clip` and never by position.

A clip that could not be read is a row with status `failed`, a reason, and null in every class: no model has
seen it, so no probability of it could be right or wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle import names
from jungle.data import spreadsheets
from jungle.data.spreadsheets import write_csv
from jungle.errors import UserError
from jungle.files import write_text
from jungle.parquet import read_parquet, write_parquet

FAILED = "failed"
STATUSES = ("ok", "degraded", FAILED)
META = ("clip", "status", "reason", "times", "attention")
FACTS = {"path": pl.String, "site": pl.String, "time": pl.Datetime("us"), "duration": pl.Float64}
"""Columns of a prediction folder's table: file, site, time of recording by the camera's clock, and length in
seconds; null where unknown. Tables of training runs, and those of version 0.1, lack them."""
CSV_META = ("top_class", "top_probability")  # of the CSV alone


@dataclass(frozen=True, slots=True)
class ClipPrediction:
    """The prediction of one clip: a row of the table, before the clip's name is put to it.

    Attributes:
        status: one of `STATUSES`.
        reason: why the clip could not be read, or not in full; else empty.
        probs: float32 `[C]`; None where the clip failed.
        times: float32 `[T]`, seconds of the frames that the model saw.
        attention: float32 `[T]`, the weights of these frames; None where the head has none.
        frames: float32 `[T, C]`, the prediction of each frame as a clip of its own, where asked for.
        number: row of the clips table.
        duration: seconds of the clip; 0 if unknown.
        created: time of recording in the words of the video's container; empty if unknown.
    """

    status: str = "ok"
    reason: str = ""
    probs: np.ndarray | None = None
    times: np.ndarray | None = None
    attention: np.ndarray | None = None
    frames: np.ndarray | None = None
    number: int = -1
    duration: float = 0.0
    created: str = ""

    @classmethod
    def failure(cls, reason: str, number: int = -1) -> "ClipPrediction":
        """Return the row of a clip that could not be read."""
        return cls(FAILED, reason, number=number)


def make_table(clips: Sequence[str], rows: Sequence[ClipPrediction], classes: Sequence[str]) -> pl.DataFrame:
    """Make a table of a prediction for each of `clips`.

    Columns: clip, status, reason, one float32 probability per class (null where the clip failed), times and
    attention (lists of float32, a clip's frames; null where it failed or the head has no attention).

    Raises:
        UserError: see `check` and `check_classes`.
    """
    check_classes(classes)
    none = np.full(len(classes), np.nan, np.float32)
    found = [none if r.status == FAILED else r.probs for r in rows]
    probs = np.array(found, np.float32).reshape(len(rows), len(classes))
    columns: dict[str, pl.Series | np.ndarray] = {
        "clip": pl.Series(clips, dtype=pl.String),
        "status": pl.Series([r.status for r in rows], dtype=pl.String),
        "reason": pl.Series([r.reason for r in rows], dtype=pl.String),
        **{c: probs[:, i] for i, c in enumerate(classes)},
        "times": pl.Series([_list_floats(r.times) for r in rows], dtype=pl.List(pl.Float32)),
        "attention": pl.Series([_list_floats(r.attention) for r in rows], dtype=pl.List(pl.Float32)),
    }
    return check(clear_failed(pl.DataFrame(columns), classes))


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the class names where they can be columns of a predictions table.

    Raises:
        UserError: there is no class, a name is repeated, or cannot be a class: see `jungle.names`.
    """
    names.check_class_names(classes)
    if len(set(classes)) < len(classes):
        twice = next(c for i, c in enumerate(classes) if c in classes[:i])
        raise UserError(f"two classes are named '{names.show(twice)}': each class needs a name of its own")
    if not classes:
        raise UserError("there is no class, and each needs a name of its own")
    return tuple(classes)


def _list_floats(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [float(v) for v in values]


def check(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table where it is a predictions table.

    Raises:
        UserError: a column is missing, a clip is repeated, a status or a probability is invalid, or a clip
            that failed has a probability.
    """
    _add_columns(table)
    if table["clip"].is_duplicated().any():
        twice = table.filter(pl.col("clip").is_duplicated())["clip"][0]
        raise UserError(
            f"a predictions table names each clip once; '{names.show(twice)}' is in it more than once"
        )
    if not set(table["status"].unique()) <= set(STATUSES):
        raise UserError(f"a status is one of {', '.join(STATUSES)}")
    probs, read_N = get_probabilities(table), (table["status"] != FAILED).to_numpy()
    if not ((probs[read_N] >= 0) & (probs[read_N] <= 1)).all():
        raise UserError("a probability lies outside 0 to 1")
    if not np.isnan(probs[~read_N]).all():
        raise UserError("a clip that could not be read has a probability")
    return table


def _add_columns(table: pl.DataFrame) -> pl.DataFrame:
    if missing := [c for c in META if c not in table.columns]:
        raise UserError(f"not a predictions table: it lacks the columns {', '.join(missing)}")
    if table["status"].dtype != pl.String:
        raise UserError(f"a status is one of {', '.join(STATUSES)}")
    return table


def select_read(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the clips that were read, in part at least: those that have an answer."""
    return table.filter(pl.col("status") != FAILED)


def select_failed(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the clips that could not be read: they have a reason and no answer."""
    return table.filter(pl.col("status") == FAILED)


def clear_failed(table: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Return the table with null for the answers to clips that failed: those of version 0.1 have numbers."""
    read = pl.col("status") != FAILED
    return table.with_columns(pl.when(read).then(pl.col(c)).alias(c) for c in classes)


def get_classes(table: pl.DataFrame) -> tuple[str, ...]:
    """Return the class names: every column that is not one of `META` or `FACTS`."""
    return tuple(c for c in table.columns if c not in META and c not in FACTS)


def get_probabilities(table: pl.DataFrame, classes: Sequence[str] | None = None) -> np.ndarray:
    """Return float32 probabilities `[N, C]` in row order, nan where a clip could not be read.

    Args:
        table: of predictions.
        classes: their order, matched by name; None = as the table has them.

    Raises:
        UserError: the table has other classes.
    """
    own = get_classes(table)
    wanted = own if classes is None else tuple(classes)
    if set(wanted) != set(own):
        odd = sorted(set(wanted) ^ set(own))
        raise UserError(f"a predictions table is of other classes: {', '.join(odd[:5])}")
    try:
        columns = [table[c].cast(pl.Float32).fill_null(float("nan")).to_numpy() for c in wanted]
    except pl.exceptions.PolarsError:
        raise UserError("not a predictions table: a class has something else than numbers") from None
    return np.stack(columns, axis=1) if columns else np.empty((len(table), 0), np.float32)


def write(table: pl.DataFrame, path: str | Path) -> None:
    """Write the table in one step: Parquet whole, CSV for people (no frames, the top class first)."""
    path = Path(path)
    if path.suffix == ".csv":
        write_text(path, format_csv(table))
        return
    write_parquet(table.rechunk(), path)  # the same bytes, however the rows came together


def format_csv(table: pl.DataFrame, header: bool = True) -> str:
    """Return the CSV of a table for people: no frames, the top class first."""
    return spreadsheets.format_csv(_format_for_people(table), float_precision=6, header=header)


def _format_for_people(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table as people read it; a clip that could not be read has no top class.

    Nor has a clip in which the only class of the model is less probable than not.
    """
    probs, classes = get_probabilities(table), get_classes(table)
    best_N = np.nan_to_num(probs, nan=-1).argmax(1) if len(classes) else np.zeros(len(table), int)
    has_top = pl.col("status") != FAILED
    if len(classes) == 1:
        has_top &= pl.col(classes[0]) >= 0.5
    top = pl.Series([classes[b] for b in best_N], dtype=pl.String)
    highest = pl.Series(probs[np.arange(len(best_N)), best_N], dtype=pl.Float32)
    return table.select(
        "clip",
        "status",
        pl.col("reason").replace("", None),
        pl.when(has_top).then(top).alias("top_class"),
        pl.when(has_top).then(highest).alias("top_probability"),
        *classes,
        *(name for name in ("site", "time", "duration", "path") if name in table.columns),
    )


def read(path: str | Path) -> pl.DataFrame:
    """Read and check a Parquet table of `write`, or of version 0.1, where failed clips had the class shares.

    Raises:
        UserError: it cannot be read, or is no predictions table.
    """
    table = read_parquet(path)
    try:
        names.check_class_names(get_classes(_add_columns(table)))
        return check(clear_failed(table, get_classes(table)))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def write_failures(failures: list[tuple[str, str]], folder: Path) -> None:
    """Write `failures.csv`: clip and reason."""
    table = pl.DataFrame(failures, schema={"clip": pl.String, "reason": pl.String}, orient="row")
    write_csv(table, folder / "failures.csv")
