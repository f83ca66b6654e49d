"""Exact frames through PyAV: only what the wanted frames need is decoded, wherever the container can seek to.

A wanted frame needs every reference frame from the key frame before it. Nothing seeks by time: the packets of
the stream are walked in their order, those of groups without a wanted frame never reach the decoder, and
within a group the frames that nothing refers to are skipped (`skip_frame=NONREF`). So the result does not
depend on how well a container seeks, which in ASF, MPEG-TS and many an AVI is badly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video.container.open import opened
from jungle.video.container.packets import iter_packets
from jungle.video.container.timeline import Timeline, WrongTimeline
from jungle.video.decoders.trust import Watched

if TYPE_CHECKING:
    from av import VideoFrame
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

Convert = Callable[["VideoFrame"], np.ndarray]


class Wanted:
    """The frames to be had, and what has come of them."""

    def __init__(self, picks: np.ndarray, timeline: Timeline, convert: Convert) -> None:
        self._number_of = {int(timeline.pts[n]): int(n) for n in picks}
        self._convert = convert
        self.images: dict[int, np.ndarray] = {}
        self.unsound: set[int] = set()
        """Numbers of frames that came out and are not what was filmed: they have no image."""
        self.disordered = False
        """Frames came out in another order than their times say: the times are wrong."""
        self._last: int | None = None

    def offer(self, frame: VideoFrame, sound: bool) -> None:
        """Keep a decoded frame if it is one of those wanted, and sound."""
        if frame.pts is None:
            return
        self.disordered |= self._last is not None and frame.pts <= self._last
        if self.disordered:
            return  # whoever takes the frames must not see one of another time
        self._last = frame.pts
        number = self._number_of.get(frame.pts)
        if number is None or number in self.images:
            return
        if sound:
            self.images[number] = self._convert(frame)
        else:
            self.unsound.add(number)

    def restart(self) -> None:
        """Decoding begins again at another key frame."""
        self._last = None

    def missing(self) -> list[int]:
        """Numbers of frames that have not come, or not sound."""
        return [n for n in self._number_of.values() if n not in self.images]


def decode(
    path: str | Path, container: InputContainer, stream: VideoStream, timeline: Timeline, wanted: Wanted
) -> None:
    """Decode the wanted frames into `wanted.images`; those that do not come out sound stay missing.

    Raises:
        WrongTimeline: the container's index is wrong, or did not tell the decoder enough.
    """
    if timeline.seekable:
        _decode_singly(container, stream, timeline, wanted)
    elif timeline.packets is not None:
        _decode_groups(stream.codec_context, enumerate(timeline.packets), timeline, wanted)
    else:
        with opened(path, timeline.trust_index) as (again, video):
            packets = (p for p in iter_packets(again, video) if not isinstance(p, str))
            _decode_groups(video.codec_context, enumerate(packets), timeline, wanted)
    if timeline.unseen and (wanted.disordered or wanted.missing()):
        raise WrongTimeline("scan")


def _decode_groups(
    context: CodecContext, packets: Iterator[tuple[int, Packet]], timeline: Timeline, wanted: Wanted
) -> None:
    numbers = wanted.missing()
    places = sorted(int(timeline.packet[n]) for n in numbers)
    begins = _begin_of(timeline, numbers)
    spans = _spans([(begins[p], p) for p in places])
    targets = set(places)
    span = next(spans, None)
    skips = context.name != "libdav1d"  # which would skip such frames for good
    with Watched(context) as watched:
        for place, packet in packets:
            if span is None:
                break
            if place < span[0]:
                continue
            # A frame that another refers to is decoded in any case.
            context.skip_frame = "DEFAULT" if place in targets or not skips else "NONREF"
            for frame, sound in watched.decode(packet, place):
                wanted.offer(frame, sound)
            if place >= span[1]:
                _drain(watched, wanted)
                span = next(spans, None)
        else:
            _drain(watched, wanted)


def _begin_of(timeline: Timeline, numbers: list[int]) -> dict[int, int]:
    """For the place of each wanted packet, the place of the key packet from which decoding has to begin."""
    pts_of = dict(zip(timeline.packet.tolist(), timeline.pts.tolist(), strict=True))
    begins = {}
    for n in numbers:
        place, pts = int(timeline.packet[n]), int(timeline.pts[n])
        at = int(np.searchsorted(timeline.keys, place, side="right")) - 1
        # A frame shown before its group's key frame refers to the group before.
        while at > 0 and pts_of.get(int(timeline.keys[at]), pts) > pts:
            at -= 1
        begins[place] = int(timeline.keys[max(at, 0)])
    return begins


def _spans(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge (begin, end) ranges that overlap or touch; all are in ascending order of their end."""
    merged: list[tuple[int, int]] = []
    for begin, end in ranges:
        while merged and begin <= merged[-1][1] + 1:
            begin = min(begin, merged.pop()[0])
        merged.append((begin, end))
    return iter(merged)


def _decode_singly(
    container: InputContainer, stream: VideoStream, timeline: Timeline, wanted: Wanted
) -> None:
    """Fetch and decode single key frames by the container's index."""
    with Watched(stream.codec_context) as watched:
        for number in sorted(wanted.missing()):
            pts = int(timeline.pts[number])
            container.seek(pts, stream=stream, any_frame=True)
            packet = next((p for p in iter_packets(container, stream) if not isinstance(p, str)), None)
            if packet is None or packet.pts != pts:
                raise WrongTimeline("scan")
            if not timeline.lies_at(number, packet.pos):
                continue  # the demuxer passed over what lies there, and took a later frame for it
            for frame, sound in watched.decode(packet, number):
                wanted.offer(frame, sound)
            if number not in wanted.images:
                _drain(watched, wanted)


def decode_all(context: CodecContext, packets: Iterator[Packet]) -> Iterator[tuple[VideoFrame, bool]]:
    """Every frame that comes out at all, in order, and whether it is sound."""
    context.skip_frame = "DEFAULT"
    with Watched(context) as watched:
        yield from watched_frames(watched, packets)


def watched_frames(watched: Watched, packets: Iterator[Packet]) -> Iterator[tuple[VideoFrame, bool]]:
    """As `decode_all`, of a decoder that the caller may ask afterwards."""
    last: int | None = None
    for place, packet in enumerate(packets):
        if packet.is_keyframe and last is not None and packet.dts is not None and packet.dts < last:
            # Another recording, appended to this one, refers to nothing before it.
            yield from watched.drain()
        last = packet.dts
        yield from watched.decode(packet, place)
    yield from watched.drain()


def _drain(watched: Watched, wanted: Wanted) -> None:
    """Take what the decoder still holds back for reordering, and make it ready for another group."""
    for frame, sound in watched.drain():
        wanted.offer(frame, sound)
    wanted.restart()
