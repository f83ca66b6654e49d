"""Machine and process: cores, memory, hidden imports, rank, and ending with the parent."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from unittest.mock import patch

STARTER = "JUNGLE_STARTER"
"""The variable of the environment that tells a command which process started it."""
CGROUP = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def share_of_cores(processes: int = 1) -> int:
    """Return the number of decoding workers per process, at most 16."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, mine // processes))


def keep_memory() -> None:
    """Make the C library keep freed memory, for a process that needs as much again at its next step.

    By itself glibc gives every large block back to the system and takes it again, zeroed: in training on a
    CPU that is a third of the time. Where there is another C library, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int:
    """Return the free memory in bytes: of the machine, or of the container if that is less.

    All that the machine has, or 2^62, where the system does not tell.
    """
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    except OSError:
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return 1 << 62
    free = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return free  # in no container, or in one of the old kind
    if not limit.isdigit():
        return free
    # What files have left in memory is given back when it is wanted.
    return max(0, min(free, int(limit) - used + int(stat.get("inactive_file", 0))))


@contextmanager
def hide_modules(*names: str) -> Iterator[None]:
    """Hide modules within the block: those not loaded yet seem not to be installed.

    For libraries that import a large one, if it is there, to offer something that nobody here uses.
    """
    absent = [name for name in names if name not in sys.modules]
    find = Distribution.from_name

    def find_unless_hidden(name: str) -> Distribution:
        if name in absent:
            raise PackageNotFoundError(name)
        return find(name)

    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not installed
    try:
        with patch.object(Distribution, "from_name", find_unless_hidden):
            yield
    finally:
        for name in absent:
            del sys.modules[name]


def end_with_starter() -> None:
    """End this process when its parent is gone: another device's process, or a sweep (`STARTER`)."""
    starter = os.getppid() if get_rank() > 0 else int(os.environ.get(STARTER, 0))
    if starter:
        threading.Thread(target=end_with, args=(starter,), daemon=True).start()


def get_rank() -> int:
    """Return this process's rank in a DDP run, 0 where there is none."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def end_with(parent: int) -> None:
    """End this process when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
