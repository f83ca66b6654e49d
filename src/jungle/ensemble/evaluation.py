"""What an ensemble is worth: beside its members, by class, without each member, and how sure that is.

One sign throughout, here and on the page: a gain above 0 is better. Of log loss it is what was taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jungle.ensemble.blend import complete_member
from jungle.ensemble.bootstrap import Interval, compute_intervals
from jungle.ensemble.prediction_matrix import PredictionMatrix
from jungle.metrics.scores import class_log_loss, log_loss, top_k


@dataclass(frozen=True)
class MemberScore:
    """One model: its scores, and what the ensemble would have without it."""

    name: str
    log_loss: float
    """Of its answers as they are."""
    calibrated: float | None
    """Log loss of its answers calibrated as the ensemble's are; None where nothing is calibrated."""
    accuracy: float
    without: float | None
    """Log loss of the ensemble fitted without this member; None where that was not asked."""
    gain: float | None
    """Log loss that this member takes off that of all together, all fitted alike: above 0 it helps."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Log loss of the ensemble for one class.

    Attributes:
        name: of the class.
        clips: that have it.
        log_loss: of the ensemble.
        share: of the log loss of all classes.
        best_log_loss: of the best member, calibrated as the ensemble is.
    """

    name: str
    clips: int
    log_loss: float
    share: float
    best_log_loss: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An ensemble on the labelled clips of one split."""

    split: str
    clips: int
    unscored: int
    """Labelled clips that some member could not read."""
    sites: int
    scores: dict[str, Interval]
    """`log_loss` and `accuracy`, over sites drawn again."""
    gain: dict[str, Interval]
    """What it gains on the best member, calibrated as the ensemble is: above 0 the ensemble is better."""
    best: str
    """The member with the least log loss after that; one that knows all classes, where there is one."""
    members: list[MemberScore]
    classes: list[ClassScore]


def evaluate(
    matrix: PredictionMatrix,
    probs_NC: np.ndarray,
    split: str,
    of: Callable[[list[int]], np.ndarray] | None,
    calibrated: Sequence[np.ndarray] | None = None,
) -> Evaluation | None:
    """Evaluate an ensemble on the labelled clips that every member has read; None without such clips.

    Calibration alone lowers a log loss, and needs no second model: what joining is worth is seen beside the
    best member calibrated in the same way.

    Args:
        matrix: the members' answers.
        probs_NC: the ensemble's, for all clips of the matrix.
        split: its name.
        of: answers for the matrix's clips of the ensemble of some members, by their numbers.
        calibrated: each member's own answers `[N, C]`, calibrated as the ensemble's are; None where those are
            not.
    """
    at = np.flatnonzero(matrix.scored_N)
    if not len(at):
        return None
    y_NC, groups_N = matrix.targets_NC[at], matrix.groups_N[at]
    singles = [complete_member(matrix, i)[at] for i in range(len(matrix.names))]
    beside = singles if calibrated is None else [p[at] for p in calibrated]
    losses = [log_loss(p, y_NC) for p in beside]
    best = find_best(matrix, losses)
    every = range(len(matrix.names))
    whole = None if of is None else log_loss(of(list(every))[at], y_NC)
    rows = []
    for i, name in enumerate(matrix.names):
        left = None if of is None else log_loss(of([m for m in every if m != i])[at], y_NC)
        gain = None if left is None or whole is None else left - whole
        after = None if calibrated is None else losses[i]
        rows.append(MemberScore(name, log_loss(singles[i], y_NC), after, top_k(singles[i], y_NC), left, gain))
    loss_C, best_C = class_log_loss(probs_NC[at], y_NC), class_log_loss(beside[best], y_NC)
    total = float(np.nansum(loss_C))
    classes = [
        ClassScore(
            name=c,
            clips=int((y_NC[:, i] == 1).sum()),
            log_loss=float(loss_C[i]),
            share=float(loss_C[i]) / total if total else 0.0,
            best_log_loss=float(best_C[i]),
        )
        for i, c in enumerate(matrix.classes)
    ]
    return Evaluation(
        split=split,
        clips=len(at),
        unscored=matrix.unscored,
        sites=len(np.unique(groups_N)),
        scores=compute_intervals(probs_NC[at], y_NC, groups_N),
        gain=_gain(compute_intervals(probs_NC[at], y_NC, groups_N, beside[best])),
        best=matrix.names[best],
        members=rows,
        classes=classes,
    )


def find_best(matrix: PredictionMatrix, losses: Sequence[float]) -> int:
    """Return the member of the least log loss, of those that know all classes where there are any."""
    whole = [bool(np.isfinite(p_NC[matrix.scored_N]).all()) for p_NC in matrix.probs_MNC]
    return min(range(len(losses)), key=lambda i: (any(whole) and not whole[i], losses[i]))


def _gain(difference: dict[str, Interval]) -> dict[str, Interval]:
    """Return differences so that above 0 is better: less log loss, more accuracy."""
    loss = difference["log_loss"]
    return {**difference, "log_loss": Interval(-loss.value, -loss.high, -loss.low)}
