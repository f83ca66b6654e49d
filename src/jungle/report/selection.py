"""Selection of the most informative clips for a report."""

from collections.abc import Sequence

import numpy as np

from jungle.report.evaluation import Outcome


def select_errors(outcome: Outcome, most: int) -> list[int]:
    """Return rows of wrong clips, the most confident first."""
    wrong = np.flatnonzero(~outcome.right_N & (outcome.targets_NC == 1).any(1))
    return _sort_by(wrong, -outcome.probs_NC.max(1), outcome.clips)[:most]


def select_correct(outcome: Outcome, most: int) -> list[int]:
    """Return rows of right clips, the most confident of every class in turn."""
    good = np.flatnonzero(outcome.right_N)
    return _take_in_turn(good, outcome.top_N, outcome.probs_NC.max(1), outcome.clips, most)


def select_confident(probs_NC: np.ndarray, clips: Sequence[str], most: int, said_N: np.ndarray) -> list[int]:
    """Return rows of the most confident clips of each class in turn, of those in which one was found."""
    return _take_in_turn(np.flatnonzero(said_N), probs_NC.argmax(1), probs_NC.max(1), clips, most)


def select_uncertain(probs_NC: np.ndarray, clips: Sequence[str], most: int) -> list[int]:
    """Return rows of the clips whose most probable class is least probable."""
    return _sort_by(np.arange(len(clips)), probs_NC.max(1), clips)[:most]


def _take_in_turn(
    rows: np.ndarray, group_N: np.ndarray, sure_N: np.ndarray, clips: Sequence[str], most: int
) -> list[int]:
    """Return the surest of every group, then the second of every group, up to `most`, sorted by group."""
    queues = {
        g: _sort_by(rows[group_N[rows] == g], -sure_N, clips) for g in sorted(set(group_N[rows].tolist()))
    }
    taken: list[int] = []
    depth = 0
    while len(taken) < most and any(len(q) > depth for q in queues.values()):
        for queue in queues.values():
            if len(queue) > depth and len(taken) < most:
                taken.append(queue[depth])
        depth += 1
    return sorted(taken, key=lambda row: (group_N[row], -sure_N[row]))


def _sort_by(rows: np.ndarray, key_N: np.ndarray, clips: Sequence[str]) -> list[int]:
    # Ties are broken by name, so that the same run gives the same page.
    return sorted((int(r) for r in rows), key=lambda r: (key_N[r], clips[r]))
