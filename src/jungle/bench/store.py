"""Measures ways of keeping frame features: the figures behind `docs/feature-store.md`.

Each step runs in a process of its own, so that memory and caches are those of that step alone. Cold means
that the system was told to drop the files from its page cache, which needs no rights, but is only advice.
"""

import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jungle import extras
from jungle.bench.alone import alone, own_memory_mb, processes
from jungle.bench.layouts import INDEX_GROUP, LAYOUTS, NEEDS, fresh, group_of
from jungle.console import log
from jungle.errors import UsageError, nearest
from jungle.files import write_json

BATCH = 64
INDEX_CLIPS = 300_000


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
        formats: names out of `LAYOUTS`; one whose library is not installed is left out, and says so.
        seconds: how long each kind of reading is measured.
        index_clips: clips of another store with one value a clip, of which only the index is measured.

    Returns:
        One dict a format: `write_mb_s`, `disk_mb`, `cold_clips_s`, `warm_clips_s`, `warm2_clips_s` (two
        processes), `read_mb` (memory of a reader), `open_s` and `open_mb` (the index of `index_clips` clips).

    Raises:
        UsageError: a format does not exist, or `clips` is under 64.
    """
    for name in formats:
        if name not in LAYOUTS:
            raise UsageError(f"formats: {name!r} is not a format.{nearest(name, LAYOUTS)}")
    if clips < BATCH:
        raise UsageError(f"clips={clips}: at least {BATCH} are needed, one batch.")
    found = []
    for name in formats:
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            log.warning(f"{name} is left out: {extras.install('bench')}")
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
    row: dict[str, Any] = {"write_mb_s": alone(_write, name, data, clips, frames, dim, group_of(frames, dim))}
    row["disk_mb"] = sum(p.stat().st_size for p in _files(data)) / 1e6
    _drop_caches(data)
    row["cold_clips_s"] = alone(_read, name, data, 0, seconds)[0]
    row["warm_clips_s"], row["read_mb"] = alone(_read, name, data, 1, seconds)
    with processes(2) as pool:
        both = [pool.submit(_read, name, data, seed, seconds) for seed in (2, 3)]
        row["warm2_clips_s"] = sum(b.result()[0] for b in both)
    if index_clips:
        alone(_write, name, index, index_clips, 1, 1, INDEX_GROUP)
        alone(_open, name, index)  # a first opening may leave a better index behind
        _drop_caches(index)
        row["open_s"], row["open_mb"] = alone(_open, name, index)
    return row


def _write(name: str, folder: Path, clips: int, frames: int, dim: int, group: int) -> float:
    """Return MB/s."""
    layout = fresh(name, folder)
    layout.create(clips, frames, dim)
    rng = np.random.default_rng(0)
    noise = np.abs(rng.standard_normal((group + 1) * frames * dim, np.float32)).astype(np.float16)
    spent = 0.0
    for first in range(0, clips, group):
        n = min(group, clips - first)
        start = int(rng.integers(frames * dim))  # shifted, so that no group repeats another
        values = noise[start : start + n * frames * dim].reshape(n, frames, dim)
        began = time.perf_counter()
        layout.write(first, [_key(i) for i in range(first, first + n)], values)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    _sync(folder)  # else a format that does not wait for the disk would seem the faster one
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
    return done / (time.perf_counter() - began), own_memory_mb()


def _open(name: str, folder: Path) -> tuple[float, float]:
    """Return seconds and MB that opening takes, the import of its library left out."""
    layout = LAYOUTS[name](folder)
    if name in NEEDS:
        importlib.import_module(NEEDS[name])
    before, began = own_memory_mb(), time.perf_counter()
    layout.open()
    return time.perf_counter() - began, own_memory_mb() - before


def _batches(rng: np.random.Generator, clips: int) -> Iterator[list[str]]:
    order = rng.permutation(clips)
    for first in range(0, clips - BATCH + 1, BATCH):
        yield [_key(i) for i in order[first : first + BATCH].tolist()]


def _key(i: int) -> str:
    return f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}{i:016x}"  # as long as a digest, and as unordered


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
    from rich.console import Console
    from rich.table import Table

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
