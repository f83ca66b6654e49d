"""Choice of thresholds on labelled clips: which blank clips to remove, and when to trust a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from jungle.metrics.bootstrap import DRAWS, Interval, draw_sums

MOST_POINTS = 200  # of a curve


@dataclass(frozen=True, slots=True)
class BlankScores:
    """How blank some labelled clips look to a model, and what is in them.

    Attributes:
        score_N: probability of no animal.
        blank_N: bool, the clips labelled as blank.
        animal_N: bool, the clips labelled as having an animal.
        groups_N: the site of each clip as a number; a number of its own where no site is known.
    """

    score_N: np.ndarray
    blank_N: np.ndarray
    animal_N: np.ndarray
    groups_N: np.ndarray

    def where(self, keep_N: np.ndarray) -> BlankScores:
        """Return some of the clips."""
        return BlankScores(
            self.score_N[keep_N], self.blank_N[keep_N], self.animal_N[keep_N], self.groups_N[keep_N]
        )


@dataclass(frozen=True, slots=True)
class BlankPoint:
    """What removing the clips from a threshold up does: shares of all blank clips and of all animal clips."""

    threshold: float
    removed: Interval
    """Share of blank clips that go."""
    missed: Interval
    """Share of animal clips that are lost."""


@dataclass(frozen=True, slots=True)
class ClassPoint:
    """What a threshold does for one class, of the clips where it is the most probable.

    Attributes:
        threshold: the lowest probability at which the class is accepted.
        precision: share of the accepted clips that have the class.
        recall: share of the clips with the class that are accepted.
        reached: whether the wanted precision or recall is reached.
    """

    threshold: float
    precision: Interval
    recall: Interval
    reached: bool


def choose_blank_threshold(
    scores: BlankScores, max_missed: float, weights_N: np.ndarray | None = None
) -> float | None:
    """Return the lowest threshold at which at most a share of the animal clips is lost.

    Args:
        scores: labelled clips.
        max_missed: the share, 0 to below 1.
        weights_N: how often each clip counts; None = once.

    Returns:
        The lowest score of a clip above the last animal that must be kept; None where there is no such clip.
    """
    w_N = np.ones(len(scores.score_N)) if weights_N is None else weights_N
    animal_N = scores.animal_N & (w_N > 0)
    order = np.argsort(-scores.score_N[animal_N], kind="stable")
    lost_A = np.cumsum(w_N[animal_N][order])
    kept = np.flatnonzero(lost_A > max_missed * lost_A[-1] + 1e-9) if len(lost_A) else []
    bound = scores.score_N[animal_N][order][kept[0]] if len(kept) else -np.inf
    above = scores.score_N[(scores.score_N > bound) & (w_N > 0)]
    return float(above.min()) if len(above) else None


def measure_blank_threshold(
    scores: BlankScores, threshold: float, max_missed: float, draws: int = DRAWS, seed: int = 0
) -> BlankPoint:
    """Return what a threshold of `choose_blank_threshold` does, with intervals for as many other sites.

    In each draw of whole sites the threshold is chosen again, and a second draw shows what it does there. No
    interval is narrower than that of as many independent clips (Clopper and Pearson, 1934).
    """
    _, group_N = np.unique(scores.groups_N, return_inverse=True)
    groups = int(group_N.max()) + 1
    rng = np.random.default_rng(seed)
    sums = np.empty((draws, 4))
    for i in range(draws):
        seen_N, other_N = (
            np.bincount(rng.integers(0, groups, groups), minlength=groups)[group_N] for _ in range(2)
        )
        chosen = choose_blank_threshold(scores, max_missed, seen_N)
        gone_N = scores.score_N >= (np.inf if chosen is None else chosen)
        blank_N, animal_N = other_N * scores.blank_N, other_N * scores.animal_N
        sums[i] = (blank_N * gone_N).sum(), blank_N.sum(), (animal_N * gone_N).sum(), animal_N.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = sums[:, [0, 2]] / sums[:, [1, 3]]
    gone_N = scores.score_N >= threshold
    return BlankPoint(
        threshold, _widen(gone_N[scores.blank_N], drawn[:, 0]), _widen(gone_N[scores.animal_N], drawn[:, 1])
    )


def _widen(gone_N: np.ndarray, drawn_D: np.ndarray) -> Interval:
    """Return a share with the interval of draws, at least as wide as that of independent clips."""
    n, k = len(gone_N), int(gone_N.sum())
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    known_D = drawn_D[np.isfinite(drawn_D)]
    if len(known_D):
        low, high = min(low, np.quantile(known_D, 0.025)), max(high, np.quantile(known_D, 0.975))
    return Interval(_share(gone_N), float(low), float(high))


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def compute_blank_curve(scores: BlankScores, draws: int = DRAWS, seed: int = 0) -> list[BlankPoint]:
    """Return what each of up to 200 thresholds does, from the highest down.

    The intervals are of the threshold as it stands, over draws of whole sites.
    """
    values = np.unique(scores.score_N)[::-1]
    if len(values) > MOST_POINTS:
        values = values[np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)]
    gone_VN = scores.score_N[None] >= values[:, None]
    parts = [gone_VN & scores.blank_N, gone_VN & scores.animal_N]
    totals = np.stack([scores.blank_N, scores.animal_N]).astype(float)
    sums = draw_sums(np.concatenate([*parts, totals]).astype(float), scores.groups_N, draws, seed)
    blanks_DV, animals_DV = np.split(sums[:, :-2], 2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = [blanks_DV / sums[:, [-2]], animals_DV / sums[:, [-1]]]
    points = []
    for v, threshold in enumerate(values):
        removed, missed = (
            Interval(_share(part_VN[v][of_N]), *_quantiles(drawn_DV[:, v]))
            for part_VN, of_N, drawn_DV in zip(parts, (scores.blank_N, scores.animal_N), drawn, strict=True)
        )
        points.append(BlankPoint(float(threshold), removed, missed))
    return points


def _quantiles(drawn_D: np.ndarray) -> tuple[float, float]:
    known_D = drawn_D[np.isfinite(drawn_D)]
    if not len(known_D):
        return float("nan"), float("nan")
    low, high = np.quantile(known_D, [0.025, 0.975])
    return float(low), float(high)


def choose_class_threshold(
    score_N: np.ndarray, has_N: np.ndarray, *, precision: float | None = None, recall: float | None = None
) -> tuple[float, bool]:
    """Return the threshold of one class, and whether what is wanted is reached.

    Args:
        score_N: probability of the class; below 0 where another class is more probable.
        has_N: bool, the clips that have the class; at least one.
        precision: the lowest threshold that reaches this share of right clips; 1 where none does.
        recall: or the highest threshold that finds this share of the clips with the class.
    """
    values = np.unique(score_N[score_N >= 0])
    accepted_VN = [score_N >= v for v in values]
    if precision is not None:
        reached = [v for v, a_N in zip(values, accepted_VN, strict=True) if has_N[a_N].mean() >= precision]
        return (float(reached[0]), True) if reached else (1.0, False)
    reached = [v for v, a_N in zip(values, accepted_VN, strict=True) if a_N[has_N].mean() >= (recall or 0)]
    return (float(reached[-1]), True) if reached else (0.0, False)


def measure_class_threshold(
    score_N: np.ndarray,
    has_N: np.ndarray,
    groups_N: np.ndarray,
    chosen: tuple[float, bool],
    draws: int = DRAWS,
) -> ClassPoint:
    """Return precision and recall at a threshold, with intervals over draws of whole sites."""
    accepted_N = score_N >= chosen[0]
    right_N = accepted_N & has_N
    sums = draw_sums(np.stack([right_N, accepted_N, has_N]).astype(float), groups_N, draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_D, recall_D = sums[:, 0] / sums[:, 1], sums[:, 0] / sums[:, 2]
    precision = Interval(_share(has_N[accepted_N]), *_quantiles(precision_D))
    return ClassPoint(
        chosen[0], precision, Interval(_share(accepted_N[has_N]), *_quantiles(recall_D)), chosen[1]
    )
