"""Probabilities and what they are on the scale where they add up: log-odds, or logs of exclusive classes."""

import numpy as np

TINY = 1e-6
"""Probabilities are kept this far from 0 and 1 before their odds are taken: float32 answers mean no more."""


def scores_of(probs: np.ndarray, task: str) -> np.ndarray:
    """Return log p (exclusive) or the log-odds (multilabel) of probabilities, same shape; nan stays nan."""
    p = np.clip(probs, TINY, 1 - TINY)
    return np.log(p) if task == "exclusive" else np.log(p) - np.log1p(-p)


def probs_of(scores: np.ndarray, task: str) -> np.ndarray:
    """Return the probabilities `[..., C]` of scores; the inverse of `scores_of`."""
    if task == "exclusive":
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return 1 / (1 + np.exp(-scores))


def whole(probs_NC: np.ndarray, task: str) -> np.ndarray:
    """Return probabilities that add up to 1 where classes are exclusive, unchanged otherwise."""
    if task != "exclusive":
        return probs_NC
    total = probs_NC.sum(1, keepdims=True)
    return np.where(total > 0, probs_NC / np.maximum(total, 1e-12), 1 / probs_NC.shape[1])
