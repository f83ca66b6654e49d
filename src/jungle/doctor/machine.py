"""The checks of the machine itself: cores, memory, room on its disks."""

import os
import shutil
from pathlib import Path

from jungle.doctor.rows import Row, bad, good, warning

GIB = 1 << 30


def cores() -> Row:
    """Processor cores that this process may use."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n < 2:
        return warning("cores", "1", "decoding video will be slow: use more cores where there are any")
    return good("cores", str(n))


def memory() -> Row:
    """Memory of the machine, or what a container may take of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    whole = min(total, int(text)) if text.isdigit() else total
    found = f"{whole / GIB:.1f} GiB"
    if whole < 2 * GIB:
        return bad("memory", found, "at least 4 GiB are needed")
    if whole < 4 * GIB:
        return warning("memory", found, "lower data.workers and data.batch_size")
    return good("memory", found)


def shared_memory(place: Path = Path("/dev/shm")) -> Row:
    """/dev/shm, through which worker processes hand over frames; containers have 64 MB unless told."""
    if not place.is_dir():
        return good("/dev/shm", "not used on this system")
    size = shutil.disk_usage(place).total
    if size < GIB:
        fix = "docker run --shm-size=8g (or --ipc=host); else data.workers=0"
        return warning("/dev/shm", f"{size / (1 << 20):.0f} MiB", fix)
    return good("/dev/shm", f"{size / GIB:.0f} GiB")


def room(key: str, folder: Path) -> Row:
    """Whether a folder can be written and how much room its disk has."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    name = f"disk, {key.removeprefix('paths.')}"
    if not place.is_dir() or not os.access(place, os.W_OK):
        return bad(name, f"{place} cannot be written", f"{key}=<a folder that can be written>")
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.0f} GiB free at {place}"
    if free < GIB:
        return bad(name, found, f"make room, or {key}=<a folder on another disk>")
    if free < 10 * GIB:
        return warning(name, found, f"features of many clips take more: {key}=<a folder on another disk>")
    return good(name, found)
