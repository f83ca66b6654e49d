"""How much memory is left on this machine."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int:
    """Return the bytes that programs may still take: of the machine, or of the container if that is less.

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
