"""Packets of an MPEG-TS and their counters, which reveal lost packets."""

from __future__ import annotations

import os

import numpy as np

LENGTHS = {188: 0, 192: 4, 204: 0}
"""Bytes of a packet -> bytes before its sync byte."""
SYNC = 0x47
LOOKED_AT = 4096
"""Packets searched for the place where packets begin: over half of them must begin with the sync byte."""


def has_gap(path: str | os.PathLike[str]) -> bool:
    """Return whether other bytes lie between the packets of an MPEG-TS.

    The demuxer skips them silently, and the counters, of four bits, may fit again after them. A file may
    begin within a packet, and end with a cut packet or with filler.
    """
    return not (_read_packet_heads(path)[:, 0] == SYNC).all()


def _read_packet_heads(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the first four bytes of each packet, uint8 `[N, 4]`; none if no packets are found."""
    data = np.memmap(path, np.uint8, "r")
    for length, before in LENGTHS.items():
        head = data[: length * min(LOOKED_AT, len(data) // length)].reshape(-1, length)
        signs = (head == SYNC).sum(0)
        at = int(signs.argmax())
        if signs[at] > len(head) / 2:
            whole = data[(at - before) % length :]
            rows = whole[: len(whole) // length * length].reshape(-1, length)[:, before : before + 4]
            there = np.flatnonzero(rows[:, 0] == SYNC)
            rest = whole[(there[-1] + 1) * length :]
            filler = len(rest) < length or rest.min() == rest.max()
            return rows[there[0] : there[-1] + 1 if filler else None]
    return np.empty((0, 4), np.uint8)


def is_whole(path: str | os.PathLike[str], pid: int) -> bool:
    """Return whether the stream with packets of number `pid` lost no packet within a frame.

    An appended recording consists of whole packets, and its first packet of a stream begins a frame. After a
    loss, the packet at which the counter jumps mostly lies within a frame.
    """
    rows = _read_packet_heads(path)
    if not len(rows) or not (rows[:, 0] == SYNC).all():
        return False
    mine = rows[((rows[:, 1] & 0x1F).astype(np.int64) << 8 | rows[:, 2]) == pid]
    filled = mine[mine[:, 3] & 0x10 > 0]  # only packets with a payload are counted
    count, begins = filled[:, 3] & 0x0F, filled[:, 1] & 0x40 > 0
    step = (count[1:].astype(np.int64) - count[:-1]) % 16
    lost = (step != 1) & ~((step == 0) & (filled[1:] == filled[:-1]).all(1))  # a packet may come twice
    return bool(begins[1:][lost].all()) and not (filled[:, 1] & 0x80).any()
