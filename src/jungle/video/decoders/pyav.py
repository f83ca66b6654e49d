"""Exact frames through PyAV, which decodes only what the wanted frames need.

A wanted frame needs every reference frame since the key frame before it. Nothing seeks by time: packets are
read in their order, those of groups without a wanted frame never reach the decoder, and frames without
dependants are skipped (`skip_frame=NONREF`). So the result does not depend on how well a container seeks;
ASF, MPEG-TS and many AVIs seek badly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from jungle.video.container.open import open_video
from jungle.video.container.packets import read_packets
from jungle.video.container.timeline import Timeline, VideoFile, WrongTimeline
from jungle.video.decoders.trust import WatchedDecoder

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

Convert = Callable[["VideoFrame"], np.ndarray]


class WantedFrames:
    """The frames to decode, and their images so far."""

    def __init__(self, picks: np.ndarray, timeline: Timeline, convert: Convert) -> None:
        self._number_of = {int(timeline.pts[n]): int(n) for n in picks}
        self._convert = convert
        self.images: dict[int, np.ndarray] = {}
        self.disordered = False
        """Frames came out in another order than their times: the times are wrong."""
        self._last: int | None = None

    def offer(self, frame: VideoFrame, sound: bool) -> None:
        """Keep a decoded frame if it is wanted and sound."""
        if frame.pts is None:
            return
        self.disordered |= self._last is not None and frame.pts <= self._last
        if self.disordered:
            return  # no frame may be taken for one of another time
        self._last = frame.pts
        number = self._number_of.get(frame.pts)
        if sound and number is not None and number not in self.images:
            self.images[number] = self._convert(frame)

    def drain(self, watched: WatchedDecoder) -> None:
        """Take the frames held back for reordering, and prepare the decoder for another group."""
        for frame, sound in watched.drain():
            self.offer(frame, sound)
        self._last = None

    def missing(self) -> list[int]:
        """Return the numbers of frames that have no sound image yet."""
        return [n for n in self._number_of.values() if n not in self.images]


def decode(file: VideoFile, wanted: WantedFrames) -> None:
    """Decode the wanted frames into `wanted.images`; those that do not come out sound stay missing.

    Raises:
        WrongTimeline: the container's index is wrong, or did not tell the decoder enough.
    """
    path, _, stream, timeline = file
    if timeline.seekable:
        _decode_singly(file, wanted)
    elif timeline.packets is not None:
        _decode_groups(stream.codec_context, iter(timeline.packets), timeline, wanted)
    else:
        with open_video(path, timeline.trust_index) as (again, video):
            _decode_groups(video.codec_context, read_packets(again, video), timeline, wanted)
    if timeline.unseen and (wanted.disordered or wanted.missing()):
        raise WrongTimeline("scan")


def _decode_groups(
    context: VideoCodecContext, packets: Iterator[Packet], timeline: Timeline, wanted: WantedFrames
) -> None:
    numbers = wanted.missing()
    places = sorted(int(timeline.packet[n]) for n in numbers)
    begins = _find_begins(timeline, numbers)
    spans = _merge_spans([(begins[p], p) for p in places])
    targets = set(places)
    span = next(spans, None)
    skips = context.name != "libdav1d"  # which would never decode such frames again
    with WatchedDecoder(context) as watched:
        for place, packet in enumerate(packets):
            if span is None:
                break
            if place < span[0]:
                continue
            # Reference frames are decoded in any case.
            context.skip_frame = "DEFAULT" if place in targets or not skips else "NONREF"
            for frame, sound in watched.decode(packet, place):
                wanted.offer(frame, sound)
            if place >= span[1]:
                wanted.drain(watched)
                span = next(spans, None)
        else:
            wanted.drain(watched)


def _find_begins(timeline: Timeline, numbers: list[int]) -> dict[int, int]:
    """Return, for the number of each wanted packet, that of the key packet where decoding has to begin."""
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


def _merge_spans(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge (begin, end) ranges, in ascending order of their end, that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for begin, end in ranges:
        while merged and begin <= merged[-1][1] + 1:
            begin = min(begin, merged.pop()[0])
        merged.append((begin, end))
    return iter(merged)


def _decode_singly(file: VideoFile, wanted: WantedFrames) -> None:
    """Fetch and decode single key frames by the container's index."""
    _, container, stream, timeline = file
    with WatchedDecoder(stream.codec_context) as watched:
        for number in sorted(wanted.missing()):
            pts = int(timeline.pts[number])
            container.seek(pts, stream=stream, any_frame=True)
            packet = next(read_packets(container, stream), None)
            if packet is None or packet.pts != pts:
                raise WrongTimeline("scan")
            if not timeline.lies_at(number, packet.pos):
                continue  # the demuxer skipped this frame and took a later one for it
            for frame, sound in watched.decode(packet, number):
                wanted.offer(frame, sound)
            if number not in wanted.images:
                wanted.drain(watched)


def decode_all(context: VideoCodecContext, packets: Iterator[Packet]) -> Iterator[tuple[VideoFrame, bool]]:
    """Yield every frame that comes out at all, in order, and whether it is sound."""
    context.skip_frame = "DEFAULT"
    with WatchedDecoder(context) as watched:
        yield from decode_watched(watched, packets)


def decode_watched(watched: WatchedDecoder, packets: Iterator[Packet]) -> Iterator[tuple[VideoFrame, bool]]:
    """Do as `decode_all` with a decoder that the caller keeps."""
    last: int | None = None
    for place, packet in enumerate(packets):
        if packet.is_keyframe and last is not None and packet.dts is not None and packet.dts < last:
            # An appended recording refers to nothing before it.
            yield from watched.drain()
        last = packet.dts
        yield from watched.decode(packet, place)
    yield from watched.drain()
