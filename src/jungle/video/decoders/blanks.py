"""Find lost disk sectors in packets: runs of bytes that no encoder writes and decoders accept silently."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet

# Zero bytes in a row that no packet has: units of H.264 and HEVC allow two, and the output of an arithmetic
# coder looks like noise.
NAL_ZEROS = 16
FILLED = 64
ZEROS = {"h264": NAL_ZEROS, "hevc": NAL_ZEROS, "vp8": 32, "vp9": 32}
# For JPEG with the tables of its standard: 24 zero bytes would be a block with 63 coefficients of -1, and
# ones are filler before a marker. With other tables, and in lossless JPEG, an even colour becomes zeros.
JPEG_RUN = 64
JPEG_LOST = re.compile(rb"\x00{%d}|\xff{%d}" % (JPEG_RUN, JPEG_RUN))
# The beginning of the standard's table K.5 for coefficients of luma: the counts of codes by length.
JPEG_TABLE = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D])
SOI, SOS, EOI, DHT = b"\xff\xd8", 0xDA, b"\xff\xd9", 0xC4
FRAMES, SEQUENTIAL = range(0xC0, 0xD0), (0xC0, 0xC1, DHT)
"""Markers of the kind of a picture (three of them mean something else), and those read here."""


def get_longest_run(codec: str, extradata: bytes | None) -> int | None:
    """Return the zero bytes in a row that show damage in packets of a codec; None if any number may occur.

    `extradata` is the stream's header.
    """
    longest = ZEROS.get(codec)
    if longest == NAL_ZEROS and (extradata or b"")[:1] != b"\1":
        return None  # a stream with start codes, between which zeros may stand
    return longest


def has_blank(codec: str, longest: int | None, packet: Packet) -> bool:
    """Return whether a packet with bytes has a lost sector; `longest` comes from `get_longest_run`."""
    if codec == "mjpeg":
        return _has_blank_jpeg(bytes(packet))
    if longest is None:
        return False
    data = bytes(packet)
    used = data.rstrip(b"\0")
    # Writers pad to a round number. A decoder of H.264 misses losses at the end, others do not.
    filled = len(data) - len(used) <= FILLED or codec == "h264"
    return not filled or bytes(longest) in used


def _has_blank_jpeg(data: bytes) -> bool:
    begin = _find_scan(data)
    if begin is None:
        return False
    end = data.find(EOI, begin)
    coded = data[begin : len(data) if end < 0 else end].rstrip(b"\0\xff")  # padding is no damage
    return JPEG_LOST.search(coded) is not None


def _find_scan(data: bytes) -> int | None:
    """Return where the coded picture begins; None unless it is sequential JPEG with the standard's tables."""
    at, own = 2, False
    if data[:2] != SOI:
        return None
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xFF:  # filler before a marker
            at += 1
            continue
        if kind in FRAMES and kind not in SEQUENTIAL:
            return None
        if kind == DHT:
            segment = data[at + 4 : at + 2 + size]
            own = own or (b"\x10" in segment and b"\x10" + JPEG_TABLE not in segment)
        at += 2 + size
        if kind == SOS:
            return None if own else at
    return None
