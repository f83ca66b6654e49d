"""Index of a feature store: the rows of all shards, found by key.

The shards are the truth. `index.safetensors` is only a copy of their rows, so that a store of thousands of
shards opens with one read: it may be stale, deleted or overwritten by another process at any time, and what
it lacks is read from the shards themselves.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jungle.console import log
from jungle.data.content_key import Content
from jungle.errors import UserError
from jungle.features.safetensors_io import Damaged, open_tensors, read_tensor, write_tensors
from jungle.features.shard import FAILED, OK, Rows, Shard, join, read_rows, read_shard
from jungle.files import replace_atomically
from jungle.wording import count

SHARD = re.compile(r"shard-[0-9A-Za-z-]+\.safetensors")
CACHE = "index.safetensors"
WORTH_CACHING = 64  # shards that the cached index lacks, before it is written again
MAX_CACHE = 1 << 29  # bytes of one column of the cached index


class Index:
    """The rows of `shards`, found by key.

    Where several rows have the same key, features come before a failure; then the first shard by name wins.
    """

    def __init__(self, shards: Sequence[Shard] = (), rows: Rows | None = None, uncached: int = 0) -> None:
        self.shards, self.rows, self.uncached = tuple(shards), rows, uncached
        self.row_of_key = self._order = np.zeros(0, np.int64)
        """int64 `[K]`: the row of each distinct key, sorted by key."""
        if rows is None:
            return
        self.shard_of = np.repeat(np.arange(len(shards), dtype=np.uint32), [s.rows for s in shards])
        first_frame = np.concatenate([[0], np.cumsum([s.frames for s in shards])])
        self.starts = np.cumsum(rows.frames, dtype=np.int64) - rows.frames - first_frame[self.shard_of]
        """First frame of each row in its shard."""
        self.verified = np.zeros(len(rows.status), bool)
        """Rows whose features were checked against their checksum."""
        rank = np.argsort(np.argsort([s.name for s in shards])).astype(np.uint32)
        self._order = np.lexsort((rank[self.shard_of], rows.status == FAILED, rows.keys))
        again = rows.keys[self._order[1:]] == rows.keys[self._order[:-1]]
        self.row_of_key = np.delete(self._order, again.nonzero()[0] + 1) if again.any() else self._order

    def find(self, keys: Sequence[str]) -> np.ndarray:
        """Return the row of each key, -1 if it is not there."""
        if self.rows is None or not keys:
            return np.full(len(keys), -1)
        column = self.rows.keys
        coded = [k.encode("utf-8", "replace") for k in keys]
        # Of the column's width: numpy would otherwise widen the whole column at every search
        wanted = np.array([k if len(k) <= column.itemsize else b"" for k in coded], column.dtype)
        at = np.searchsorted(column, wanted, sorter=self._order)
        rows = self._order[np.minimum(at, len(column) - 1)]
        return np.where(column[rows] == wanted, rows, -1)

    def find_contents(self, contents: Sequence[Content]) -> np.ndarray:
        """Return the row of each clip, -1 if it is not there.

        A row of an unsound reading counts only while the file has not been written since. Unsound rows of
        earlier versions, which do not say when, do not count.
        """
        rows = self.find([c.key for c in contents])
        if self.rows is None:
            return rows
        rows[rows >= 0] = np.where(self.rows.status[rows[rows >= 0]] == OK, rows[rows >= 0], -1)
        other = (rows < 0).nonzero()[0]
        rows[other] = self.find([contents[i].if_damaged for i in other.tolist()])
        return rows

    @property
    def keys(self) -> np.ndarray:
        """Bytes strings [R]: the key of each row."""
        return np.zeros(0, "S1") if self.rows is None else self.rows.keys

    @property
    def dim(self) -> int | None:
        """Values a frame, or None where no clip has features yet."""
        return next((s.dim for s in self.shards if s.frames), None)

    def without(self, gone: set[str]) -> "Index":
        """Return the index without the shards of these names."""
        if self.rows is None or not gone:
            return self
        keep = np.array([s.name not in gone for s in self.shards])
        rows = self.rows.take(keep[self.shard_of].nonzero()[0]) if keep.any() else None
        return Index([s for s in self.shards if s.name not in gone], rows, self.uncached)


def load(folder: Path, last: Index | None = None) -> Index:
    """Return the index of all shards now in `folder`; `last` saves reading again what it holds.

    Raises:
        UserError: a shard is damaged, or shards hold features of different widths.
    """
    there = _list_shards(folder)
    base = last if last is not None else _read_cache(folder)
    gone = {s.name for s in base.shards} - there.keys()
    if gone:
        log.info(f"{folder}: {count(len(gone), 'deleted shard')}; the clips in it count as not done")
    base = base.without(gone)
    for shard in base.shards:
        if there[shard.name] != shard.size:
            why = f"it has {there[shard.name]:,} bytes where {shard.size:,} were written"
            raise make_damage_error(folder / shard.name, why)
    shards, tables = list(base.shards), [base.rows] if base.rows is not None else []
    for name in sorted(there.keys() - {s.name for s in base.shards}):
        try:
            shard, rows = read_shard(folder / name)
        except FileNotFoundError:  # deleted since it was listed
            continue
        except Damaged as e:
            raise make_damage_error(folder / name, e) from e
        except OSError as e:
            raise UserError(f"{folder / name} cannot be read: {e.strerror or e}.") from e
        shards.append(shard)
        tables.append(rows)
    fresh = len(shards) - len(base.shards)
    index = Index(shards, join(tables), base.uncached + fresh) if fresh else base
    for shard in shards:
        if shard.frames and shard.dim != index.dim:
            raise make_damage_error(
                folder / shard.name, f"its features have {shard.dim} values a frame, others {index.dim}"
            )
    return index


def save(folder: Path, index: Index) -> None:
    """Write the cached index where it lacks many shards, if the folder can be written."""
    if index.rows is None or index.uncached < WORTH_CACHING:
        return
    index.uncached = 0
    shards = index.shards
    columns = {
        "shards": np.frombuffer("\0".join(s.name for s in shards).encode(), np.uint8),
        **index.rows.tensors(),
        "sizes": np.array([[s.size, s.rows, s.frames, s.dim] for s in shards], np.int64),
    }
    try:
        with replace_atomically(folder / CACHE) as part:
            write_tensors(part, columns)
    except OSError as e:
        log.debug(f"{folder / CACHE} is not renewed: {e}")


def make_damage_error(path: Path, why: object) -> UserError:
    """Return the error for a shard that cannot be used."""
    return UserError(
        f"{path} is damaged ({why}). Delete it and start again: the clips in it are extracted again."
    )


def _list_shards(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {
            e.name: e.stat().st_size
            for e in entries
            if SHARD.fullmatch(e.name) and e.is_file(follow_symlinks=False)
        }


def _read_cache(folder: Path) -> Index:
    """Return the cached index, empty where there is none or it is not whole."""
    try:
        with open_tensors(folder / CACHE) as file:
            rows = read_rows(file, MAX_CACHE)
            sizes = read_tensor(file, "sizes", MAX_CACHE)
            names = read_tensor(file, "shards", MAX_CACHE).tobytes().decode().split("\0")
        shards = [Shard(n, *map(int, s)) for n, s in zip(names, sizes, strict=True)]
        ends = np.cumsum([s.rows for s in shards])
        frames = np.add.reduceat(rows.frames.astype(np.int64), np.concatenate([[0], ends[:-1]]))
        if (
            ends[-1] != len(rows.status)
            or sizes.min() < 0
            or (sizes[:, 1] < 1).any()
            or any(s.frames != n or s.times_at < 0 for s, n in zip(shards, frames, strict=True))
            or not all(map(SHARD.fullmatch, names))
        ):
            raise Damaged("its columns disagree")
        return Index(shards, rows)
    except FileNotFoundError:
        pass
    except (Damaged, OSError, KeyError, ValueError, TypeError, IndexError) as e:
        log.warning(f"{folder / CACHE} is ignored and written again: {e}")
    return Index()
