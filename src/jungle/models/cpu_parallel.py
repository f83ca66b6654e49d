"""Compute clips in parallel on a CPU, one core each.

A backbone's layers are too small to share between cores: threads that compute one layer together wait for
each other at its end, and all wait for one that lost its core to another program.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def map_parallel(task: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `task` of each item, in order; as many run at once as torch may use threads.

    `task` enters its own `inference_mode` and `autocast`: those hold for one thread.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [task(item) for item in items]
    return list(_pool(threads).map(task, items))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "clip", initializer=partial(torch.set_num_threads, 1))
