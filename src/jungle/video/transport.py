"""The packets of an MPEG-TS, whose counters tell where something was lost."""

from __future__ import annotations

import os

import numpy as np

LENGTHS = {188: 0, 192: 4}
"""Bytes of a packet -> bytes before its sync byte."""
SYNC = 0x47


def is_whole(path: str | os.PathLike[str], pid: int) -> bool:
    """Whether a stream of an MPEG-TS lost no packet within a frame.

    A recording that was appended to another lies in whole packets, and its first packet of a stream begins a
    frame. Where something was lost, the packet at which the counter jumps mostly lies within one.

    Args:
        path: the file.
        pid: the number of the stream's packets.
    """
    data = np.memmap(path, np.uint8, "r")
    for length, before in LENGTHS.items():
        rows = data[: len(data) // length * length].reshape(-1, length)[:, before : before + 4]
        if len(rows) and (rows[:, 0] == SYNC).all():
            break
    else:
        return False
    mine = rows[((rows[:, 1] & 0x1F).astype(np.int64) << 8 | rows[:, 2]) == pid]
    filled = mine[mine[:, 3] & 0x10 > 0]  # the counter goes on with packets that bear bytes
    count, begins = filled[:, 3] & 0x0F, filled[:, 1] & 0x40 > 0
    step = (count[1:].astype(np.int64) - count[:-1]) % 16
    lost = (step != 1) & ~((step == 0) & (filled[1:] == filled[:-1]).all(1))  # a packet may come twice
    return bool(begins[1:][lost].all()) and not (filled[:, 1] & 0x80).any()
