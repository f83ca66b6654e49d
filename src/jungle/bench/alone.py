"""Steps of a benchmark in processes of their own, so that memory and caches are those of that step alone."""

import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def processes(n: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes."""
    return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"))


def alone(step: Any, *args: Any) -> Any:
    """Return what a function, which must be importable, gives in a fresh process."""
    with processes(1) as pool:
        return pool.submit(step, *args).result()


def own_memory_mb(pid: int | None = None) -> float:
    """Return this process's own memory; mapped files, which the system may drop, are not its own.

    Args:
        pid: of another process instead; 0 where that has ended.
    """
    try:
        with open(f"/proc/{pid or 'self'}/status") as status:
            return sum(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024 / 1e6
    except OSError:
        if pid:
            return 0.0
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def memory_mb() -> float:
    """Return the own memory of this process and of all that it has started, where the system tells them."""
    return own_memory_mb() + sum(own_memory_mb(pid) for pid in _started(os.getpid()))


def _started(pid: int) -> Iterator[int]:
    for of_a_thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            for child in map(int, of_a_thread.read_text().split()):
                yield child
                yield from _started(child)


@contextmanager
def peak_memory(every_s: float = 0.02) -> Iterator[dict[str, float]]:
    """Fill `peak_mb` of the dict given: the most of `memory_mb` seen in the block."""
    found = {"peak_mb": memory_mb()}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            found["peak_mb"] = max(found["peak_mb"], memory_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found["peak_mb"] = max(found["peak_mb"], memory_mb())
