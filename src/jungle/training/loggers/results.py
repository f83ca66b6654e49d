"""What a training run came to, in the form that loggers show: scores, confusions, curves, clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jungle.console import log
from jungle.report import evaluation
from jungle.report.evaluation import Outcome

MOST_CLASSES = 100  # of a confusion matrix: W&B draws no table of more than 10,000 rows
MOST_POINTS = 101  # of one class's curve
MOST_ROWS = 9_000  # of all curves


@dataclass(frozen=True)
class ShownClip:
    """A clip, what is in it and what the model said of it."""

    clip: str
    picture_HWC: np.ndarray | None
    """A few of its frames side by side, uint8 RGB; None where it could not be read again."""
    truth: tuple[str, ...]
    top: str
    """The most probable class."""
    right: bool
    probs_C: np.ndarray
    reason: str = ""
    """Why there is no picture."""


@dataclass(frozen=True)
class Results:
    """The best checkpoint on the clips that were not trained on."""

    classes: tuple[str, ...]
    scores: Mapping[str, float]
    """As in `metrics.json`: `val/log_loss`, `val/class/lion/f1`."""
    splits: Mapping[str, Outcome]
    """`val` and `test`, if they have labels."""
    shown: Sequence[ShownClip] = ()
    epoch: int | None = None
    """Whose weights are the best."""
    checkpoint: Path | None = None

    @property
    def headline(self) -> dict[str, float]:
        """The scores that are of no single class."""
        return {name: value for name, value in self.scores.items() if "/class/" not in name}

    @property
    def of_classes(self) -> dict[str, float]:
        """The scores of single classes."""
        return {name: value for name, value in self.scores.items() if "/class/" in name}

    def class_rows(self, split: str) -> list[list[Any]]:
        """Return a row a class: its name, clips, F1, average precision and log loss; None where unknown."""
        names = ("clips", "f1", "ap", "log_loss")
        return [[c, *(self.scores.get(f"{split}/class/{c}/{name}") for name in names)] for c in self.classes]


CLASS_COLUMNS = ("class", "clips", "F1", "average precision", "log loss")


@dataclass(frozen=True)
class Confusion:
    """How often clips of each class were taken for each."""

    classes: list[str]
    counts_CC: np.ndarray
    """Rows are true classes, columns the most probable ones."""


def confusion(judged: Outcome, classes: Sequence[str]) -> Confusion | None:
    """Count the confusions of the classes that were there, or said; None where too many to be shown."""
    counts_CC = evaluation.compute_confusion_matrix(judged)
    there: list[int] = np.flatnonzero(counts_CC.sum(0) + counts_CC.sum(1)).tolist()
    if len(there) > MOST_CLASSES:
        log.info(f"no confusion matrix is logged: {len(there)} classes occur, {MOST_CLASSES} can be shown")
    if not there or len(there) > MOST_CLASSES:
        return None
    return Confusion([classes[c] for c in there], counts_CC[np.ix_(there, there)])


@dataclass(frozen=True)
class Curve:
    """Precision at each recall, of one class."""

    name: str
    recall_P: np.ndarray
    precision_P: np.ndarray


def precision_recall(judged: Outcome, classes: Sequence[str]) -> list[Curve]:
    """Return a curve for each class that a clip has.

    The precision at a recall is the best that is had at that recall or a higher one.
    """
    import torch
    from torchmetrics.functional.classification import binary_precision_recall_curve

    points = min(MOST_POINTS, max(MOST_ROWS // max(len(classes), 1), 2))
    wanted_P = np.linspace(0, 1, points)
    found = []
    for c, name in enumerate(classes):
        known = np.isfinite(judged.targets_NC[:, c])
        true_N = judged.targets_NC[known, c]
        if not (true_N == 1).any():
            continue
        probs = torch.from_numpy(judged.probs_NC[known, c])
        precision, recall, _ = binary_precision_recall_curve(probs, torch.from_numpy(true_N).long())
        order = np.argsort(recall.numpy(), kind="stable")
        recall_M, precision_M = recall.numpy()[order], precision.numpy()[order]
        best_M = np.maximum.accumulate(precision_M[::-1])[::-1]
        at = np.searchsorted(recall_M, wanted_P - 1e-6, side="left")
        found.append(Curve(name, wanted_P, best_M[at]))
    return found
