"""What an ensemble is worth: beside its members, by class, without each member, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jungle.ensemble.blend import joined
from jungle.ensemble.board import Board
from jungle.ensemble.bootstrap import Interval, intervals
from jungle.metrics.scores import class_log_loss, log_loss, top_k


@dataclass(frozen=True)
class Row:
    """One model: its scores, and what the ensemble would have without it."""

    name: str
    log_loss: float
    accuracy: float
    without: float | None
    """Log loss of the ensemble fitted without this member; None where that was not asked."""
    adds: float | None
    """How the log loss changes by this member, all fitted alike: below 0 it helps."""


@dataclass(frozen=True)
class Judged:
    """An ensemble on the labelled clips of one split."""

    split: str
    clips: int
    not_judged: int
    """Labelled clips that some member could not read."""
    sites: int
    scores: dict[str, Interval]
    """`log_loss` and `accuracy`, over sites drawn again."""
    against: dict[str, Interval]
    """The differences to the best member."""
    best: str
    members: list[Row]
    classes: list[tuple[str, int, float, float, float]]
    """Name, clips, log loss, share of the total, log loss of the best member."""


def judge(
    board: Board, probs_NC: np.ndarray, split: str, of: Callable[[list[int]], np.ndarray] | None
) -> Judged | None:
    """Judge the ensemble's `probs_NC` for the clips of a board, as far as every member has read them.

    None where no such clip has a label.

    Args:
        board: the members' answers.
        probs_NC: the ensemble's, for all clips of the board.
        split: its name.
        of: answers for the board's clips of the ensemble of some members, by their numbers.
    """
    at = np.flatnonzero(board.judged_N)
    if not len(at):
        return None
    y_NC, groups_N = board.targets_NC[at], board.groups_N[at]
    singles = [completed(board, i)[at] for i in range(len(board.names))]
    losses = [log_loss(p, y_NC) for p in singles]
    best = int(np.argmin(losses))
    every = range(len(board.names))
    whole = None if of is None else log_loss(of(list(every))[at], y_NC)
    rows = []
    for i, name in enumerate(board.names):
        left = None if of is None else log_loss(of([m for m in every if m != i])[at], y_NC)
        adds = None if left is None or whole is None else whole - left
        rows.append(Row(name, losses[i], top_k(singles[i], y_NC), left, adds))
    loss_C, best_C = class_log_loss(probs_NC[at], y_NC), class_log_loss(singles[best], y_NC)
    total = float(np.nansum(loss_C))
    classes = [
        (
            c,
            int((y_NC[:, i] == 1).sum()),
            float(loss_C[i]),
            float(loss_C[i]) / total if total else 0.0,
            float(best_C[i]),
        )
        for i, c in enumerate(board.classes)
    ]
    return Judged(
        split=split,
        clips=len(at),
        not_judged=board.not_judged,
        sites=len(np.unique(groups_N)),
        scores=intervals(probs_NC[at], y_NC, groups_N),
        against=intervals(probs_NC[at], y_NC, groups_N, singles[best]),
        best=board.names[best],
        members=rows,
        classes=classes,
    )


def completed(board: Board, member: int) -> np.ndarray:
    """Return a member's answers `[N, C]`; classes that it does not know get the mean of the others."""
    weights = np.full(len(board.names), 1e-9)
    weights[member] = 1
    return joined(board.rows(np.arange(len(board.clips))), weights)
