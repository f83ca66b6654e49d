"""Reliability: how often a stated probability comes true."""

import math
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often a stated probability came true, in ten equal bins.

    Attributes:
        stated: mean probability of each bin; nan where it is empty.
        happened: share that came true; nan where the bin is empty.
        counts: probabilities in each bin.
        error: expected calibration error: the mean distance of the two, weighted by counts (Naeini et al.,
            2015).
    """

    stated: list[float]
    happened: list[float]
    counts: list[int]
    error: float


@dataclass(frozen=True, slots=True)
class Statements:
    """Stated probabilities and what came true, float64 and 0/1 `[M]`, and the row of the clip of each."""

    stated_M: np.ndarray
    true_M: np.ndarray
    row_M: np.ndarray

    @property
    def bin_M(self) -> np.ndarray:
        """The bin of each probability, 0 to 9."""
        return np.minimum((self.stated_M * BINS).astype(int), BINS - 1)


def collect_statements(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Statements:
    """Return the statements that probabilities make.

    Exclusive classes: the probability of the most probable class. Several classes a clip: every probability
    whose label is known.
    """
    if task == "exclusive":
        row_N = np.arange(len(probs_NC))
        true_N = targets_NC[row_N, probs_NC.argmax(1)] == 1
        return Statements(probs_NC.max(1), true_N.astype(float), row_N)
    row_M, class_M = np.nonzero(np.isfinite(targets_NC))
    return Statements(probs_NC[row_M, class_M], targets_NC[row_M, class_M], row_M)


def compute_reliability(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Reliability:
    """Compare stated probabilities with what happened."""
    found = collect_statements(probs_NC, targets_NC, task)
    bin_M = found.bin_M
    stated, happened, counts, error = [], [], [], 0.0
    for b in range(BINS):
        here = bin_M == b
        n = int(here.sum())
        stated.append(float(found.stated_M[here].mean()) if n else math.nan)
        happened.append(float(found.true_M[here].mean()) if n else math.nan)
        counts.append(n)
        error += abs(stated[-1] - happened[-1]) * n / len(found.stated_M) if n else 0.0
    return Reliability(stated, happened, counts, error)
