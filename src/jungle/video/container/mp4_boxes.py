"""The boxes of which MP4 and MOV files consist (ISO 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

MAX_BOXES = 10_000
"""Boxes that callers look at: a hostile file may hold millions."""


def iter_boxes(
    file: BinaryIO, begin: int = 0, end: int | None = None
) -> Iterator[tuple[bytes, int, int | None]]:
    """Yield the type of each box in a part of a file, and where its contents begin and end.

    Args:
        file: open for reading.
        begin: where the first box begins.
        end: of the part; None for a whole file. Its last box may claim an end beyond it, or none (None).
    """
    while end is None or begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        contents = begin + 8
        if size == 1 and len(head) == 16:
            size, contents = struct.unpack_from(">Q", head, 8)[0], begin + 16
        elif size == 0:  # "to the end"
            yield kind, contents, end
            return
        if size < 8:
            return
        begin += size
        yield kind, contents, begin if end is None else min(begin, end)
