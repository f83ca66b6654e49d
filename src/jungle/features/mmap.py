"""Memory-mapped shards: features are read from the page cache without copies, from a bounded set of files."""

import mmap
import os
import resource
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jungle.errors import UserError
from jungle.features.index import make_damage_error
from jungle.features.shard import Shard

MOST_OPEN = 256  # mapped shards, each of which holds a file handle


class ShardMaps:
    """The mapped shards of one folder; the least recently used are closed.

    An array keeps its shard mapped. A caller that keeps arrays of so many shards that file handles could run
    out gets copies instead, so that handles stay within three times `most_open`.
    """

    def __init__(self, folder: Path, most_open: int | None = None) -> None:
        self.folder = folder
        self.most_open = most_open or _compute_most_open()
        self._open: OrderedDict[str, mmap.mmap] = OrderedDict()
        self._alive: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lock = threading.Lock()

    def read(self, pieces: Sequence[tuple[Shard, int, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return values float16 [T, D] and times float32 [T] of each (shard, first frame, T), read-only.

        Raises:
            UserError: a shard is gone, cannot be read, or has another size than it had.
        """
        with self._lock:
            maps = [self._map(shard) for shard, _, _ in pieces] if len(pieces) <= self.most_open else None
            # Request the whole batch from the disk before waiting for its first clip.
            if maps and hasattr(mmap, "MADV_WILLNEED"):
                for map_, (shard, start, frames) in zip(maps, pieces, strict=True):
                    row = 2 * shard.dim
                    at = (shard.values_at + start * row) // mmap.PAGESIZE * mmap.PAGESIZE
                    map_.madvise(mmap.MADV_WILLNEED, at, shard.values_at + (start + frames) * row - at)
            return [self._features(*piece) for piece in pieces]

    def __len__(self) -> int:
        """Return the number of mapped shards, with those that only a caller's array keeps."""
        return len(self._alive)

    def _features(self, shard: Shard, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        map_ = self._map(shard)
        dim = shard.dim
        values = np.frombuffer(map_, np.float16, frames * dim, shard.values_at + 2 * start * dim).reshape(
            frames, dim
        )
        times = np.frombuffer(map_, np.float32, frames, shard.times_at + 4 * start)
        return (values.copy(), times.copy()) if len(self._alive) >= 2 * self.most_open else (values, times)

    def _map(self, shard: Shard) -> mmap.mmap:
        map_ = self._open.get(shard.name)
        if map_ is not None:
            self._open.move_to_end(shard.name)
            return map_
        path = self.folder / shard.name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(handle).st_size
                if size != shard.size:  # a read past the end of a mapped file would kill the process
                    raise make_damage_error(path, f"it has {size:,} bytes where {shard.size:,} were written")
                map_ = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
            finally:
                os.close(handle)
        except OSError as e:
            raise UserError(
                f"{path} cannot be read: {e.strerror or e}. If it was deleted, start again: "
                "the clips in it are extracted again."
            ) from e
        self._alive.add(map_)
        self._open[shard.name] = map_
        while len(self._open) > self.most_open:
            self._open.popitem(last=False)
        return map_


def _compute_most_open() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_OPEN if limit == resource.RLIM_INFINITY else min(MOST_OPEN, max(limit // 8, 8))
