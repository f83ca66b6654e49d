"""Decide which decoded frames are sound: a decoder invents lost parts, and reports it only in its log.

It fills a lost part of a picture with grey or with that of the picture before, and pictures that refer to it
inherit the error, up to the next one that refers to none. So FFmpeg's log is read for each packet, and a
frame is sound only if there was no sign of damage from its key frame up to the frame itself.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from av import logging
from av.error import FFmpegError

from jungle.video.decoders.blanks import get_longest_run, has_blank

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

Line = tuple[int, str, str]
"""Level, component, text."""

ERROR, INFO = 16, 32  # FFmpeg's levels: lower is more serious
# Texts of any level about pictures that differ from what was filmed.
SIGNS = re.compile(
    r"concealing|missing ref|reference picture missing|no keyframe|corrupt|damaged"
    r"|undecodable NALU|Failed to parse header of NALU",
    re.IGNORECASE,
)
# Decoders that, started at a key frame, do not output pictures that refer to frames before it.
DROPPING = ("hevc", "vvc", "mpeg4", "mpeg1video", "mpeg2video")
# Errors that do not change the picture: cameras write odd application fields and EXIF into JPEG, and drop
# references twice.
HARMLESS = re.compile(r"APP fields|EXIF|mmco: unref short failure", re.IGNORECASE)


def is_sign(level: int, text: str) -> bool:
    """Return whether a line of FFmpeg's log, or its format, reports a picture that differs from the scene."""
    if HARMLESS.search(text):
        return False
    return level <= ERROR or (level <= INFO and SIGNS.search(text) is not None)


class Place(int):
    """A number with its own memory address, by which PyAV identifies opaque objects.

    Python shares small numbers: a frame of another decode, freed later, would free this one's number too.
    """


class WatchedDecoder:
    """A decoder, on one thread, with its log; a context manager.

    Example:
        with Watched(context) as watched:
            for place, packet in enumerate(packets):
                for frame, sound in watched.decode(packet, place):
                    ...
    """

    def __init__(self, context: VideoCodecContext) -> None:
        context.copy_opaque = True  # a frame then has the number of its packet, even if its time is wrong
        self._context = context
        self._ear = capture_log()
        self._lines: list[Line] = []
        self._codec = context.codec.canonical_name
        self._longest = get_longest_run(self._codec, context.extradata)
        self._fresh = True
        self._entries: list[int] = []
        """Numbers of key packets without a sign of damage, ascending."""
        self._faults: list[int] = []
        """Numbers of packets whose damage later frames inherit, ascending."""
        self._broken: set[int] = set()
        """Numbers of packets that are damaged themselves."""
        self._entry_pts: int | None = None
        self._unshown: int | None = None
        """The last entry, if frames before it are not sound and its own has not come out yet."""
        self.fed = 0
        """Packets decoded so far."""
        self.complaints = 0
        """Packets with a sign of damage so far."""

    def __enter__(self) -> WatchedDecoder:
        self._lines = self._ear.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ear.__exit__(None, None, None)

    def decode(self, packet: Packet, place: int) -> list[tuple[VideoFrame, bool]]:
        """Decode a packet with bytes; return the frames that come out, and whether each is sound.

        `place` is the packet's number in decoding order.
        """
        packet.opaque = Place(place)
        frames, damaged = self._decode(packet)
        damaged = damaged or has_blank(self._codec, self._longest, packet)
        self.fed += 1
        self.complaints += damaged
        if damaged:
            self._broken.add(place)
            # Frames shown after a key frame do not refer to those shown before it.
            if packet.is_keyframe or not _is_before(packet.pts, self._entry_pts):
                self._faults.append(place)
        elif packet.is_keyframe:
            if not self._depends_on_sound(place) and not (self._fresh and self._codec in DROPPING):
                self._unshown = place
            self._entries.append(place)
            self._entry_pts = packet.pts
        self._fresh = False
        return [(frame, self._is_sound(frame)) for frame in frames]

    def drain(self) -> list[tuple[VideoFrame, bool]]:
        """Return the frames still held back, and prepare the decoder for another group."""
        frames, _ = self._decode(None)
        found = [(frame, self._is_sound(frame)) for frame in frames]
        self._context.flush_buffers()
        self._entries.clear()
        self._faults.clear()
        self._broken.clear()
        self._entry_pts = self._unshown = None
        self._fresh = True
        return found

    def _decode(self, packet: Packet | None) -> tuple[list[VideoFrame], bool]:
        """Return the frames of a packet, and whether there was a sign of damage."""
        self._lines.clear()  # lines about the use of earlier frames
        try:
            frames = list(self._context.decode(packet))
        except (FFmpegError, ValueError):
            return [], True
        return frames, any(is_sign(level, text) for level, _, text in self._lines)

    def _is_sound(self, frame: VideoFrame) -> bool:
        place = frame.opaque
        if not isinstance(place, int):
            return False
        if frame.is_corrupt:
            self._broken.add(place)
            insort(self._faults, place)
        if self._context.codec.intra_only:
            return place not in self._broken
        # Containers may be wrong about key packets; the decoder is right.
        if frame.key_frame:
            if place not in self._broken and place not in self._entries:
                insort(self._entries, place)
        elif frame.pict_type > 1 and place in self._entries:  # 0 is unknown, 1 refers to no other picture
            self._entries.remove(place)
        if self._unshown is not None:
            if place > self._unshown and not _is_before(self._entry_pts, frame.pts):
                return False  # shown before the key frame that it follows: it refers to frames before both
            if place >= self._unshown:
                self._unshown = None
        return self._depends_on_sound(place)

    def _depends_on_sound(self, place: int) -> bool:
        at = bisect_right(self._entries, place)
        if not at or place in self._broken:
            return False
        fault = bisect_right(self._faults, place)
        return not fault or self._faults[fault - 1] < self._entries[at - 1]


def _is_before(pts: int | None, other: int | None) -> bool:
    return pts is not None and other is not None and pts < other


_lock = threading.Lock()
_listeners = 0
_as_found: tuple[int | None, bool] = (None, True)


@contextmanager
def capture_log() -> Iterator[list[Line]]:
    """Collect every line of FFmpeg's log of this thread; the log's settings are restored at the end."""
    global _listeners, _as_found

    with _lock:
        if not _listeners:
            _as_found = logging.get_level(), logging.get_skip_repeated()
            logging.set_level(max(INFO, _as_found[0] or 0))
            logging.set_skip_repeated(False)
        _listeners += 1
    try:
        with logging.Capture() as lines:
            yield lines
    finally:
        with _lock:
            _listeners -= 1
            if not _listeners:
                logging.set_level(_as_found[0])
                logging.set_skip_repeated(_as_found[1])
