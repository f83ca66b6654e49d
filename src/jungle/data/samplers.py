"""Samplers of training clips: natural, by class, and mixed with soft-labelled clips."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# The share of an epoch that is drawn by class; mixed is the first place's of Pri-matrix Factorization (2017).
BY_CLASS = {"natural": 0.0, "mixed": 0.4, "balanced": 1.0}
MOST = 10  # draws by class of one clip in an epoch: a class of two clips is not learnt by heart


@dataclass(frozen=True)
class Sampler:
    """Draws an epoch of as many clips as there are.

    What is drawn by class is shared out evenly over the classes; a clip with several classes is in each, and
    clips that are known to have none are a class of their own. A class too small for its share gets what
    `MOST` lets it have, and the rest of the epoch is drawn naturally: each clip as often as the next.

    Attributes:
        targets: float32 `[N, C]` by clip number; NaN where unknown.
        name: one of `BY_CLASS`.
    """

    targets: np.ndarray
    name: str = "natural"

    def __call__(self, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the clips of an epoch in order, as many as `numbers`."""
        members, quotas = self._quotas(numbers)
        # Rounded at a random start, so that each class has its share on average over epochs.
        ends = np.floor(np.cumsum([0.0, *quotas]) + rng.random())
        drawn = [
            _cycle(m, int(q), rng) for m, q in zip(members, np.diff(ends), strict=True) if int(q) and len(m)
        ]
        rest = len(numbers) - sum(len(d) for d in drawn)
        return rng.permutation(np.concatenate([*drawn, _cycle(numbers, rest, rng)]))

    def draws(self, numbers: np.ndarray) -> np.ndarray:
        """Return how often each of `numbers` is drawn in an epoch, on average; their sum is their number."""
        members, quotas = self._quotas(numbers)
        draws = np.zeros(len(self.targets))
        draws[numbers] = 1 - sum(quotas) / max(len(numbers), 1)
        for clips, quota in zip(members, quotas, strict=True):
            draws[clips] += quota / len(clips)
        return draws[numbers]

    def _quotas(self, numbers: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
        """Return the clips of each class that has any, and how many draws it gets."""
        share = BY_CLASS[self.name]
        if not share:
            return [], []
        has = self.targets[numbers] == 1
        none = (self.targets[numbers] == 0).all(1)
        members = [numbers[column] for column in (*has.T, none) if column.any()]
        each = share * len(numbers) / max(len(members), 1)
        return members, [min(each, float(MOST * len(m))) for m in members]


def _cycle(clips: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` of the clips: all of them, shuffled, again and again."""
    if not count:
        return clips[:0]
    return np.concatenate([rng.permutation(clips) for _ in range(-(-count // len(clips)))])[:count]


@dataclass(frozen=True)
class Mix:
    """Puts clips with soft labels among the labelled ones of an epoch.

    They are spread evenly: any n clips in a row, and so every batch of every device, hold n x share of them,
    give or take one; exactly n x share if that is a whole number. An epoch stays one pass over the labelled
    clips, with as many of the others as that takes; none repeats before all have been drawn.

    Attributes:
        soft: clip numbers.
        share: of what is trained on, from 0.001 to 0.999. The nearest fraction of whole numbers below a
            thousand is taken: of 0.3333 a third, 16 of 48.
    """

    soft: np.ndarray
    share: float

    def __call__(
        self, labelled: np.ndarray, rng: np.random.Generator, rank: int = 0, world: int = 1
    ) -> np.ndarray:
        """Return the clips of one device in order, given its labelled ones; `rng` is alike on each device."""
        share = Fraction(self.share).limit_denominator(1000)
        most = int(len(labelled) / (1 - share)) + 2
        is_soft = np.diff(np.arange(most + 1) * share.numerator // share.denominator) > 0
        is_soft = is_soft[: np.searchsorted(np.cumsum(~is_soft), len(labelled)) + 1]
        order = np.empty(len(is_soft), labelled.dtype)
        order[~is_soft] = labelled
        order[is_soft] = _cycle(self.soft, int(is_soft.sum()) * world, rng)[rank::world]
        return order
