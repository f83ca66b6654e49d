"""Reads stored features for a loader."""

from collections.abc import Iterator, Sequence

import numpy as np

from jungle.data.loader import Sample
from jungle.features.store import Features, FeatureStore

CHUNK = 64  # clips asked of the store at once


class FeatureReader:
    """A `Read` over feature stores; of several, each clip's features side by side.

    Args:
        stores: where the features are, of the same frames of each clip.
        keys: the clips' content keys by clip number, None for one whose file cannot be read.
    """

    def __init__(self, stores: Sequence[FeatureStore], keys: Sequence[str | None]) -> None:
        self.stores, self.keys = list(stores), list(keys)
        self._failed = {key: why for store in stores for key, why in store.failures().items()}

    def __call__(
        self, numbers: Sequence[int], epoch: int, draws: Sequence[int] = ()
    ) -> Iterator[tuple[int, Sample | str]]:
        """Yield each number with its features, the same in each draw, or with the reason why it has none."""
        wanted = [int(n) for n in numbers]
        for start in range(0, len(wanted), CHUNK):
            chunk = [(n, self.keys[n]) for n in wanted[start : start + CHUNK]]
            good = [(n, k) for n, k in chunk if k is not None and k not in self._failed]
            read = zip(*(store.read_many([k for _, k in good]) for store in self.stores), strict=True)
            found = {n: _side_by_side(parts) for (n, _), parts in zip(good, read, strict=True)}
            for number, key in chunk:
                yield number, found.get(number) or self._failed.get(key or "", "its file cannot be read")


def _side_by_side(parts: Sequence[Features]) -> Sample | str:
    """Return what all of a clip's features are together, or why they do not go together."""
    first = parts[0]
    if len(parts) == 1:
        return Sample(first.values, first.times, first.status, first.reason)
    if any(not np.array_equal(p.times, first.times) for p in parts):
        return "its features are of different frames: its file was read in two ways"
    worst = next((p for p in parts if p.status != "ok"), first)
    return Sample(np.concatenate([p.values for p in parts], axis=1), first.times, worst.status, worst.reason)
