"""Soft labels (pseudo-labels): probabilities that models give to clips without a usable label.

Lee 2013, "Pseudo-Label: the simple and efficient semi-supervised learning method", with probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.clips import META, Clips
from jungle.data.paths import match_clips, say_matches
from jungle.data.table_io import read_table
from jungle.data.text import map_values, match_names
from jungle.data.validation_report import Problems
from jungle.errors import suggest
from jungle.wording import tally

TOLERANCE = 0.06
"""How far from 1 the probabilities of exclusive classes may add up: CSV rounds them, and a stack's
`calibration=clip` takes up to 0.05 off the largest. They are brought to 1."""
NOT_CLASSES = {*META, *predictions.META, *predictions.FACTS, *predictions.CSV_META} - {"weight"}

NUMBER = "\0number"  # the row of the clips table: no class can have that name


@dataclass(frozen=True)
class SoftLabels:
    """Probabilities in place of labels, for clips that have none for training.

    Attributes:
        numbers: int64 `[P]`, rows of the clips table.
        probs_PC: float32, from 0 to 1.
        weight_P: float32, of each clip in the loss.
    """

    numbers: np.ndarray
    probs_PC: np.ndarray
    weight_P: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


def select_free(clips: Clips) -> np.ndarray:
    """Return which clips may take soft labels, bool `[N]`: test clips and those without a label; none of val.

    A test clip's label is never looked at: whether it has one makes no difference.
    """
    split = clips.splits().fill_null("unlabelled").to_numpy()
    return (split == "test") | ((split != "val") & ~clips.labelled().to_numpy())


def read(path: str | Path, clips: Clips, task: str, weight: float = 1.0, partial: bool = False) -> SoftLabels:
    """Read a table of `clip`, a probability for each class and, where it has one, `weight`; or predictions.

    Of a predictions table, rows that failed are left out. Rows of training clips with a label are left out
    too: the labels of people win.

    Args:
        path: CSV or Parquet.
        clips: the clips, their splits assigned.
        task: where it is `exclusive`, the probabilities of a clip add up to 1; what rounding or clipping took
            off them is restored in proportion.
        weight: of each clip in the loss, times its own.
        partial: whether `clips` are only some of the data set (`data.limit`): rows of others are left out.

    Raises:
        UserError: one message with all that is wrong.
    """
    table = read_table(path, typed=True).frame
    # Lists are the frames of a predictions table; where a class is one, no cell is a number.
    lists = [c for c, kind in table.schema.items() if kind.is_nested() or kind == pl.Binary]
    table = table.with_columns(pl.lit(None).alias(c) for c in lists)
    problems = Problems()
    if "clip" not in table.columns:
        problems.say("No column clip. Name one so, and add a column of probabilities for each class.")
        problems.raise_if_any(path)
    others = [c for c in table.columns if c not in clips.classes and c not in NOT_CLASSES and c != "weight"]
    free_classes = [c for c in clips.classes if c not in table.columns]
    heads = match_names(others, free_classes)
    for heading, of in heads.known.items():
        log.warning(f"{path}: column {heading!r} is the class {of!r}")
    table = table.rename(heads.known) if len(set(heads.known.values())) == len(heads.known) else table
    columns = set(table.columns)
    unknown = [c for c in table.columns if c not in clips.classes and c not in NOT_CLASSES and c != "weight"]
    problems.add("columns name no class", unknown, _suggest_classes(unknown, clips.classes))
    lacking = [c for c in clips.classes if c not in columns]
    problems.add("classes have no column", lacking, "Add them: one probability a class.")
    if "status" in columns:
        table = _drop_failed(path, table, problems)
    numbered = pl.DataFrame({"clip": clips.table["clip"]}).with_row_index(NUMBER)
    table = table.with_columns(pl.col("clip").cast(pl.String))
    found = match_clips(table["clip"].drop_nulls().to_list(), clips.table["clip"].to_list())
    say_matches(found, path, problems)
    table = table.with_columns(clip=map_values(table["clip"], found.known)).join(
        numbered, on="clip", how="left", maintain_order="left"
    )
    _check_clips(table, clips, problems, partial)
    classes = [c for c in clips.classes if c in columns]
    values_PC = _cast_numbers(table, classes)
    outside_P = ~np.all((values_PC >= 0) & (values_PC <= 1), axis=1)
    problems.add("clips have a probability outside 0 to 1", _list_clips(table, outside_P), "Correct them.")
    off_P = ~outside_P & (np.abs(values_PC.sum(1) - 1) > TOLERANCE)
    if task == "exclusive" and not lacking:
        problems.add(
            "clips have probabilities that do not add up to 1",
            _list_clips(table, off_P),
            "With exclusive classes they do: predict them with an exclusive model, or set task=multilabel.",
        )
    own_P = _cast_numbers(table, ["weight"])[:, 0] if "weight" in columns else np.ones(len(table))
    bad_P = ~(np.isfinite(own_P) & (own_P >= 0))
    problems.add(
        "clips have a weight that is not a number from 0 up", _list_clips(table, bad_P), "Correct them."
    )
    if len(own_P) and not (own_P > 0).any() and not bad_P.any():
        problems.say("Every clip has the weight 0, so that nothing is learnt from it. Correct the weights.")
    problems.raise_if_any(path)
    kept = table[NUMBER].is_not_null().to_numpy()
    numbers = table[NUMBER].to_numpy()[kept].astype(np.int64)
    usable = select_free(clips)[numbers]
    if not usable.any():
        problems.say(
            f"None of its {len(table)} clips can be learnt from: they are not there, or have labels of "
            "people. It names clips of the split unlabelled or test."
        )
        problems.raise_if_any(path)
    if people := int((~usable).sum()):
        log.info(f"{path}: {tally(people, 'rows are')} of clips with labels of people, and left out")
    probs_PC = values_PC[kept][usable]
    if task == "exclusive":
        probs_PC = probs_PC / probs_PC.sum(1, keepdims=True)
    return SoftLabels(
        numbers[usable],
        probs_PC.astype(np.float32),
        (weight * own_P[kept][usable]).astype(np.float32),
    )


def _drop_failed(path: str | Path, table: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """Leave out the rows of clips that could not be read, and say how many; other words are a problem."""
    status = table["status"].cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("ok")
    known = status.is_in(predictions.STATUSES)
    problems.add(
        "rows have an unknown status",
        table["status"].filter(~known).unique(maintain_order=True).to_list(),
        f"It is one of {', '.join(predictions.STATUSES)}.",
        count=int((~known).sum()),
    )
    if failed := int((status == predictions.FAILED).sum()):
        log.info(f"{path}: {tally(failed, 'clips have')} no soft label, since they could not be read")
    return table.filter(status != predictions.FAILED)


def _check_clips(table: pl.DataFrame, clips: Clips, problems: Problems, partial: bool) -> None:
    """Add rows that name no clip, one twice, or one of val; `NUMBER` is null where there is no such clip."""
    name = table["clip"]
    twice = name.filter(name.is_duplicated()).unique(maintain_order=True).to_list()
    problems.add("clips have more than one row", twice, "Keep one row a clip.")
    lost = name.filter(table[NUMBER].is_null()).to_list()
    if not partial:
        first = clips.table["clip"][0] if len(clips) else "none"
        problems.add(
            "clips are unknown", lost, f"Clips are named as in clips.parquet of a run, like {first}."
        )
    known = table[NUMBER].drop_nulls().to_numpy()
    val = np.unique(known[(clips.splits() == "val").fill_null(False).to_numpy()[known]])
    problems.add(
        "clips are of the val split, which is never trained on",
        clips.table["clip"][val].to_list(),
        "Take them out.",
    )


def _cast_numbers(table: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return columns as float64 `[P, columns]`, NaN where a cell is no number."""
    # By way of text, so that dates and truth values are no numbers.
    cells = table.select(pl.col(c).cast(pl.String).cast(pl.Float64, strict=False) for c in columns)
    return cells.fill_null(float("nan")).to_numpy().reshape(len(table), len(columns))


def _list_clips(table: pl.DataFrame, chosen_P: np.ndarray) -> list[str]:
    return table["clip"].filter(pl.Series(chosen_P, dtype=pl.Boolean)).fill_null("(no name)").to_list()


def _suggest_classes(unknown: Sequence[str], classes: Sequence[str]) -> str:
    return f"The classes are those of the labels.{suggest(unknown[0], classes)}" if unknown else ""
