"""Rotation and mirroring that make a stored picture upright.

A decoded frame has only an angle, so a mirrored picture looks rotated or correct: for those the matrix in the
file is read. PyAV's `side_data` has it too, but fails for frames with EXIF and keeps frames in memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

MAX_BOXES = 10_000
Matrix = tuple[int, int, int, int]
"""a, b, c, d of x' = a x + c y, y' = b x + d y, in parts of 65536 (ISO 14496-12, 8.3.2)."""
AS_STORED: Matrix = (1 << 16, 0, 0, 1 << 16)


class Turn(NamedTuple):
    """Operations that make a stored picture upright: first rows and columns are swapped, then mirrors."""

    swapped: bool = False
    left_right: bool = False
    up_down: bool = False

    @property
    def degrees(self) -> int:
        """Counter-clockwise angle from -90 to 180, without mirrors."""
        if self.swapped:
            return -90 if self.left_right else 90
        return 180 if self.left_right and self.up_down else 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return an upright view of `[H, W, ...]`."""
        if self.swapped:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.up_down else 1, :: -1 if self.left_right else 1]


QUARTERS = (Turn(), Turn(True, False, True), Turn(False, True, True), Turn(True, True, False))
"""By the number of counter-clockwise quarter turns."""


def turn_of(frame: VideoFrame, told: Turn | None) -> Turn:
    """Return what `told_turn` found in the file, or the frame's angle to the nearest quarter."""
    return told if told is not None else QUARTERS[round(frame.rotation / 90) % 4]


def told_turn(path: str | os.PathLike[str], demuxer: str, track: int) -> Turn | None:
    """Return how an MP4 or MOV turns the pictures of a track; None for a plain angle, which frames have too.

    Args:
        path: the file.
        demuxer: FFmpeg's name of its format.
        track: the track's id.
    """
    if "mov" not in demuxer:
        return None
    try:
        with open(path, "rb") as file:
            found = _matrix(file, track)
    except (OSError, struct.error):
        return None
    if found is None:
        return None
    a, b, c, d = found
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    plain = a * d - b * c > 0 and not (a or d if swapped else b or c)
    if plain:
        return None
    return Turn(True, c < 0, b < 0) if swapped else Turn(False, a < 0, d < 0)


def _matrix(file: BinaryIO, track: int) -> Matrix | None:
    """Return the matrix of a track combined with that of the film."""
    size = file.seek(0, os.SEEK_END)
    film = AS_STORED
    for kind, begin, end in _boxes(file, 0, size):
        if kind != b"moov":
            continue
        for inner, at, until in _boxes(file, begin, end):
            if inner == b"mvhd":
                _, film = _head(file, at, (20, 32), 36)
            for name, place, _ in _boxes(file, at, until) if inner == b"trak" else ():
                if name == b"tkhd":
                    number, own = _head(file, place, (12, 20), 40)
                    if number == track:
                        a, b, c, d = own
                        e, f, g, h = film
                        product = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
                        return product[0] >> 16, product[1] >> 16, product[2] >> 16, product[3] >> 16
    return None


def _head(file: BinaryIO, at: int, ids: tuple[int, int], matrix: int) -> tuple[int, Matrix]:
    """Return a header's number and matrix, which lie further on if its times have 64 bits (version 1)."""
    file.seek(at)
    data = file.read(matrix + 12 + 36)
    long = data[0] == 1
    number = struct.unpack_from(">I", data, ids[long])[0]
    a, b, _, c, d = struct.unpack_from(">5i", data, matrix + 12 * long)
    return number, (a, b, c, d)


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, begin and end of the contents of the boxes in a part of a file."""
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        head = file.read(16)
        size, kind = struct.unpack_from(">I4s", head)
        begin = at + 8
        if size == 1:
            size, begin = struct.unpack_from(">Q", head, 8)[0], at + 16
        elif size == 0:
            size = end - at
        if size < 8:
            return
        yield kind, begin, min(at + size, end)
        at += size
