"""Conversion between probabilities and logits (log p of exclusive classes)."""

import numpy as np

TINY = 1e-6
"""Distance of probabilities from 0 and 1 before logits are taken: the precision of float32 predictions."""
ONE = 1e-3  # tolerance of the sum of exclusive classes' probabilities


def to_logits(probs: np.ndarray, task: str) -> np.ndarray:
    """Return log p (exclusive) or logits (multilabel) of probabilities, same shape; nan stays nan."""
    p = np.clip(probs, TINY, 1 - TINY)
    return np.log(p) if task == "exclusive" else np.log(p) - np.log1p(-p)


def to_probabilities(scores: np.ndarray, task: str) -> np.ndarray:
    """Return the probabilities `[..., C]` of scores; the inverse of `to_logits`."""
    if task == "exclusive":
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return 1 / (1 + np.exp(-scores))


def normalise(probs_NC: np.ndarray, task: str) -> np.ndarray:
    """Return probabilities that add up to 1 where classes are exclusive, unchanged otherwise."""
    if task != "exclusive":
        return probs_NC
    total = probs_NC.sum(1, keepdims=True)
    return np.where(total <= 0, 1 / probs_NC.shape[1], probs_NC / np.maximum(total, 1e-12))


def adds_to_one(probs: np.ndarray) -> bool:
    """Tell whether probabilities `[..., C]` of several classes sum to 1, as of exclusive classes."""
    return probs.shape[-1] > 1 and bool((np.abs(probs.sum(-1) - 1) < ONE).all())
