"""Reads stored features for a loader."""

from collections.abc import Iterator, Sequence

from jungle.data.loader import Sample
from jungle.features.store import FeatureStore

CHUNK = 64  # clips asked of the store at once


class FeatureReader:
    """A `Read` over a feature store.

    Args:
        store: where the features are.
        keys: the clips' content keys by clip number, None for one whose file cannot be read.
    """

    def __init__(self, store: FeatureStore, keys: Sequence[str | None]) -> None:
        self.store, self.keys = store, list(keys)
        self._failed = store.failures()

    def __call__(self, numbers: Sequence[int], epoch: int) -> Iterator[tuple[int, Sample | str]]:
        """Yield each number with its features, or with the reason why it has none."""
        wanted = [int(n) for n in numbers]
        for start in range(0, len(wanted), CHUNK):
            chunk = [(n, self.keys[n]) for n in wanted[start : start + CHUNK]]
            good = [(n, k) for n, k in chunk if k is not None and k not in self._failed]
            found = dict(zip((n for n, _ in good), self.store.read_many([k for _, k in good]), strict=True))
            for number, key in chunk:
                if number in found:
                    f = found[number]
                    yield number, Sample(f.values, f.times, f.status, f.reason)
                else:
                    yield number, self._failed.get(key or "", "its file cannot be read")
