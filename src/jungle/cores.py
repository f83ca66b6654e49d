"""How many processes this machine should run at once."""

import os


def share_of_cores(processes: int = 1) -> int:
    """Return how many decoding workers each of so many processes should have; at most 16."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, mine // processes))
