"""Content keys: the identity of a file from a few of its bytes, by which a moved clip is recognised.

A few bytes distinguish two videos, but not a video from its damaged copy. So results of a sound reading are
kept under the key of the content alone, and those of any other reading under a key that changes when the file
is written again: a repaired clip is read again, and a sound one that was moved is not.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

CHUNK = 16 * 1024
RUN = 32  # files a thread reads in a row: handing over each alone costs more than reading it
THREADS = 16  # on a network disk the time goes in waiting
BATCH = 256  # runs handed over at a time


@dataclass(frozen=True, slots=True)
class Content:
    """Keys under which results of a file are kept.

    Attributes:
        key: of the content (`compute_content_key`), for results of a sound reading.
        if_damaged: of the content and the time of the last write, for results of any other reading.
    """

    key: str
    if_damaged: str

    @classmethod
    def of(cls, key: str, modified_ns: int, changed_ns: int) -> "Content":
        """Return the keys of a file.

        Args:
            key: of what it holds.
            modified_ns: time of modification, which a copy may have taken over from its original.
            changed_ns: time of change, which every write sets.
        """
        text = f"{key} {modified_ns} {changed_ns}"
        return cls(key, hashlib.blake2b(text.encode(), digest_size=16).hexdigest())

    def key_of(self, status: str) -> str:
        """Return the key under which a row of this status is kept."""
        return self.key if status == "ok" else self.if_damaged

    def with_facts(self, digest: str) -> "Content":
        """Return the keys of results that depend on metadata too, by the digest of that."""
        return Content(f"{self.key}-{digest}", f"{self.if_damaged}-{digest}")


def compute_content_key(path: str | Path) -> str:
    """Return the BLAKE2b-128, in hex, of a file's size and of 16 KiB at its start, middle and end.

    Two videos that agree in all of that are the same video in practice: the start holds the container's
    header, the end its index or its last frames. A whole read would cost minutes a terabyte; this costs
    three seeks a clip.

    Raises:
        OSError: the file is missing, unreadable or not a regular file.
    """
    return read_content(path).key


def read_content(path: str | Path) -> Content:
    """Return the keys of a file.

    Raises:
        OSError: as `compute_content_key`.
    """
    # O_NONBLOCK, because opening a pipe that somebody left in the folder would wait for ever.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(fd, "rb", buffering=0) as f:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(0, "not a regular file", os.fspath(path))
        size = info.st_size
        digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
        starts = (0, (size - CHUNK) // 2, size - CHUNK) if size > 3 * CHUNK else range(0, size, CHUNK)
        for start in starts:
            f.seek(start)
            digest.update(_read(f, min(CHUNK, size - start)))
    return Content.of(digest.hexdigest(), info.st_mtime_ns, info.st_ctime_ns)


def _read(f: RawIOBase, n: int) -> bytes:
    """Read `n` bytes; a network disk may give fewer at a time."""
    parts = b""
    while len(parts) < n:
        more = f.read(n - len(parts))
        if not more:
            raise OSError(0, "ends before its size")
        parts += more
    return parts


def read_content_keys(paths: Sequence[str | Path]) -> list[str | OSError]:
    """Return the content keys of many files, in their order: see `read_contents`."""
    return [c.key if isinstance(c, Content) else c for c in read_contents(paths)]


def read_contents(paths: Sequence[str | Path]) -> list[Content | OSError]:
    """Return the keys of many files, in their order; for an unreadable one an `OSError` with the reason."""
    runs = [paths[start : start + RUN] for start in range(0, len(paths), RUN)]
    found: list[Content | OSError] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(runs), BATCH):
            for some in pool.map(_read_several, runs[start : start + BATCH]):
                found += some
    return found


def _read_several(paths: Sequence[str | Path]) -> list[Content | OSError]:
    return [_read_one(path) for path in paths]


def _read_one(path: str | Path) -> Content | OSError:
    try:
        return read_content(path)
    except FileNotFoundError:
        return OSError("no such file")
    except OSError as e:
        return OSError((e.strerror or "cannot be read").lower())
    except ValueError:  # a NUL in the name
        return OSError("not a file name")
