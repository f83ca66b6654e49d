"""Measure formats for frame features: the figures in `docs/feature-store.md`.

    python benchmarks/feature_store.py --clips 3000 --frames 45 --dim 3840 --formats shards lance zarr

Lance and Zarr are measured where they are installed: `pip install "pylance>=0.20" "zarr>=3"`.

Every format writes groups of about 64 MB, each of which is safe on disk before the next, as an extraction
that may be killed needs it, and finds a clip by its key. Each step runs in a process of its own, so that
memory and caches are those of that step alone. Before cold reading, the system is advised to drop the files
from its page cache.
"""

# pyright: reportMissingImports=false

import argparse
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from jungle.bench.processes import measure_own_memory_mb, open_pool, run_alone
from jungle.console import log, speak
from jungle.errors import UsageError, UserError, suggest
from jungle.features.store import FeatureStore
from jungle.files import write_json

BATCH = 64
INDEX_CLIPS = 300_000
GROUP_MB = 64
INDEX_GROUP = 185  # clips of [45, 3840] in a group


class Layout(Protocol):
    """A format; its reading methods may be called in another process than its writing ones."""

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

        # One file of two bytes per clip would measure the file system instead of the index
        index_only = frames * dim == 1
        group = INDEX_GROUP if index_only else clips_per_group(frames, dim)
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
PACKAGES = {"lance": "pylance>=0.20", "zarr": "zarr>=3"}


def clips_per_group(frames: int, dim: int) -> int:
    """Return how many clips of [frames, dim] fill a group."""
    return max(1, round(GROUP_MB * 1e6 / (2 * frames * dim)))


def create_layout(name: str, folder: Path) -> Layout:
    """Return an empty layout in `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    return LAYOUTS[name](folder)


def bench_store(
    out: Path,
    clips: int = 3000,
    frames: int = 45,
    dim: int = 3840,
    formats: Sequence[str] = tuple(LAYOUTS),
    *,
    seconds: float = 5,
    index_clips: int = INDEX_CLIPS,
) -> list[dict[str, Any]]:
    """Write, open and read simulated features in each format; print a table and write `out/store.json`.

    Args:
        out: folder for the simulated stores, which stay there, and for the figures.
        clips: clips to simulate at full size, at least 64.
        frames: frames a clip.
        dim: values a frame.
        formats: names in `LAYOUTS`; one whose library is not installed is skipped with a warning.
        seconds: duration of each read measurement.
        index_clips: clips of a second store with one value per clip, which measures opening the index.

    Returns:
        One dict a format: `write_mb_s`, `disk_mb`, `cold_clips_s`, `warm_clips_s`, `warm2_clips_s` (two
        processes), `read_mb` (memory of a reader), `open_s` and `open_mb` (the index of `index_clips` clips).

    Raises:
        UsageError: a format does not exist, or `clips` is under 64.
    """
    for name in formats:
        if name not in LAYOUTS:
            raise UsageError(f"formats: {name!r} is not a format.{suggest(name, LAYOUTS)}")
    if clips < BATCH:
        raise UsageError(f"clips={clips}: at least {BATCH} are needed, one batch.")
    found = []
    for name in formats:
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            log.warning(
                f'{name} is skipped: {NEEDS[name]} is not installed; pip install "{PACKAGES[NEEDS[name]]}"'
            )
            continue
        log.info(f"{name}: {clips} clips of [{frames}, {dim}], {2e-6 * clips * frames * dim:.0f} MB")
        found.append(
            {"format": name, **_measure(name, Path(out) / name, clips, frames, dim, seconds, index_clips)}
        )
        write_json(
            Path(out) / "store.json",
            {"clips": clips, "frames": frames, "dim": dim, "index_clips": index_clips, "formats": found},
        )
    _show(found, index_clips)
    return found


def _measure(
    name: str, folder: Path, clips: int, frames: int, dim: int, seconds: float, index_clips: int
) -> dict[str, Any]:
    data, index = folder / "data", folder / "index"
    row: dict[str, Any] = {
        "write_mb_s": run_alone(_write, name, data, clips, frames, dim, clips_per_group(frames, dim))
    }
    row["disk_mb"] = sum(p.stat().st_size for p in _files(data)) / 1e6
    _drop_caches(data)
    row["cold_clips_s"] = run_alone(_read, name, data, 0, seconds)[0]
    row["warm_clips_s"], row["read_mb"] = run_alone(_read, name, data, 1, seconds)
    with open_pool(2) as pool:
        both = [pool.submit(_read, name, data, seed, seconds) for seed in (2, 3)]
        row["warm2_clips_s"] = sum(b.result()[0] for b in both)
    if index_clips:
        run_alone(_write, name, index, index_clips, 1, 1, INDEX_GROUP)
        run_alone(_open, name, index)  # the first opening may write an index
        _drop_caches(index)
        row["open_s"], row["open_mb"] = run_alone(_open, name, index)
    return row


def _write(name: str, folder: Path, clips: int, frames: int, dim: int, group: int) -> float:
    """Return MB/s."""
    layout = create_layout(name, folder)
    layout.create(clips, frames, dim)
    rng = np.random.default_rng(0)
    noise = np.abs(rng.standard_normal((group + 1) * frames * dim, np.float32)).astype(np.float16)
    spent = 0.0
    for first in range(0, clips, group):
        n = min(group, clips - first)
        start = int(rng.integers(frames * dim))  # an offset, so that groups differ
        values = noise[start : start + n * frames * dim].reshape(n, frames, dim)
        began = time.perf_counter()
        layout.write(first, [_key(i) for i in range(first, first + n)], values)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    _sync(folder)  # formats that do not wait for the disk would otherwise look faster
    return 2e-6 * clips * frames * dim / (spent + time.perf_counter() - began)


def _read(name: str, folder: Path, seed: int, seconds: float) -> tuple[float, float]:
    """Return clips/s of random batches, and MB of memory that the process cannot give back.

    Seed 0 reads each clip at most once, as the first epoch does; others read all once before they count.
    """
    layout = LAYOUTS[name](folder)
    clips = layout.open()
    rng = np.random.default_rng(seed)
    if seed:
        for batch in _batches(rng, clips):
            layout.batch(batch)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for batch in _batches(rng, clips):
            done += len(layout.batch(batch))
            if time.perf_counter() - began > seconds:
                break
        if not seed:
            break
    return done / (time.perf_counter() - began), measure_own_memory_mb()


def _open(name: str, folder: Path) -> tuple[float, float]:
    """Return seconds and MB that opening takes, the import of its library left out."""
    layout = LAYOUTS[name](folder)
    if name in NEEDS:
        importlib.import_module(NEEDS[name])
    before, began = measure_own_memory_mb(), time.perf_counter()
    layout.open()
    return time.perf_counter() - began, measure_own_memory_mb() - before


def _batches(rng: np.random.Generator, clips: int) -> Iterator[list[str]]:
    order = rng.permutation(clips)
    for first in range(0, clips - BATCH + 1, BATCH):
        yield [_key(i) for i in order[first : first + BATCH].tolist()]


def _key(i: int) -> str:
    return f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}{i:016x}"  # as long and as unordered as a digest


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file())


def _sync(folder: Path) -> None:
    for path in _files(folder):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _drop_caches(folder: Path) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    for path in _files(folder):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _show(found: list[dict[str, Any]], index_clips: int) -> None:
    columns = {
        "format": "format",
        "write_mb_s": "write MB/s",
        "disk_mb": "disk MB",
        "cold_clips_s": "cold/s",
        "warm_clips_s": "warm/s",
        "warm2_clips_s": "2 proc/s",
        "read_mb": "RAM MB",
        "open_s": "open s",
        "open_mb": "open MB",
    }
    table = Table(title=f"Feature store: clips/s in random batches of {BATCH}; opening {index_clips:,} clips")
    for heading in columns.values():
        table.add_column(heading, justify="left" if heading == "format" else "right")
    for row in found:
        table.add_row(*(_cell(row.get(name, "")) for name in columns))
    Console().print(table)


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def main(argv: Sequence[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench/store"), help="folder")
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--dim", type=int, default=3840)
    parser.add_argument("--formats", nargs="+", default=tuple(LAYOUTS), help=" ".join(LAYOUTS))
    args = parser.parse_args(argv)
    speak()
    bench_store(args.out, args.clips, args.frames, args.dim, args.formats)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as e:
        sys.exit(f"error: {e}")
