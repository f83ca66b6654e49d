"""How this machine's cores and memory are used."""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def share_of_cores(processes: int = 1) -> int:
    """Return how many decoding workers each of so many processes should have; at most 16."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, mine // processes))


def keep_memory() -> None:
    """Have the C library keep what is freed, for a process that needs as much again at its next step.

    By itself glibc gives every large block back to the system and takes it again, zeroed: in training on a
    CPU that is a third of the time. Where there is another C library, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
