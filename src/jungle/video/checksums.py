"""Checksums that a container brings with it, and that FFmpeg's demuxer does not compare."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
CRC = b"\xbf\x84"
"""An EBML element CRC-32 of four bytes, which stands first in what it is of (RFC 8794, 11.3.1)."""
BLOCK = 1 << 20


def is_broken(path: str | os.PathLike[str], demuxer: str) -> bool:
    """Whether frames of a Matroska file are not what its checksums were made of; few cameras write any."""
    if "matroska" not in demuxer:
        return False
    try:
        with open(path, "rb") as file:
            return _has_wrong_cluster(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return False


def _has_wrong_cluster(file: BinaryIO, size: int) -> bool:
    while True:
        kind, length = _number(file, marked=True), _number(file, marked=False)
        if kind == SEGMENT:
            continue  # into it, whether its length is known or not
        end = file.tell() + (length or 0)
        if kind is None or length is None or end > size:
            return False  # the end, a live recording, or what the demuxer says itself
        if kind == CLUSTER and length > 6 and file.read(2) == CRC:
            told = int.from_bytes(file.read(4), "little")
            if _checksum(file, end) != told:
                return True
        file.seek(end)


def _checksum(file: BinaryIO, end: int) -> int:
    found = 0
    while block := file.read(min(BLOCK, end - file.tell())):
        found = zlib.crc32(block, found)
    return found


def _number(file: BinaryIO, marked: bool) -> int | None:
    """The next EBML number; None where it says that it is unknown, or is none.

    Args:
        file: at its first byte.
        marked: keep the bit that tells its length, as element ids do.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    largest = (1 << 7 * length) - 1
    return value if marked else None if value & largest == largest else value & largest
