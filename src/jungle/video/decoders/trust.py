"""Which decoded frames can be trusted: a decoder makes up what it cannot read, and tells its log alone.

A lost part of a picture is filled with grey or with what was there before, and every picture that refers to
it inherits that, up to the next one that refers to none. So FFmpeg's log is read for each packet, and a frame
is sound only where nothing was said of damage from the key frame that it depends on up to itself.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from av import logging
from av.error import FFmpegError

from jungle.video.decoders.blanks import has_blank, longest_run

if TYPE_CHECKING:
    from av import VideoFrame
    from av.codec.context import CodecContext
    from av.packet import Packet

Line = tuple[int, str, str]
"""Level, who says it, what."""

ERROR, INFO = 16, 32  # FFmpeg's levels: lower is graver
# Said at any level of pictures that are not what was filmed.
SIGNS = re.compile(
    r"concealing|missing ref|reference picture missing|no keyframe|corrupt|damaged"
    r"|undecodable NALU|Failed to parse header of NALU",
    re.IGNORECASE,
)
# Decoders that, begun at a key frame, do not put out pictures that refer to what lies before it.
DROPPING = ("hevc", "vvc", "mpeg4", "mpeg1video", "mpeg2video")
# Errors that leave the picture as it was filmed: cameras write odd application fields and EXIF into JPEG, and
# name references to be forgotten that are gone already.
HARMLESS = re.compile(r"APP fields|EXIF|mmco: unref short failure", re.IGNORECASE)


def is_sign(level: int, text: str) -> bool:
    """Whether a line of FFmpeg's log, or the format of one, says that a picture is not what was filmed."""
    if HARMLESS.search(text):
        return False
    return level <= ERROR or (level <= INFO and SIGNS.search(text) is not None)


class Place(int):
    """A number that is an object of its own: PyAV tells opaque objects apart by where they lie in memory.

    Python has each small number once; a frame of another decode, let go later, would take this one's with it.
    """


class Watched:
    """A decoder that is listened to, for as long as it is entered.

    Args:
        context: the decoder, on one thread.

    Example:
        with Watched(context) as watched:
            for place, packet in enumerate(packets):
                for frame, sound in watched.decode(packet, place):
                    ...
    """

    def __init__(self, context: CodecContext) -> None:
        self._failure = FFmpegError
        context.copy_opaque = True  # a frame then bears the number of its packet, whatever its time is worth
        self._context = context
        self._ear = listening()
        self._lines: list[Line] = []
        self._intra = context.codec.intra_only
        self._dropping = context.codec.canonical_name in DROPPING
        self._codec = context.codec.canonical_name
        self._longest = longest_run(self._codec, context.extradata)
        self._fresh = True
        self._entries: list[int] = []
        """Places of key packets without a sign of damage, ascending."""
        self._faults: list[int] = []
        """Places from which on damage is handed down, ascending."""
        self._broken: set[int] = set()
        """Places of packets that are damaged themselves."""
        self._entry_pts: int | None = None
        self._unshown: int | None = None
        """The last entry, where what lies before it is not sound and its frame has not come out yet."""
        self.fed = 0
        """Packets that went in so far."""
        self.complaints = 0
        """Those of them at which there was a sign of damage."""

    def __enter__(self) -> Watched:
        self._lines = self._ear.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ear.__exit__(*error)

    def decode(self, packet: Packet, place: int) -> list[tuple[VideoFrame, bool]]:
        """What comes out when a packet goes in: frames, and whether each is what was filmed.

        Args:
            packet: with bytes.
            place: its number in the order of decoding.
        """
        packet.opaque = Place(place)
        frames, damaged = self._decode(packet)
        damaged = damaged or has_blank(self._codec, self._longest, packet)
        self.fed += 1
        self.complaints += damaged
        if damaged:
            self._broken.add(place)
            # Nothing that is shown after a key frame refers to what is shown before it.
            if packet.is_keyframe or not _before(packet.pts, self._entry_pts):
                self._faults.append(place)
        elif packet.is_keyframe:
            if not self._depends_on_sound(place) and not (self._fresh and self._dropping):
                self._unshown = place
            self._entries.append(place)
            self._entry_pts = packet.pts
        self._fresh = False
        return [(frame, self._is_sound(frame)) for frame in frames]

    def drain(self) -> list[tuple[VideoFrame, bool]]:
        """What the decoder still holds back; it is then ready for another group."""
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
        """Frames that a packet gives, and whether there was a sign of damage."""
        self._lines.clear()  # of what was done with the frames before: it says nothing of this packet
        try:
            frames = list(self._context.decode(packet))  # type: ignore[arg-type]
        except (self._failure, ValueError):
            return [], True
        return frames, any(is_sign(level, text) for level, _, text in self._lines)

    def _is_sound(self, frame: VideoFrame) -> bool:
        place = frame.opaque
        if not isinstance(place, int):
            return False
        if frame.is_corrupt:
            self._broken.add(place)
            insort(self._faults, place)
        if self._intra:
            return place not in self._broken
        # Containers err about which packets are key; the decoder has seen.
        if frame.key_frame:
            if place not in self._broken and place not in self._entries:
                insort(self._entries, place)
        elif frame.pict_type > 1 and place in self._entries:  # 0 is unknown, 1 refers to no other picture
            self._entries.remove(place)
        if self._unshown is not None:
            if place > self._unshown and not _before(self._entry_pts, frame.pts):
                return False  # shown before the key frame that it follows: it refers to what lies before both
            if place >= self._unshown:
                self._unshown = None
        return self._depends_on_sound(place)

    def _depends_on_sound(self, place: int) -> bool:
        at = bisect_right(self._entries, place)
        if not at or place in self._broken:
            return False
        fault = bisect_right(self._faults, place)
        return not fault or self._faults[fault - 1] < self._entries[at - 1]


def _before(pts: int | None, other: int | None) -> bool:
    return pts is not None and other is not None and pts < other


_lock = threading.Lock()
_listeners = 0
_as_found: tuple[int | None, bool] = (None, True)


@contextmanager
def listening() -> Iterator[list[Line]]:
    """What FFmpeg says in this thread, every line of it; how others listen to it is left as it was."""
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
