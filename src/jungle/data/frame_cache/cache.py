"""Cache of decoded clips in a run's main processes: its folder, its size and its removal.

`data.cache=disk` lies below the folder of caches and stays; `data.cache=ram` lies in /dev/shm, where all
processes of a run share its pages, and is removed by the last process that closes it or, after a kill, by the
next one that opens such a cache. `jungle.data.frame_cache.worker` describes what is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jungle.console import log
from jungle.data.content_key import Content, read_contents
from jungle.data.frame_cache.shared_folder import Ledger, SharedFolder, remove_unused
from jungle.data.frame_cache.worker import FULL, KEPT, THERE, CachedSource
from jungle.errors import UsageError, UserError
from jungle.files import write_json
from jungle.system import free_memory
from jungle.video import Clip, ClipSpec

GB = 10**9
DISK_GB = 50.0
SPARE = 2 * GB  # left free on a disk for other files of a run
LEAST = GB // 16  # a container's default /dev/shm; a cache of half of it is of no use
SHM = Path("/dev/shm")


class FrameCache:
    """Cache of decoded clips, shared by the processes of all devices.

    Args:
        folder: where the files lie, in a folder for each spec.
        limit: bytes that all of them may take.
        paths: the videos that may be kept.
        private: for this user alone, and removed when the last process closes it.
    """

    def __init__(self, folder: Path, limit: int, paths: Sequence[str], private: bool = False) -> None:
        self.folder = folder
        self._held = SharedFolder(folder, private)
        self.ledger = Ledger(folder, limit)
        found = zip(paths, read_contents(paths), strict=True)
        self.contents = {path: content for path, content in found if isinstance(content, Content)}
        """Content keys by path, without videos that cannot be read."""

    @classmethod
    def open(cls, kind: str, cache: Path, gb: float | None, paths: Sequence[str]) -> FrameCache:
        """Open the cache of a run.

        Args:
            kind: `ram` or `disk`.
            cache: the folder of all caches.
            gb: its limit; None for half of the free memory, or `DISK_GB` of a disk.
            paths: the videos that may be kept.

        Raises:
            UsageError: there is too little memory.
            UserError: the folder cannot be created or locked.
        """
        try:
            if kind == "ram":
                return cls._in_memory(cache.resolve(), gb, paths)
            return cls._on_disk(cache.resolve() / "frames", gb, paths)
        except OSError as error:
            where, why = error.filename or cache, error.strerror or str(error)
            raise UserError(f"data.cache={kind}: {where} cannot be used: {why}") from None

    @classmethod
    def _in_memory(cls, cache: Path, gb: float | None, paths: Sequence[str]) -> FrameCache:
        if not SHM.is_dir():
            raise UsageError(f"data.cache=ram needs {SHM}, which this system lacks: use data.cache=disk")
        mine = f"jungle-frames-{os.getuid()}-"
        folder = SHM / f"{mine}{hashlib.blake2b(os.fsencode(cache), digest_size=6).hexdigest()}"
        remove_unused(f for f in SHM.glob(f"{mine}*") if f != folder)
        opened = cls(folder, 0, paths, private=True)
        used = opened.ledger.used
        room, memory = shutil.disk_usage(SHM).free + used, free_memory() + used
        free, where = (room, str(SHM)) if room < memory else (memory, "memory")
        limit = free // 2 if gb is None else int(gb * GB)
        if not LEAST <= limit <= free:
            opened.close()
            setting = "" if gb is None else f"data.cache_gb={gb:g} is too much: "
            raise UsageError(
                f"data.cache=ram: {setting}{free / GB:.2f} GB of {where} are free; use data.cache=disk, or "
                "give a container more with --shm-size=8g"
            )
        return opened._set_limit(limit)

    @classmethod
    def _on_disk(cls, folder: Path, gb: float | None, paths: Sequence[str]) -> FrameCache:
        cache = cls(folder, 0, paths)
        limit = int((DISK_GB if gb is None else gb) * GB)
        room = max(0, shutil.disk_usage(folder).free + cache.ledger.used - SPARE)
        if room < limit:
            log.warning(f"frame cache: its disk has room for {room / GB:.1f} GB, not for {limit / GB:g}")
        return cache._set_limit(min(limit, room))

    def _set_limit(self, limit: int) -> FrameCache:
        self.ledger.limit = limit
        used = self.ledger.used
        there = f"; {used / GB:.2f} GB are there from before" if used > GB // 100 else ""
        log.info(f"frame cache: up to {limit / GB:.2f} GB in {self.folder}{there}")
        return self

    def source(self, spec: ClipSpec) -> CachedSource:
        """Return the reader of clips for `spec`, which takes them from the cache if they are there."""
        source = CachedSource(self.folder, self.ledger, spec)
        about = source.folder / "about.json"
        if not about.exists():
            write_json(about, source.fingerprint)
        return source

    def close(self) -> None:
        """Close the cache; the last process to close one in memory removes it."""
        self._held.close()


class CacheStats:
    """Counts of the clips of one reader that came from the cache, were added or not kept."""

    def __init__(self, cache: FrameCache) -> None:
        self.cache = cache
        self.counts: Counter[str] = Counter()
        self._logged: set[str] = set()

    def add(self, clip: Clip) -> None:
        """Count one clip."""
        self.counts[clip.cache] += 1

    def log(self) -> None:
        """Log one line on the clips since the last call, if some were added or a kind is new."""
        counts, self.counts = self.counts, Counter()
        news = set(counts) - self._logged
        self._logged |= news
        if not news and not counts[KEPT]:
            return
        total, there, kept = counts.total(), counts.pop(THERE, 0), counts.pop(KEPT, 0)
        line = (
            f"frame cache: {there} of {total} clips came from it, {kept} were added "
            f"({self.cache.ledger.used / GB:.2f} of {self.cache.ledger.limit / GB:.2f} GB used)"
        )
        if +counts:
            line += "; not kept: " + ", ".join(
                f"{n} ({why or 'read at the second attempt'})" for why, n in counts.most_common()
            )
        if FULL in news:
            line += f". For more room raise data.cache_gb, or delete old folders of {self.cache.folder}"
        log.info(line)
