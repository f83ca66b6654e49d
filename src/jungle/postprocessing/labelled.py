"""Predictions of labelled clips: what calibrations and thresholds are chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.formats import LabelSource, load_labels
from jungle.data.paths import match_clips, say_matches
from jungle.data.text import map_values
from jungle.data.validation_report import Problems
from jungle.errors import UsageError, suggest
from jungle.wording import count

ROW = "\0row"  # no class can have that name
AUTO_CLIPS, AUTO_SITES = 100, 4
"""From so many validation clips and sites, training calibrates by itself."""


@dataclass(frozen=True, slots=True)
class LabelledPredictions:
    """Predictions of clips that were read and have a label.

    Attributes:
        clips: names `[N]`.
        probs_NC: float64.
        targets_NC: labels; nan where unknown.
        sites: of each clip; None where unknown.
        classes: their order.
    """

    clips: list[str]
    probs_NC: np.ndarray
    targets_NC: np.ndarray
    sites: list[str | None]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def groups_N(self) -> np.ndarray:
        """The site of each clip as a number, or a number of its own where none is known."""
        return self.number_groups(by_site=True)

    def number_groups(self, by_site: bool) -> np.ndarray:
        """Return a number for each site, or clip without one; with `by_site` false, for each clip."""
        keys = [
            ("clip", i) if site is None or not by_site else ("site", site)
            for i, site in enumerate(self.sites)
        ]
        numbers = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys], int)

    @property
    def site_count(self) -> int:
        """How many sites are known."""
        return len({s for s in self.sites if s is not None})

    def describe(self) -> str:
        """Return how many clips of how many sites these are."""
        sites = f" of {count(self.site_count, 'site')}" if self.site_count else ", sites unknown"
        return f"{count(len(self), 'clip')}{sites}"


def match_labels(
    table: pl.DataFrame, clips: Clips, classes: Sequence[str], where: object
) -> LabelledPredictions:
    """Join a predictions table with labels by clip; clips without a label, or not read, are left out.

    A class that the labels lack is unknown everywhere. Sites are those of the labels, else of the table.

    Args:
        table: of predictions.
        clips: with labels.
        classes: of the model.
        where: the labels, for messages.

    Raises:
        UsageError: no clip has both a prediction and a label, or a name fits several clips.
    """
    problems = Problems()
    found = match_clips(clips.table["clip"].to_list(), table["clip"].to_list())
    say_matches(found, where, problems)
    problems.raise_if_any(where)
    known = [c for c in classes if c in clips.classes]
    if not known:
        raise UsageError(
            f"{where}: none of its classes ({', '.join(clips.classes[:5])}) is one of the model"
            f"{suggest(clips.classes[0], classes) if clips.classes else ''}"
        )
    labels = clips.where(clips.labelled())
    rows = pl.DataFrame({"clip": map_values(labels.table["clip"], found.known)}).with_row_index(ROW)
    read = predictions.select_read(table)
    joined = read.join(rows.unique("clip", keep="first"), on="clip", how="inner", maintain_order="left")
    if not len(joined):
        raise UsageError(f"{where}: none of its {count(len(labels), 'labelled clip')} has a prediction")
    row_N = joined[ROW].to_numpy()
    targets_NC = np.full((len(joined), len(classes)), np.nan)
    own = labels.targets()
    for i, c in enumerate(classes):
        if c in known:
            targets_NC[:, i] = own[row_N, labels.classes.index(c)]
    sites: list[str | None] = [None] * len(joined)
    for frame, at in ((joined, slice(None)), (labels.table, row_N)):  # labels win
        if "site" in frame.columns:
            given = frame["site"][at].to_list()
            sites = [new if new is not None else old for new, old in zip(given, sites, strict=True)]
    probs = predictions.get_probabilities(joined.drop(ROW), classes)
    return LabelledPredictions(
        joined["clip"].to_list(), probs.astype(np.float64), targets_NC, sites, tuple(classes)
    )


def load_run(folder: Path, split: str, classes: Sequence[str]) -> LabelledPredictions:
    """Return the predictions of a training run for one of its splits.

    Raises:
        UserError: the folder lacks a table, or a table is damaged.
    """
    file = folder / f"predictions_{split}.parquet"
    if not file.is_file() or not (folder / "clips.parquet").is_file():
        raise UsageError(
            f"{folder}: not the folder of a finished training run (no {file.name} with clips.parquet); give "
            "from=<prediction folder> labels=<table of labels>"
        )
    clips = Clips.read(folder / "clips.parquet")
    return match_labels(predictions.read(file), clips, classes, folder / "clips.parquet")


def load_predictions(folder: Path, labels: Path, classes: Sequence[str]) -> LabelledPredictions:
    """Return the predictions in a folder of `jungle predict` for the clips of a table of labels.

    Raises:
        UserError: a table is missing or damaged, or names other clips.
    """
    table = read_predictions(folder)
    found = load_labels("csv", LabelSource(labels=labels))
    return match_labels(table, found, classes, f"labels={labels}")


def read_predictions(folder: Path) -> pl.DataFrame:
    """Return the table in a folder of `jungle predict`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    file = folder / "predictions.parquet" if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(f"from={folder}: no predictions.parquet there; give the out= of jungle predict")
    return predictions.read(file)


def find_run(checkpoint: Path) -> Path:
    """Return the folder of the run that a checkpoint is of: the one above `checkpoints/`."""
    return checkpoint.absolute().parent.parent


def load_labelled(
    checkpoint: Path, classes: Sequence[str], *, source: Path | None, labels: Path | None, split: str
) -> LabelledPredictions:
    """Return a model's predictions of labelled clips: those of its run, or of a prediction folder.

    Args:
        checkpoint: of the model.
        classes: of the model.
        source: a prediction folder; None = the run of the checkpoint.
        labels: a table of labels for the clips of `source`.
        split: of the run.

    Raises:
        UserError: a table is missing or damaged, or the run's predictions are of another checkpoint.
    """
    if source is not None and labels is not None:
        return load_predictions(source, labels, classes)
    best = checkpoint.with_name("best.ckpt")
    if checkpoint.name != best.name and best.is_file():
        raise UsageError(
            f"ckpt={checkpoint}: the predictions of its run are of {best.name}: give that one, or "
            "from=<prediction folder> labels=<table>"
        )
    return load_run(find_run(checkpoint), split, classes)


def is_enough(labelled: LabelledPredictions) -> bool:
    """Tell whether training calibrates with these validation clips by itself."""
    return len(labelled) >= AUTO_CLIPS and labelled.site_count >= AUTO_SITES
