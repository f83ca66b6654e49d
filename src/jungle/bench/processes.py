"""Separate processes for the steps of a benchmark, and the memory they use."""

import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

SAMPLE_S = 0.02
P = ParamSpec("P")
R = TypeVar("R")


def open_pool(n: int) -> ProcessPoolExecutor:
    """Return a pool of `n` fresh processes."""
    return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"))


def run_alone(step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run an importable function in a fresh process, with memory and caches of its own; return its result."""
    with open_pool(1) as pool:
        return pool.submit(step, *args, **kwargs).result()


def measure_own_memory_mb(pid: int | None = None) -> float:
    """Return the memory of a process in MB, without mapped files, which the system may drop.

    Args:
        pid: the process; None for this one. 0 is returned for one that has ended.
    """
    try:
        with open(f"/proc/{pid or 'self'}/status") as status:
            return sum(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024 / 1e6
    except OSError:
        if pid:
            return 0.0
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def measure_memory_mb() -> float:
    """Return the memory of this process and of its descendants in MB, where the system lists them."""
    return measure_own_memory_mb() + sum(measure_own_memory_mb(pid) for pid in _iter_descendants(os.getpid()))


def _iter_descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            for child in map(int, children.read_text().split()):
                yield child
                yield from _iter_descendants(child)


class PeakMemory:
    """Context manager that samples `measure_memory_mb` in a thread; `mb` is the largest value so far."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb = measure_memory_mb()

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.mb = max(self.mb, measure_memory_mb())

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.mb = max(self.mb, measure_memory_mb())
