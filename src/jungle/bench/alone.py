"""Steps of a benchmark in processes of their own, so that memory and caches are those of that step alone."""

import multiprocessing
import resource
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


def processes(n: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes."""
    return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"))


def alone(step: Any, *args: Any) -> Any:
    """Return what a function, which must be importable, gives in a fresh process."""
    with processes(1) as pool:
        return pool.submit(step, *args).result()


def own_memory_mb() -> float:
    """Return this process's own memory; mapped files, which the system may drop, are not its own."""
    try:
        with open("/proc/self/status") as status:
            return sum(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024 / 1e6
    except OSError:
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


@contextmanager
def peak_memory(every_s: float = 0.02) -> Iterator[dict[str, float]]:
    """Fill `peak_mb` of the dict given: the most of `own_memory_mb` seen in the block."""
    found = {"peak_mb": own_memory_mb()}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            found["peak_mb"] = max(found["peak_mb"], own_memory_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found["peak_mb"] = max(found["peak_mb"], own_memory_mb())
