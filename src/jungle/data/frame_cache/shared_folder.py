"""Folder that several processes fill together up to a limit, and that the last of them may remove."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK, LEDGER = "lock", "bytes"
TRYING = ".trying"
"""Suffix of a file that marks another one as being written."""


class Ledger:
    """Count of the bytes of a folder's files, kept in a file there, so that all processes keep to one limit.

    Plain and picklable: worker processes count too. One that is killed between counting and writing leaves
    the count too high, never too low; the next process that has the folder alone counts again. If the folder
    has been removed, nothing fits.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.file, self.limit = folder / LEDGER, limit

    @property
    def used(self) -> int:
        """Bytes counted so far."""
        with self._count() as count:
            return count[0]

    @property
    def left(self) -> int:
        """Bytes that may still be added."""
        return max(0, self.limit - self.used)

    def take(self, size: int) -> bool:
        """Count `size` more bytes if they fit, and return whether they do."""
        with self._count() as count:
            fits = count[0] + size <= self.limit
            if fits:
                count[0] += size
            return fits

    def give(self, size: int) -> None:
        """Count `size` bytes less."""
        with self._count() as count:
            count[0] = max(0, count[0] - size)

    @contextmanager
    def _count(self) -> Iterator[list[int]]:
        if not self.file.exists():
            yield [self.limit]
            return
        with open(self.file, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = int.from_bytes(file.read(8), "little")
            count = [before]
            yield count
            if count[0] != before:
                file.seek(0)
                file.write(count[0].to_bytes(8, "little"))


class SharedFolder:
    """Lock of a folder, held by a process while it or its workers use the folder.

    Args:
        path: created if missing.
        private: for this user alone, and removed by the last that leaves it.

    Raises:
        OSError: it cannot be created or locked, or belongs to another user.
    """

    def __init__(self, path: Path, private: bool) -> None:
        self.path, self.private = path, private
        while True:
            path.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
            if private and (path.is_symlink() or path.stat().st_uid != os.getuid()):
                raise PermissionError(0, "it belongs to another user", str(path))
            try:
                lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # the last process has just removed the folder
            alone = _lock_alone(lock)
            if not alone:
                fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_same_file(lock, path / LOCK):
                break
            os.close(lock)
        self._lock: int | None = lock
        if alone:
            _recount(path)
            fcntl.flock(lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Leave the folder."""
        if self._lock is None:
            return
        if self.private and _lock_alone(self._lock):
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def remove_unused(folders: Iterator[Path]) -> None:
    """Remove the folders that no process holds: those of killed processes."""
    for folder in folders:
        try:
            lock = os.open(folder / LOCK, os.O_RDWR)
        except OSError:  # just removed, or being created
            continue
        if _lock_alone(lock):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock_alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _recount(path: Path) -> None:
    """Count the bytes of the folder, and remove unfinished files of killed processes."""
    used = 0
    for place, _, names in os.walk(path):
        for name in names:
            file = Path(place, name)
            if ".part" in name or name.endswith(TRYING):
                file.unlink(missing_ok=True)
            elif name not in (LOCK, LEDGER):
                used += file.stat().st_size
    (path / LEDGER).write_bytes(used.to_bytes(8, "little"))
