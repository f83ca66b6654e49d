"""Evaluation of an ensemble: against its members, per class, without each member, with intervals.

A gain above 0 is always better: for log loss it is the reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jungle.ensemble.blend import complete_member
from jungle.ensemble.prediction_matrix import PredictionMatrix
from jungle.metrics.bootstrap import Interval, compute_intervals
from jungle.metrics.scores import class_log_loss, log_loss, top_k


@dataclass(frozen=True)
class MemberScore:
    """Scores of one member, and of the ensemble without it."""

    name: str
    log_loss: float
    """Of its predictions without calibration."""
    calibrated: float | None
    """Log loss of its predictions, calibrated like the ensemble's; None if nothing is calibrated."""
    accuracy: float
    without: float | None
    """Log loss of the ensemble fitted without this member; None if it was not fitted."""
    gain: float | None
    """`without` minus the `whole` of the evaluation."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Log loss of the ensemble for one class.

    Attributes:
        name: of the class.
        clips: that have it.
        log_loss: of the ensemble.
        share: of the log loss of all classes.
        best_log_loss: of the best member, calibrated like the ensemble.
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
    """`log_loss` and `accuracy`, with bootstrap intervals over sites."""
    gain: dict[str, Interval]
    """Gain over the best member, calibrated like the ensemble: above 0 the ensemble is better."""
    best: str
    """The member with the lowest calibrated log loss; one that knows all classes, if any does."""
    members: list[MemberScore]
    classes: list[ClassScore]
    whole: float | None = None
    """Log loss of the ensemble of all members, fitted like those without one; None if there are none."""


def evaluate(
    matrix: PredictionMatrix,
    probs_NC: np.ndarray,
    split: str,
    of: Callable[[list[int]], np.ndarray] | None,
    calibrated: Sequence[np.ndarray] | None = None,
) -> Evaluation | None:
    """Evaluate an ensemble on the labelled clips that every member has read; None without such clips.

    The best member is calibrated like the ensemble, because calibration alone lowers a log loss.

    Args:
        matrix: the members' predictions.
        probs_NC: the ensemble's, for all clips of the matrix.
        split: its name.
        of: predicts the matrix's clips with the ensemble of some members, given by their numbers, which is
            fitted in the same way for any of them; None = members are not left out.
        calibrated: predictions `[N, C]` of each member, calibrated like the ensemble's; None if those are not
            calibrated.
    """
    at = np.flatnonzero(matrix.scored_N)
    if not len(at):
        return None
    y_NC, groups_N = matrix.targets_NC[at], matrix.groups_N[at]
    singles = [complete_member(matrix, i)[at] for i in range(len(matrix.names))]
    compared = singles if calibrated is None else [p[at] for p in calibrated]
    losses = [log_loss(p, y_NC) for p in compared]
    best = find_best(matrix, losses)
    every = range(len(matrix.names))
    whole = None if of is None else log_loss(of(list(every))[at], y_NC)
    rows = []
    for i, name in enumerate(matrix.names):
        others = [m for m in every if m != i]
        known = np.isfinite(matrix.probs_MNC[others]).any(0).all()  # each class by some other member
        left = None if of is None or not known else log_loss(of(others)[at], y_NC)
        gain = None if left is None or whole is None else left - whole
        after = None if calibrated is None else losses[i]
        rows.append(MemberScore(name, log_loss(singles[i], y_NC), after, top_k(singles[i], y_NC), left, gain))
    loss_C, best_C = class_log_loss(probs_NC[at], y_NC), class_log_loss(compared[best], y_NC)
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
        gain=_gain(compute_intervals(probs_NC[at], y_NC, groups_N, compared[best])),
        best=matrix.names[best],
        members=rows,
        classes=classes,
        whole=whole,
    )


def find_best(matrix: PredictionMatrix, losses: Sequence[float]) -> int:
    """Return the number of the member with the lowest log loss; one that knows all classes, if any does."""
    whole = [bool(np.isfinite(p_NC[matrix.scored_N]).all()) for p_NC in matrix.probs_MNC]
    return min(range(len(losses)), key=lambda i: (any(whole) and not whole[i], losses[i]))


def _gain(difference: dict[str, Interval]) -> dict[str, Interval]:
    """Return gains for differences: a lower log loss and a higher accuracy are above 0."""
    loss = difference["log_loss"]
    return {**difference, "log_loss": Interval(-loss.value, -loss.high, -loss.low)}
