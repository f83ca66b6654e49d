"""What several models agree on and what they disagree on, clip by clip: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from scipy.special import entr


def vote(probs_MNC: np.ndarray, threshold: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class most members are sure of `[N]`, and whether enough of them are, bool `[N]`.

    A clip is learnt from where the models give it the same answer.

    Args:
        probs_MNC: of M members, N clips, C classes.
        threshold: what a member's top class must have for its vote to count.
        least: members that must vote alike; more than half of them, so that there is one such class.
    """
    top_MN, sure_MN = probs_MNC.argmax(2), probs_MNC.max(2) >= threshold
    votes_NC = np.zeros(probs_MNC.shape[1:], np.int64)
    for top_N, sure_N in zip(top_MN, sure_MN, strict=True):
        votes_NC[np.flatnonzero(sure_N), top_N[sure_N]] += 1
    return votes_NC.argmax(1), votes_NC.max(1) >= least


def compute_deviation(probs_MNC: np.ndarray) -> np.ndarray:
    """Return by how much the members' answers to each clip differ, `[N]`.

    The squared differences from their mean, added up over members and classes: where they are below 0.1 the
    first place of Pri-matrix Factorization (2017) took the mean for a soft label, of five models.
    """
    apart_MNC = probs_MNC.astype(np.float64) - probs_MNC.mean(0, dtype=np.float64)
    return (apart_MNC**2).sum((0, 2))


def compute_disagreement(probs_MNC: np.ndarray, exclusive: bool) -> np.ndarray:
    """Return the Jensen-Shannon divergence of the members' answers to each clip, `[N]` in nats (Lin 1991).

    It is the entropy of their mean less the mean of their entropies: 0 where they say the same, however
    unsure they are, so it finds clips that a label would settle, not those that nobody could tell. Of
    `exclusive` classes it is of one distribution a clip, at most log M; else the sum over classes, each there
    or not.
    """
    mean_NC = probs_MNC.mean(0, dtype=np.float64)
    own_N = np.mean([_entropy(p_NC, exclusive) for p_NC in probs_MNC.astype(np.float64)], axis=0)
    return np.maximum(_entropy(mean_NC, exclusive) - own_N, 0)


def _entropy(p_NC: np.ndarray, exclusive: bool) -> np.ndarray:
    return (entr(p_NC) if exclusive else entr(p_NC) + entr(1 - p_NC)).sum(1)
