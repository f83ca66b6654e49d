"""Bytes that no encoder writes and a lost sector reads as, in packets that decoders take without a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet

# Zero bytes in a row that no packet has: within units of H.264 and HEVC two at the most may follow one
# another, and what an arithmetic coder writes looks like noise.
NAL_ZEROS = 16
FILLED = 64
ZEROS = {"h264": NAL_ZEROS, "hevc": NAL_ZEROS, "vp8": 32, "vp9": 32}
# Of JPEG with the tables of its standard: 24 zero bytes would be a block whose 63 coefficients are all -1,
# and ones are filler before a marker. Other tables, and lossless JPEG, make zeros of an even colour.
JPEG_RUN = 64
JPEG_LOST = re.compile(rb"\x00{%d}|\xff{%d}" % (JPEG_RUN, JPEG_RUN))
# The standard's table K.5 of coefficients of luma, as it begins in a file: the counts of codes by length.
JPEG_TABLE = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D])
SOI, SOS, EOI, DHT = b"\xff\xd8", 0xDA, b"\xff\xd9", 0xC4
FRAMES, SEQUENTIAL = range(0xC0, 0xD0), (0xC0, 0xC1, DHT)
"""Markers that say of which kind a picture is (three of them say something else), and those read here."""


def longest_run(codec: str, extradata: bytes | None) -> int | None:
    """Zero bytes in a row from which a packet of this codec is taken for damaged; None where any may be.

    Args:
        codec: FFmpeg's name of it.
        extradata: the stream's header.
    """
    longest = ZEROS.get(codec)
    if longest == NAL_ZEROS and (extradata or b"")[:1] != b"\1":
        return None  # a stream with start codes, between which zeros may stand
    return longest


def has_blank(codec: str, longest: int | None, packet: Packet) -> bool:
    """Whether a part of a packet is as a lost sector reads.

    Args:
        codec: FFmpeg's name of it.
        longest: what `longest_run` gave.
        packet: with bytes.
    """
    if codec == "mjpeg":
        return _jpeg_has_blank(bytes(packet))
    if longest is None:
        return False
    data = bytes(packet)
    used = data.rstrip(b"\0")
    # Writers fill up to a round number. A decoder of H.264 misses what is lost at the end, others do not.
    filled = len(data) - len(used) <= FILLED or codec == "h264"
    return not filled or bytes(longest) in used


def _jpeg_has_blank(data: bytes) -> bool:
    begin = _scan_begin(data)
    if begin is None:
        return False
    end = data.find(EOI, begin)
    coded = data[begin : len(data) if end < 0 else end].rstrip(b"\0\xff")  # what is filled up is no damage
    return JPEG_LOST.search(coded) is not None


def _scan_begin(data: bytes) -> int | None:
    """Where the coded picture begins; None where it is not sequential JPEG with the standard's tables."""
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
