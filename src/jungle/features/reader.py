"""Reader of stored features for a loader."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jungle.data.content_key import Content
from jungle.data.loader import Sample
from jungle.features.store import Features, FeatureStore

CHUNK = 64  # clips asked of the store at once
NO_FILE = "its file cannot be read"
NOT_THERE = "its features are not in the store: its file has changed"


class FeatureReader:
    """A `Read` over feature stores; of several, each clip's features side by side.

    Args:
        stores: where the features are, of the same frames of each clip.
        contents: what each clip's file holds, by clip number; without those that cannot be read.

    Attributes:
        unread: why clips have no features, by clip number.
        damaged: numbers of the clips that could be read in part only, or not at all.
    """

    def __init__(self, stores: Sequence[FeatureStore], contents: Mapping[int, Content]) -> None:
        self.stores = list(stores)
        self._keys = [dict(zip(contents, s.held(list(contents.values())), strict=True)) for s in stores]
        """For each store: clip number -> key."""
        self.unread: dict[int, str] = {}
        self.damaged: set[int] = set()
        for store, keys in zip(self.stores, self._keys, strict=True):
            failures = store.failures()
            for number, key in keys.items():
                if key is None or key in failures:
                    self.unread[number] = failures.get(key or "", NOT_THERE)
                if key != contents[number].key:
                    self.damaged.add(number)

    def __call__(
        self, numbers: Sequence[int], epoch: int, draws: Sequence[int] = ()
    ) -> Iterator[tuple[int, Sample | str]]:
        """Yield each number with its features, the same in each draw, or with the reason why it has none."""
        wanted = [int(n) for n in numbers]
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            good = [n for n in chunk if n in self._keys[0] and n not in self.unread]
            by_store = zip(self.stores, self._keys, strict=True)
            parts = [store.read_many([keys[n] or "" for n in good]) for store, keys in by_store]
            read = zip(*parts, strict=True)
            found = {n: _join_stores(parts) for n, parts in zip(good, read, strict=True)}
            for number in chunk:
                yield number, found.get(number) or self.unread.get(number, NO_FILE)


def _join_stores(parts: Sequence[Features]) -> Sample | str:
    """Return the features of several stores side by side, or why they do not fit together."""
    first = parts[0]
    if len(parts) == 1:
        return Sample(first.values, first.times, first.status, first.reason)
    if any(not np.array_equal(p.times, first.times) for p in parts):
        return "its features are of different frames: its file was read in two ways"
    worst = next((p for p in parts if p.status != "ok"), first)
    return Sample(np.concatenate([p.values for p in parts], axis=1), first.times, worst.status, worst.reason)
