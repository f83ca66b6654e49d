"""Rotation and mirroring that make a stored picture upright.

A decoded frame has only an angle, so a mirrored picture looks rotated or correct: for those the matrix in the
file is read. PyAV's `side_data` has it too, but fails for frames with EXIF and keeps frames in memory.
"""

from __future__ import annotations

import os
import struct
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from jungle.video.container.mp4_boxes import MAX_BOXES, iter_boxes

if TYPE_CHECKING:
    from av import VideoFrame

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


def get_turn(frame: VideoFrame, told: Turn | None) -> Turn:
    """Return what `read_turn` found in the file, or the frame's angle to the nearest quarter."""
    return told if told is not None else QUARTERS[round(frame.rotation / 90) % 4]


def read_turn(path: str | os.PathLike[str], demuxer: str, track: int) -> Turn | None:
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
            found = _read_matrix(file, track)
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


def _read_matrix(file: BinaryIO, track: int) -> Matrix | None:
    """Return the matrix of a track combined with that of the film."""
    for moov in _list_boxes(file, b"moov", 0, file.seek(0, os.SEEK_END)):
        film = AS_STORED
        for begin, _ in _list_boxes(file, b"mvhd", *moov):
            _, film = _read_header(file, begin, (20, 32), 36)
        for trak in _list_boxes(file, b"trak", *moov):
            for begin, _ in _list_boxes(file, b"tkhd", *trak):
                number, (a, b, c, d) = _read_header(file, begin, (12, 20), 40)
                if number == track:
                    e, f, g, h = film
                    product = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
                    return product[0] >> 16, product[1] >> 16, product[2] >> 16, product[3] >> 16
    return None


def _list_boxes(file: BinaryIO, kind: bytes, begin: int, end: int | None) -> list[tuple[int, int | None]]:
    boxes = islice(iter_boxes(file, begin, end), MAX_BOXES)
    return [(first, last) for found, first, last in boxes if found == kind]


def _read_header(file: BinaryIO, at: int, ids: tuple[int, int], matrix: int) -> tuple[int, Matrix]:
    """Return a header's number and matrix, which lie further on if its times have 64 bits (version 1)."""
    file.seek(at)
    data = file.read(matrix + 12 + 36)
    long = data[:1] == b"\1"
    number = struct.unpack_from(">I", data, ids[long])[0]
    a, b, _, c, d = struct.unpack_from(">5i", data, matrix + 12 * long)
    return number, (a, b, c, d)
