"""Choice of thresholds: how many blank clips can be removed, and when a class is certain enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from jungle.data.text import is_blank
from jungle.errors import UsageError
from jungle.metrics.bootstrap import Interval
from jungle.metrics.threshold_fits import (
    BlankPoint,
    BlankScores,
    ClassPoint,
    choose_blank_threshold,
    choose_class_threshold,
    compute_blank_curve,
    measure_blank_threshold,
    measure_class_threshold,
)
from jungle.metrics.thresholds import Thresholds, compute_blank_scores
from jungle.names import show
from jungle.postprocessing.labelled import LabelledPredictions


@dataclass(frozen=True, slots=True)
class BlankFit:
    """Threshold from which clips are removed as blank.

    Attributes:
        point: what it does; None where no threshold keeps the promise.
        max_missed: the promise: the share of animal clips that may be lost.
        curve: what other thresholds do, from the highest down.
        sites: what it does at each site: site, clips, blanks, removed, animals, missed.
        describes: how many clips of how many sites it was chosen on.
        blank_classes: the classes that mean no animal.
    """

    point: BlankPoint | None
    max_missed: float
    curve: list[BlankPoint]
    sites: pl.DataFrame
    describes: str
    blank_classes: tuple[str, ...]

    def describe(self) -> str:
        """Return the promise and what it is worth, as one sentence."""
        if self.point is None:
            return (
                f"no threshold loses at most {format_percent(self.max_missed)} % of the animals: the clips "
                f"that look most like blank have animals ({self.describes})"
            )
        removed, missed = self.point.removed, self.point.missed
        return (
            f"at {self.point.threshold:.4g}, {format_percent(removed.value)} % of blanks go, "
            f"{format_percent(missed.value)} % of animals are lost, 95 %: {format_range(missed)} "
            f"({self.describes})"
        )


def format_percent(share: float) -> str:
    """Return a share in percent, with one digit after the point below 10."""
    return f"{100 * share:.0f}" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}"


def format_range(interval: Interval) -> str:
    """Return the interval of a share in percent, as in `2 to 9`."""
    return f"{100 * interval.low:.0f} to {100 * interval.high:.0f}"


def fit_blank_threshold(
    labelled: LabelledPredictions, probs_NC: np.ndarray, task: str, max_missed: float
) -> BlankFit:
    """Choose the lowest threshold at which at most a share of the animal clips is lost.

    A clip is blank where it is labelled as such, or, without a blank class, where every class is known to be
    absent. It has an animal where it has any other class.

    Args:
        labelled: predictions that the model did not train on.
        probs_NC: their probabilities, calibrated or not.
        task: `exclusive` or `multilabel`.
        max_missed: the share.

    Raises:
        UsageError: the model has no blank class, or no clip is blank, or none has an animal.
    """
    blanks = tuple(c for c in labelled.classes if is_blank(c))
    if not blanks and task == "exclusive":
        raise UsageError(
            f"max_missed={max_missed:g}: none of the classes means a clip without an animal, so no clip "
            "can be called blank; give precision= or recall= for thresholds of classes"
        )
    scores = make_blank_scores(labelled, probs_NC, blanks, task)
    for what, some_N in (("without an animal", scores.blank_N), ("with an animal", scores.animal_N)):
        if not some_N.any():
            raise UsageError(f"max_missed={max_missed:g}: no labelled clip is {what}: add some to validation")
    chosen = choose_blank_threshold(scores, max_missed)
    point = None if chosen is None else measure_blank_threshold(scores, chosen, max_missed)
    gone_N = scores.score_N >= (np.inf if chosen is None else chosen)
    sites = (
        pl.DataFrame(
            {
                "site": pl.Series(labelled.sites, dtype=pl.String),
                "clip": labelled.clips,
                "blank": scores.blank_N,
                "animal": scores.animal_N,
                "gone": gone_N,
            }
        )
        .group_by("site")
        .agg(
            pl.len().cast(pl.Int64).alias("clips"),
            pl.col("blank").sum().cast(pl.Int64).alias("blanks"),
            pl.col("gone").filter("blank").mean().alias("blanks_removed"),
            pl.col("animal").sum().cast(pl.Int64).alias("animals"),
            pl.col("gone").filter("animal").mean().alias("animals_lost"),
        )
        .sort("animals_lost", "site", descending=[True, False], nulls_last=True)
    )
    curve = compute_blank_curve(scores)
    return BlankFit(point, max_missed, curve, sites, labelled.describe(), blanks)


def make_blank_scores(
    labelled: LabelledPredictions, probs_NC: np.ndarray, blanks: Sequence[str], task: str
) -> BlankScores:
    """Return how blank each clip looks, and what is in it."""
    is_blank_C = np.array([c in set(blanks) for c in labelled.classes])
    has_NC = labelled.targets_NC == 1
    animal_N = has_NC[:, ~is_blank_C].any(1)
    blank_N = has_NC[:, is_blank_C].any(1) if blanks else (labelled.targets_NC == 0).all(1)
    scores_N = compute_blank_scores(probs_NC, labelled.classes, blanks, task)
    return BlankScores(scores_N, blank_N & ~animal_N, animal_N, labelled.groups_N)


@dataclass(frozen=True, slots=True)
class ClassFit:
    """Thresholds of classes for a wanted precision or recall.

    Attributes:
        points: of each class that has validation clips.
        without: classes without one: they get no threshold.
        wanted: as typed, such as `precision=0.9`.
        clips: with each class.
    """

    points: Mapping[str, ClassPoint]
    without: tuple[str, ...]
    wanted: str
    clips: Mapping[str, int]

    def describe(self) -> list[str]:
        """Return a line on the classes that have no threshold, and one on those that miss the aim."""
        lines = []
        if self.without:
            shown = ", ".join(map(show, self.without[:8])) + (", ..." if len(self.without) > 8 else "")
            lines.append(f"no threshold, because no validation clip has the class: {shown}")
        short = [c for c, point in self.points.items() if not point.reached]
        if short:
            shown = ", ".join(map(show, short[:8])) + (", ..." if len(short) > 8 else "")
            lines.append(
                f"{self.wanted} is not reached at any threshold, so a clip is never decided as: {shown}"
            )
        return lines

    def tabulate(self) -> pl.DataFrame:
        """Return one row a class: threshold, precision and recall with intervals."""
        rows = []
        for name, n in self.clips.items():
            point = self.points.get(name)
            row: dict[str, object] = {"class": name, "clips": n}
            row["threshold"] = None if point is None else point.threshold
            for what in ("precision", "recall"):
                found = None if point is None else point.precision if what == "precision" else point.recall
                row |= {what: None if found is None else found.value}
                row |= {f"{what}_low": None if found is None else found.low}
                row |= {f"{what}_high": None if found is None else found.high}
            row["reached"] = None if point is None else point.reached
            rows.append(row)
        floats = [f"{w}{e}" for w in ("precision", "recall") for e in ("", "_low", "_high")]
        kinds = {"class": pl.String, "clips": pl.Int64, "threshold": pl.Float64}
        schema = {**kinds, **dict.fromkeys(floats, pl.Float64), "reached": pl.Boolean}
        return pl.DataFrame(rows, schema=schema).with_columns(pl.col(floats).fill_nan(None))


def fit_class_thresholds(
    labelled: LabelledPredictions,
    probs_NC: np.ndarray,
    task: str,
    *,
    precision: float | None = None,
    recall: float | None = None,
) -> ClassFit:
    """Choose a threshold for each class that has labelled clips, except for blank ones.

    Where classes exclude each other, a clip counts for its most probable class alone, as in a decision.
    """
    top_N = probs_NC.argmax(1)
    points: dict[str, ClassPoint] = {}
    clips: dict[str, int] = {}
    for c, name in enumerate(labelled.classes):
        if is_blank(name):
            continue
        known_N = np.isfinite(labelled.targets_NC[:, c])
        has_N = labelled.targets_NC[known_N, c] == 1
        clips[name] = int(has_N.sum())
        if not has_N.any():
            continue
        score_N = np.where((top_N == c) | (task != "exclusive"), probs_NC[:, c], -1.0)[known_N]
        chosen = choose_class_threshold(score_N, has_N, precision=precision, recall=recall)
        points[name] = measure_class_threshold(score_N, has_N, labelled.groups_N[known_N], chosen)
    wanted = f"precision={precision:g}" if precision is not None else f"recall={recall:g}"
    return ClassFit(points, tuple(c for c, n in clips.items() if n == 0), wanted, clips)


def join_thresholds(
    blank: BlankFit | None, classes: ClassFit | None, *, calibrated: bool, before: Thresholds | None
) -> Thresholds:
    """Return what a checkpoint stores: what was chosen now, and what was chosen before of the other kind."""
    kept = before if before is not None and before.calibrated == calibrated else Thresholds()
    point = None if blank is None else blank.point
    return Thresholds(
        blank=kept.blank if blank is None else None if point is None else point.threshold,
        blank_classes=kept.blank_classes if blank is None else blank.blank_classes,
        classes=kept.classes if classes is None else {c: p.threshold for c, p in classes.points.items()},
        calibrated=calibrated,
    )


def tabulate_curve(curve: Sequence[BlankPoint]) -> pl.DataFrame:
    """Return one row a threshold: shares of blanks removed and of animals lost, with intervals."""
    columns: dict[str, list[float]] = {"threshold": [p.threshold for p in curve]}
    for name, shares in (
        ("blanks_removed", [p.removed for p in curve]),
        ("animals_lost", [p.missed for p in curve]),
    ):
        columns[name] = [i.value for i in shares]
        columns[f"{name}_low"] = [i.low for i in shares]
        columns[f"{name}_high"] = [i.high for i in shares]
    return pl.DataFrame(columns).fill_nan(None)
