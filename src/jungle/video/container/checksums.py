"""Checksums inside Matroska files, which FFmpeg's demuxer does not compare."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
CRC = b"\xbf\x84"
"""An EBML element CRC-32 of four bytes, the first in the element that it covers (RFC 8794, 11.3.1)."""
BLOCK = 1 << 20


def is_broken(path: str | os.PathLike[str], demuxer: str) -> bool:
    """Return whether a Matroska file contradicts its own checksums; few cameras write any."""
    if "matroska" not in demuxer:
        return False
    try:
        with open(path, "rb") as file:
            return _has_wrong_cluster(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return False


def _has_wrong_cluster(file: BinaryIO, size: int) -> bool:
    while True:
        kind, length = read_ebml_number(file, marked=True), read_ebml_number(file)
        if kind == SEGMENT:
            continue  # into it, whether its length is known or not
        end = file.tell() + (length or 0)
        if kind is None or length is None or end > size:
            return False  # the end, a live recording, or an error that the demuxer reports itself
        if kind == CLUSTER and length > 6 and file.read(2) == CRC:
            expected, found = int.from_bytes(file.read(4), "little"), 0
            while block := file.read(min(BLOCK, end - file.tell())):
                found = zlib.crc32(block, found)
            if found != expected:
                return True
        file.seek(end)


def read_ebml_number(file: BinaryIO, marked: bool = False) -> int | None:
    """Read the next EBML number; None if it is invalid or marked as unknown, as in a live recording.

    `marked` keeps the bit that shows its length, as element ids do.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    largest = (1 << 7 * length) - 1
    return value if marked else None if value & largest == largest else value & largest
