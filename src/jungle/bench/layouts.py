"""Ways of keeping frame features on disk, each at its best, behind one small interface, to be measured.

All write what they are given in groups of about 64 MB, each group safe on disk when the call returns, as an
extraction that may be killed needs it; and all find a clip by its key.
"""

# Lance and zarr come with the [bench] extra alone.
# pyright: reportMissingImports=false

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jungle.features.store import FeatureStore

GROUP_MB = 64
INDEX_GROUP = 185  # clips of [45, 3840] in a group


class Layout(Protocol):
    """One format. Made with its folder; the reader's methods may be called in another process."""

    def __init__(self, folder: Path) -> None: ...

    def create(self, clips: int, frames: int, dim: int) -> None:
        """Make an empty store for that many clips of [frames, dim]."""
        ...

    def write(self, first: int, keys: Sequence[str], values_NTD: np.ndarray) -> None:
        """Add clips number `first` and on, and see them safe on disk."""
        ...

    def open(self) -> int:
        """Make the store ready to find clips by key; return how many it holds."""
        ...

    def batch(self, keys: Sequence[str]) -> np.ndarray:
        """Return float16 [B, T, D]."""
        ...


class Shards:
    """The feature store of this package."""

    spec = {"layout": "bench"}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, clips: int, frames: int, dim: int) -> None:
        """Make the folder."""
        FeatureStore.open(self.folder, "bench", self.spec)

    def write(self, first: int, keys: Sequence[str], values_NTD: np.ndarray) -> None:
        """Publish one shard."""
        times = np.arange(values_NTD.shape[1], dtype=np.float32)
        if first == 0:
            self._store = FeatureStore.open(self.folder, "bench", self.spec)
            self._writer = self._store.writer(flush_mb=1e9, flush_s=1e9)
        for key, values_TD in zip(keys, values_NTD, strict=True):
            self._writer.add(key, f"{key}.mp4", values_TD, times)
        self._writer.flush()

    def open(self) -> int:
        """Read the index."""
        self._store = FeatureStore.open(self.folder, "bench", self.spec)
        return len(self._store)

    def batch(self, keys: Sequence[str]) -> np.ndarray:
        """Stack mapped clips."""
        return np.stack([f.values for f in self._store.read_many(keys)])


class Lance:
    """A Lance data set of fixed-size lists, its fastest column type here, which cannot hold a varying T."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, clips: int, frames: int, dim: int) -> None:
        """Note the shape of a clip, which the data set flattens."""
        self.folder.mkdir(parents=True)
        (self.folder / "shape.json").write_text(json.dumps([frames, dim]))

    def write(self, first: int, keys: Sequence[str], values_NTD: np.ndarray) -> None:
        """Append one fragment and commit it."""
        import lance
        import pyarrow as pa

        size = values_NTD[0].size
        values = pa.FixedSizeListArray.from_arrays(pa.array(values_NTD.reshape(-1)), size)
        table = pa.table({"key": pa.array(keys), "values": values})
        lance.write_dataset(table, self.folder / "lance", mode="append" if first else "create")

    def open(self) -> int:
        """Read the column of keys."""
        import lance

        self._shape = json.loads((self.folder / "shape.json").read_text())
        self._data = lance.dataset(self.folder / "lance")
        keys = self._data.to_table(columns=["key"])["key"].to_pylist()
        self._row = {key: i for i, key in enumerate(keys)}
        return len(keys)

    def batch(self, keys: Sequence[str]) -> np.ndarray:
        """Take rows."""
        values = self._data.take([self._row[k] for k in keys], columns=["values"])["values"].combine_chunks()
        return values.flatten().to_numpy(zero_copy_only=False).reshape(len(keys), *self._shape)


class Zarr:
    """A Zarr array cut into one chunk a clip, its fastest cut for reading: one file a clip, one fixed T."""

    sharded = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, clips: int, frames: int, dim: int) -> None:
        """Make the array at its final size."""
        import zarr

        # For an index alone, a file of two bytes a clip would measure nothing but the file system
        index_only = frames * dim == 1
        group = INDEX_GROUP if index_only else group_of(frames, dim)
        clips = -(-clips // group) * group
        zarr.create_array(
            self.folder / "zarr",
            shape=(clips, frames, dim),
            chunks=(group if index_only else 1, frames, dim),
            shards=(group, frames, dim) if self.sharded and not index_only else None,
            dtype="f2",
            compressors=None,
        )

    def write(self, first: int, keys: Sequence[str], values_NTD: np.ndarray) -> None:
        """Set a slice, and keep the keys beside the array, which has no place for them."""
        import zarr

        array: Any = zarr.open_array(self.folder / "zarr", mode="r+")
        array[first : first + len(keys)] = values_NTD
        np.save(self.folder / f"keys-{first:09d}.npy", np.array(keys))

    def open(self) -> int:
        """Read the keys."""
        import zarr

        self._data: Any = zarr.open_array(self.folder / "zarr", mode="r")
        keys = np.concatenate([np.load(p) for p in sorted(self.folder.glob("keys-*.npy"))]).tolist()
        self._row = {key: i for i, key in enumerate(keys)}
        return len(keys)

    def batch(self, keys: Sequence[str]) -> np.ndarray:
        """Read one chunk a clip."""
        return np.stack([self._data[self._row[k]] for k in keys])


class ZarrSharded(Zarr):
    """The same array with some hundred chunks a file."""

    sharded = True


LAYOUTS: dict[str, type[Layout]] = {
    "shards": Shards,
    "lance": Lance,
    "zarr": Zarr,
    "zarr_sharded": ZarrSharded,
}
NEEDS = {"lance": "lance", "zarr": "zarr", "zarr_sharded": "zarr"}


def group_of(frames: int, dim: int) -> int:
    """Return how many clips of [frames, dim] make a group."""
    return max(1, round(GROUP_MB * 1e6 / (2 * frames * dim)))


def fresh(name: str, folder: Path) -> Layout:
    """Return an empty layout in `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    return LAYOUTS[name](folder)
