"""What a file holds, told from a few of its bytes: the key of the feature store, wherever a clip is moved."""

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from io import RawIOBase
from pathlib import Path

from jungle.console import Progress

CHUNK = 16 * 1024
RUN = 32  # files a thread reads in a row: handing over each alone costs more than reading it
BATCH = 256  # runs handed over at a time


def content_key(path: str | Path) -> str:
    """BLAKE2b-128, in hex, of a file's size and of 16 KiB at its start, middle and end.

    Two videos that agree in all of that are the same video in practice: the start holds the container's
    header, the end its index or its last frames. A whole read would cost minutes a terabyte; this costs
    three seeks a clip.

    Raises:
        OSError: the file is missing, unreadable or not a regular file.
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
    return digest.hexdigest()


def _read(f: RawIOBase, n: int) -> bytes:
    """Read `n` bytes; a network disk may give fewer at a time."""
    parts = b""
    while len(parts) < n:
        more = f.read(n - len(parts))
        if not more:
            raise OSError(0, "ends before its size")
        parts += more
    return parts


def content_keys(
    paths: Sequence[str | Path], threads: int = 16, what: str | None = None
) -> list[str | OSError]:
    """The keys of many files, in their order; for an unreadable one, an `OSError` whose text is the reason.

    Args:
        paths: the files.
        threads: how many are read at once; on a network disk the time goes in waiting.
        what: a title for a progress bar; None shows none.
    """
    runs = [paths[start : start + RUN] for start in range(0, len(paths), RUN)]
    keys: list[str | OSError] = []
    with ThreadPoolExecutor(threads) as pool, Progress(what, len(paths)) if what else nullcontext() as bar:
        for start in range(0, len(runs), BATCH):
            for some in pool.map(_several, runs[start : start + BATCH]):
                keys += some
                if bar is not None:
                    bar.advance(len(some))
    return keys


def _several(paths: Sequence[str | Path]) -> list[str | OSError]:
    return [_one(path) for path in paths]


def _one(path: str | Path) -> str | OSError:
    try:
        return content_key(path)
    except FileNotFoundError:
        return OSError("no such file")
    except OSError as e:
        return OSError((e.strerror or "cannot be read").lower())
    except ValueError:  # a NUL in the name
        return OSError("not a file name")
