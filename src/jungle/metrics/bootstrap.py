"""Bootstrap intervals of scores: clips or whole sites are resampled (Efron 1979)."""

from dataclasses import dataclass

import numpy as np

from jungle.metrics.scores import cell_losses, log_loss, top_k

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A score, and the interval with 95 % of its bootstrap values."""

    value: float
    low: float
    high: float


def compute_intervals(
    probs_NC: np.ndarray,
    targets_NC: np.ndarray,
    groups_N: np.ndarray,
    against_NC: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return `log_loss` and `accuracy` with intervals; with `against_NC`, of the differences from it.

    Clips of one site are similar, so whole groups are resampled. A difference below 0 in log loss, or above 0
    in accuracy, means that `probs_NC` is better.

    Args:
        probs_NC: predictions.
        targets_NC: labels; nan where unknown.
        groups_N: the site of each clip as a number; a number of its own where no site is known.
        against_NC: predictions to compare with.
        draws: bootstrap samples.
        seed: of the samples.
    """
    loss_N, cells_N = _losses(probs_NC, targets_NC)
    right_N, counts_N = _right(probs_NC, targets_NC)
    value = {"log_loss": log_loss(probs_NC, targets_NC), "accuracy": top_k(probs_NC, targets_NC)}
    if against_NC is not None:
        loss_N = loss_N - _losses(against_NC, targets_NC)[0]
        right_N = right_N - _right(against_NC, targets_NC)[0]
        value["log_loss"] -= log_loss(against_NC, targets_NC)
        value["accuracy"] -= top_k(against_NC, targets_NC)
    sums = draw_sums(np.stack([loss_N, cells_N, right_N, counts_N]), groups_N, draws, seed)
    drawn = sums[:, [0, 2]] / np.maximum(sums[:, [1, 3]], 1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {name: Interval(value[name], float(low[i]), float(high[i])) for i, name in enumerate(value)}


def draw_sums(values_VN: np.ndarray, groups_N: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return the sums `[draws, V]` of values over the clips of resampled groups.

    Args:
        values_VN: V values of each clip.
        groups_N: the site of each clip as a number.
        draws: bootstrap samples.
        seed: of the samples.
    """
    _, group_N = np.unique(groups_N, return_inverse=True)
    groups = int(group_N.max()) + 1
    sums_VG = np.stack([np.bincount(group_N, v, groups) for v in values_VN])
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(values_VN)))
    for i in range(draws):
        drawn[i] = sums_VG @ np.bincount(rng.integers(0, groups, groups), minlength=groups)
    return drawn


def _losses(probs_NC: np.ndarray, targets_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each clip's summed loss and its number of known cells."""
    return np.nansum(cell_losses(probs_NC, targets_NC), axis=1), np.isfinite(targets_NC).sum(1).astype(float)


def _right(probs_NC: np.ndarray, targets_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each clip's most likely class is correct, and whether the clip has a class."""
    y = np.nan_to_num(targets_NC) == 1
    return y[np.arange(len(y)), probs_NC.argmax(1)].astype(float), y.any(1).astype(float)
