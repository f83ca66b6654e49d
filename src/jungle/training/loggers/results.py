"""Results of a training run as loggers show them: scores, confusions, curves, clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.classification import binary_precision_recall_curve

from jungle.console import log
from jungle.report import evaluation
from jungle.report.evaluation import Outcome

MAX_CLASSES = 100  # of a confusion matrix: W&B draws no table of more than 10,000 rows
MAX_POINTS = 101  # of one class's curve
MAX_ROWS = 9_000  # of all curves


@dataclass(frozen=True, slots=True)
class ShownClip:
    """A clip, its labels and the model's prediction."""

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


@dataclass(frozen=True, slots=True)
class Results:
    """The best checkpoint on the clips that were not trained on."""

    classes: tuple[str, ...]
    scores: Mapping[str, float]
    """As in `metrics.json`: `val/log_loss`, `val/class/lion/f1`."""
    splits: Mapping[str, Outcome]
    """`val` and `test`, if they have labels."""
    clips: Sequence[ShownClip] = ()
    """A few validation clips."""
    epoch: int | None = None
    """Of the best checkpoint."""
    checkpoint: Path | None = None

    @property
    def headline(self) -> dict[str, float]:
        """The scores over all classes."""
        return {name: value for name, value in self.scores.items() if "/class/" not in name}

    @property
    def class_scores(self) -> dict[str, float]:
        """The scores of single classes."""
        return {name: value for name, value in self.scores.items() if "/class/" in name}

    def class_rows(self, split: str) -> list[list[object]]:
        """Return a row per class: its name, clips, F1, average precision and log loss; None where unknown."""
        names = ("clips", "f1", "ap", "log_loss")
        return [[c, *(self.scores.get(f"{split}/class/{c}/{name}") for name in names)] for c in self.classes]


CLASS_COLUMNS = ("class", "clips", "F1", "average precision", "log loss")


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often clips of each class were taken for each."""

    classes: list[str]
    counts_CC: np.ndarray
    """Rows are true classes, columns the most probable ones."""


def count_confusions(outcome: Outcome, classes: Sequence[str]) -> Confusion | None:
    """Count the confusions of the classes that occur or were predicted; None where too many to be shown."""
    counts_CC = evaluation.compute_confusion_matrix(outcome)
    there: list[int] = np.flatnonzero(counts_CC.sum(0) + counts_CC.sum(1)).tolist()
    if len(there) > MAX_CLASSES:
        log.info(f"no confusion matrix is logged: {len(there)} classes occur, {MAX_CLASSES} can be shown")
    if not there or len(there) > MAX_CLASSES:
        return None
    return Confusion([classes[c] for c in there], counts_CC[np.ix_(there, there)])


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision at each recall, of one class."""

    name: str
    recall_P: np.ndarray
    precision_P: np.ndarray


def compute_curves(outcome: Outcome, classes: Sequence[str]) -> list[Curve]:
    """Compute a curve for each class that a clip has.

    The precision at a recall is the highest at that recall or a higher one.
    """
    points = min(MAX_POINTS, max(MAX_ROWS // max(len(classes), 1), 2))
    wanted_P = np.linspace(0, 1, points)
    found = []
    for c, name in enumerate(classes):
        known = np.isfinite(outcome.targets_NC[:, c])
        true_N = outcome.targets_NC[known, c]
        if not (true_N == 1).any():
            continue
        probs = torch.from_numpy(outcome.probs_NC[known, c])
        precision, recall, _ = binary_precision_recall_curve(probs, torch.from_numpy(true_N).long())
        order = np.argsort(recall.numpy(), kind="stable")
        recall_M, precision_M = recall.numpy()[order], precision.numpy()[order]
        best_M = np.maximum.accumulate(precision_M[::-1])[::-1]
        at = np.searchsorted(recall_M, wanted_P - 1e-6, side="left")
        found.append(Curve(name, wanted_P, best_M[at]))
    return found
