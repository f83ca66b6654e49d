"""Calibration of probabilities, fitted on predictions for held-out clips.

Each function takes probabilities `[n, C]`, labels `[n, C]` (nan where unknown) and the task. It returns a
function that calibrates probabilities, and its fitted values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from jungle.ensemble.logits import normalise, to_logits, to_probabilities
from jungle.metrics.scores import log_loss

Calibration = Callable[[np.ndarray], np.ndarray]


class CalibrationValues(TypedDict, total=False):
    """Fitted values of a calibration, for `stack.json`; each calibration has some of them.

    Attributes:
        temperature: the divisor of all logits.
        slopes, offsets: of each class's logits.
        classes: how many classes were fitted.
        lowest, highest: floor and ceiling of each class.
    """

    temperature: float
    slopes: list[float]
    offsets: list[float]
    classes: int
    lowest: list[float]
    highest: list[float]


Fitted = tuple[Calibration, CalibrationValues]

LOWEST = np.arange(1, 10) * 1e-5
HIGHEST = np.arange(0.95, 0.9999, 1e-4)
"""The third place's grid of 9 floors and 500 ceilings (Pri-matrix Factorization, 2017)."""
FEW = 5  # clips with the class, and clips without it, below which the class is not calibrated


def none(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Fitted:
    """Change nothing."""
    return lambda p: p, {}


def temperature(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Fitted:
    """Divide all logits by one number (Guo et al. 2017): sharper below 1, softer above."""
    z_NC = to_logits(probs_NC, task)
    found = minimize_scalar(
        lambda log_t: log_loss(to_probabilities(z_NC / np.exp(log_t), task), targets_NC),
        bounds=(-1.5, 1.5),
        method="bounded",
        options={"xatol": 1e-3},
    )
    t = float(np.exp(found.x))
    return lambda p: to_probabilities(to_logits(p, task) / t, task), {"temperature": round(t, 4)}


def platt(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Fitted:
    """Fit a slope and an offset for the logits of each class (Platt 1999), except for rare classes."""
    z_NC = to_logits(probs_NC, "multilabel")
    slope_C, offset_C = np.ones(z_NC.shape[1]), np.zeros(z_NC.shape[1])
    for c, (z, y) in enumerate(zip(z_NC.T, targets_NC.T, strict=True)):
        known = np.isfinite(y)
        if _few(y[known]):
            continue
        fitted = LogisticRegression(C=100.0, max_iter=200).fit(z[known, None], y[known].astype(int))
        slope_C[c], offset_C[c] = max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0])

    def move(p: np.ndarray) -> np.ndarray:
        return normalise(
            to_probabilities(to_logits(p, "multilabel") * slope_C + offset_C, "multilabel"), task
        )

    return move, {"slopes": slope_C.round(4).tolist(), "offsets": offset_C.round(4).tolist()}


def isotonic(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Fitted:
    """Fit an increasing step function per class (Zadrozny and Elkan 2002); for thousands of clips."""
    steps: list[IsotonicRegression | None] = []
    for p, y in zip(probs_NC.T, targets_NC.T, strict=True):
        known = np.isfinite(y)
        if _few(y[known]):
            steps.append(None)
            continue
        least = 1 / (2 * known.sum() + 2)  # no step is 0 or 1
        fit = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        steps.append(fit.fit(p[known], y[known]))

    def move(p: np.ndarray) -> np.ndarray:
        columns = [p[:, c] if s is None else s.predict(p[:, c]) for c, s in enumerate(steps)]
        return normalise(np.stack(columns, axis=1), task)

    return move, {"classes": sum(s is not None for s in steps)}


def clip(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Fitted:
    """Clip each class to the floor and the ceiling of the third place's grid with the lowest log loss."""
    low_C, high_C = np.zeros(probs_NC.shape[1]), np.ones(probs_NC.shape[1])
    for c, (p, y) in enumerate(zip(probs_NC.T, targets_NC.T, strict=True)):
        known = np.isfinite(y)
        p, y = np.clip(p[known].astype(np.float64), 1e-15, 1 - 1e-15), y[known]
        if not len(y):
            continue
        # A floor changes only probabilities below it, a ceiling only those above: each is found separately.
        low_C[c] = LOWEST[np.argmin(_bounded_losses(p, y, LOWEST, from_below=True))]
        high_C[c] = HIGHEST[np.argmin(_bounded_losses(p, y, HIGHEST, from_below=False))]
    return lambda p: np.clip(p, low_C, high_C), {"lowest": low_C.tolist(), "highest": high_C.tolist()}


def _bounded_losses(p_N: np.ndarray, y_N: np.ndarray, bounds_V: np.ndarray, from_below: bool) -> np.ndarray:
    """Return the summed log loss `[V]` with probabilities clipped at each bound.

    Cumulative sums over sorted probabilities: computing each loss by itself would take a minute for the
    competition's clips.
    """
    order = np.argsort(p_N if from_below else -p_N)
    p_N, y_N = p_N[order], y_N[order]  # those that a bound changes come first
    loss_N = -(y_N * np.log(p_N) + (1 - y_N) * np.log1p(-p_N))
    moved_V = np.searchsorted(p_N, bounds_V) if from_below else np.searchsorted(-p_N, -bounds_V)
    left_V = np.concatenate([np.cumsum(loss_N[::-1])[::-1], [0.0]])[moved_V]
    has_V = np.concatenate([[0.0], np.cumsum(y_N)])[moved_V]
    return left_V - has_V * np.log(bounds_V) - (moved_V - has_V) * np.log1p(-bounds_V)


def _few(y: np.ndarray) -> bool:
    return min(int((y == 1).sum()), int((y == 0).sum())) < FEW


CALIBRATIONS: dict[str, Callable[[np.ndarray, np.ndarray, str], Fitted]] = {
    "none": none,
    "temperature": temperature,
    "platt": platt,
    "isotonic": isotonic,
    "clip": clip,
}
