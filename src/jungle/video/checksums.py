"""Checksums that a container brings with it, and that FFmpeg's demuxer does not compare."""

from __future__ import annotations

import mmap
import os
import zlib

EBML_HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
CRC = b"\xbf\x84"
"""An EBML element CRC-32 of four bytes, which stands first in what it is of (RFC 8794, 11.3.1)."""


def is_broken(path: str | os.PathLike[str], demuxer: str) -> bool:
    """Whether frames of a Matroska file are not what its checksums were made of; few cameras write any."""
    if "matroska" not in demuxer:
        return False
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _has_wrong_cluster(data)
    except (OSError, ValueError):
        return False


def _has_wrong_cluster(data: mmap.mmap) -> bool:
    with memoryview(data) as view:
        at = 0
        while at < len(data):
            kind, begin = _number(data, at, marked=True)
            size, begin = _number(data, begin, marked=False)
            if kind == SEGMENT:
                at = begin  # into it
                continue
            if size is None or kind is None or begin + size > len(data):
                return False  # a live recording, or what the demuxer says itself
            at = begin + size
            if kind == CLUSTER and data[begin : begin + 2] == CRC:
                told = int.from_bytes(data[begin + 2 : begin + 6], "little")
                if zlib.crc32(view[begin + 6 : at]) != told:
                    return True
    return False


def _number(data: mmap.mmap, at: int, marked: bool) -> tuple[int | None, int]:
    """An EBML number and where the next byte is; None where it is unknown or none.

    Args:
        data: the file.
        at: where it begins.
        marked: keep the bit that tells its length, as element ids do.
    """
    first = data[at] if at < len(data) else 0
    if not first:
        return None, len(data)
    length = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    bare = value & ((1 << 7 * length) - 1)
    if marked:
        return value, at + length
    return (None if bare == (1 << 7 * length) - 1 else bare), at + length
