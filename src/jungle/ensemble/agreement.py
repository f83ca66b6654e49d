"""Agreement and disagreement of several models per clip, computed from arrays."""

from __future__ import annotations

import numpy as np
from scipy.special import entr


def vote(probs_MNC: np.ndarray, threshold: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class with most votes, `[N]`, and whether it has enough of them, bool `[N]`.

    Args:
        probs_MNC: of M members, N clips, C classes.
        threshold: smallest probability with which a member votes for its most likely class.
        least: smallest number of votes; more than half of the members, so that at most one class has it.
    """
    top_MN, sure_MN = probs_MNC.argmax(2), probs_MNC.max(2) >= threshold
    votes_NC = np.zeros(probs_MNC.shape[1:], np.int64)
    for top_N, sure_N in zip(top_MN, sure_MN, strict=True):
        votes_NC[np.flatnonzero(sure_N), top_N[sure_N]] += 1
    return votes_NC.argmax(1), votes_NC.max(1) >= least


def compute_deviation(probs_MNC: np.ndarray) -> np.ndarray:
    """Return the squared differences from the members' mean, summed over members and classes, `[N]`.

    Where this sum of five predictions was below 0.1, the first place of Pri-matrix Factorization (2017) used
    their mean as a soft label.
    """
    apart_MNC = probs_MNC.astype(np.float64) - probs_MNC.mean(0, dtype=np.float64)
    return (apart_MNC**2).sum((0, 2))


def compute_disagreement(probs_MNC: np.ndarray, exclusive: bool) -> np.ndarray:
    """Return the Jensen-Shannon divergence of the members' predictions, `[N]` in nats (Lin 1991).

    It is the entropy of their mean minus the mean of their entropies: 0 where they are the same, however
    uncertain. A clip with a large value needs a label; a clip on which all members are uncertain does not
    stand out. For `exclusive` classes there is one distribution per clip, and the divergence is at most
    log M; otherwise it is the sum over classes, each present or absent.
    """
    mean_NC = probs_MNC.mean(0, dtype=np.float64)
    own_N = np.mean([_entropy(p_NC, exclusive) for p_NC in probs_MNC.astype(np.float64)], axis=0)
    return np.maximum(_entropy(mean_NC, exclusive) - own_N, 0)


def _entropy(p_NC: np.ndarray, exclusive: bool) -> np.ndarray:
    return (entr(p_NC) if exclusive else entr(p_NC) + entr(1 - p_NC)).sum(1)
