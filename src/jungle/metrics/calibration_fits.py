"""Fits of a calibration to predictions for held-out clips.

Each fit takes probabilities `[N, C]`, labels `[N, C]` (nan where unknown) and the task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from jungle.metrics.calibration import Calibration, Knots, thin_knots
from jungle.metrics.cross_validation import predict_parts
from jungle.metrics.logits import to_logits, to_probabilities
from jungle.metrics.scores import log_loss

LOWEST = np.arange(1, 10) * 1e-5
HIGHEST = np.arange(0.95, 0.9999, 1e-4)
"""The third place's grid of 9 floors and 500 ceilings (Pri-matrix Factorization, 2017)."""
FEW = 5  # clips with the class, and clips without it, below which the class is not calibrated


def none(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Calibration:
    """Change nothing."""
    return Calibration("none", task)


def temperature(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Calibration:
    """Divide all logits by one number (Guo et al. 2017): sharper below 1, softer above."""
    z_NC = to_logits(probs_NC, task)
    found = minimize_scalar(
        lambda log_t: log_loss(to_probabilities(z_NC / np.exp(log_t), task), targets_NC),
        bounds=(-1.5, 1.5),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return Calibration("temperature", task, temperature=float(np.exp(found.x)))


def platt(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Calibration:
    """Fit a slope and an offset for the logits of each class (Platt 1999), except for rare classes."""
    z_NC = to_logits(probs_NC, "multilabel")
    slope_C, offset_C = np.ones(z_NC.shape[1]), np.zeros(z_NC.shape[1])
    for c, (z, y) in enumerate(zip(z_NC.T, targets_NC.T, strict=True)):
        known = np.isfinite(y)
        if _few(y[known]):
            continue
        fitted = LogisticRegression(C=100.0, max_iter=200).fit(z[known, None], y[known].astype(int))
        slope_C[c], offset_C[c] = max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0])

    return Calibration("platt", task, slopes=tuple(slope_C.tolist()), offsets=tuple(offset_C.tolist()))


def isotonic(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Calibration:
    """Fit an increasing step function per class (Zadrozny and Elkan 2002); for thousands of clips."""
    knots: list[Knots | None] = []
    for p, y in zip(probs_NC.T, targets_NC.T, strict=True):
        known = np.isfinite(y)
        if _few(y[known]):
            knots.append(None)
            continue
        least = 1 / (2 * known.sum() + 2)  # no step is 0 or 1
        fit = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        fit.fit(p[known], y[known])
        knots.append(thin_knots(fit.X_thresholds_, fit.y_thresholds_, probs_NC.shape[1]))
    return Calibration("isotonic", task, knots=tuple(knots))


def clip(probs_NC: np.ndarray, targets_NC: np.ndarray, task: str) -> Calibration:
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
    return Calibration("clip", task, lowest=tuple(low_C.tolist()), highest=tuple(high_C.tolist()))


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


CALIBRATIONS: dict[str, Callable[[np.ndarray, np.ndarray, str], Calibration]] = {
    "none": none,
    "temperature": temperature,
    "platt": platt,
    "isotonic": isotonic,
    "clip": clip,
}


def calibrate_held_out(
    name: str, probs_NC: np.ndarray, targets_NC: np.ndarray, task: str, parts: Sequence[np.ndarray]
) -> np.ndarray:
    """Return probabilities `[N, C]`, those of each part calibrated by a fit to the other parts."""

    def calibrate(rest: np.ndarray, held: np.ndarray) -> np.ndarray:
        return CALIBRATIONS[name](probs_NC[rest], targets_NC[rest], task)(probs_NC[held])

    return predict_parts(parts, probs_NC.shape, calibrate)
