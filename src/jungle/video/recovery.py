"""Frames of clips that cannot be read by the rules: damaged ones, and those whose packets bear no times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video.container.open import opened
from jungle.video.container.packets import iter_packets
from jungle.video.container.timeline import Timeline, WrongTimeline
from jungle.video.decoders.pyav import Convert, Wanted, decode, decode_all, watched_frames
from jungle.video.decoders.trust import Watched
from jungle.video.types import ClipError
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av import VideoFrame
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# Damage hits some packets and spares others. A decoder that complains of nearly all of at least so many does
# not get on with the encoder or a header, and its frames are near to what was filmed.
ALIKE, FEWEST = 0.9, 10
USUAL_RATE = 25  # frames a second, where a stream of frames alone says nothing
CHEAP = {"skip_loop_filter": "all", "skip_idct": "all"}
PICTURE_HASH = b"\x50\x01\x84"  # a suffix SEI message of HEVC whose payload is of type 132


def every_frame(path: str | Path, trust_index: bool = True) -> Iterator[tuple[VideoFrame, bool]]:
    """Decode a whole file packet by packet: each frame that comes out, and whether it is sound."""
    with opened(path, trust_index) as (container, stream):
        packets = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        yield from decode_all(stream.codec_context, packets)


def playable(path: str | Path, timeline: Timeline) -> Timeline:
    """The timeline without what was cut off from what it refers to: no player shows it, and it is no damage.

    A recording that was cut at an open group begins with frames that are shown before its first key frame,
    and refer to the group that is no longer there.
    """
    if not timeline.timed or not len(timeline.keys):
        return timeline
    first = int(timeline.keys[0])
    shown_at = timeline.pts[timeline.packet == first]
    leading = timeline.pts < shown_at[0] if len(shown_at) else np.zeros(0, bool)
    if not leading.any():
        return timeline
    with opened(path, timeline.trust_index) as (container, stream):
        every = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        some = islice(every, int(timeline.packet[leading].max()) + 1)
        sound = {frame.opaque for frame, sound in decode_all(stream.codec_context, some) if sound}
    kept = ~leading | np.isin(timeline.packet, np.array([p for p in sound if isinstance(p, int)], np.int64))
    return replace(timeline, pts=timeline.pts[kept], key=timeline.key[kept], packet=timeline.packet[kept])


def has_true_keys(path: str | Path, timeline: Timeline) -> bool:
    """Whether frames that are all called key frames are, for a decoder that begins at any of them.

    Three packets tell, each decoded by itself: a container without a list of key frames calls all of them so.
    """
    if len(timeline.key) < 2 or not timeline.key.all():
        return True
    last = int(timeline.packet.max())
    with opened(path, timeline.trust_index) as (container, stream):
        if stream.codec_context.codec.intra_only:
            return True
        watched = Watched(stream.codec_context)
        packets = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        for place, packet in enumerate(packets):
            if place in (1, last // 2, last):
                frames = watched.decode(packet, place) + watched.drain()
                if not any(sound and frame.key_frame for frame, sound in frames):
                    return False
    return True


def unlike_others(timeline: Timeline, context: VideoCodecContext) -> str:
    """Why other decoders would show a sound file otherwise than it was filmed; empty for nearly all."""
    if context.pix_fmt == "pal8":
        return "pictures with a palette"  # which they lose on the way to a frame
    return "" if timeline.turn is None else "a mirrored picture"


def bears_checksums(context: CodecContext, timeline: Timeline) -> bool:
    """Whether a stream of HEVC has checksums of its pictures, as its first frame tells."""
    return context.name == "hevc" and bool(timeline.packets) and PICTURE_HASH in bytes(timeline.packets[0])


def is_sound(path: str | Path, timeline: Timeline, picks: np.ndarray) -> bool:
    """Whether frames can be decoded without a sign of damage, for decoders that do not tell.

    Nothing is made of the frames, and what costs time and shows no damage is left out.
    """
    with opened(path, timeline.trust_index) as (container, stream):
        context = stream.codec_context
        if not bears_checksums(context, timeline):  # which are those of whole pictures
            unasked = {"err_detect": "0"} if context.name == "hevc" else {}
            context.options = {**context.options, **CHEAP, **unasked}
        wanted = Wanted(picks, timeline, lambda frame: np.empty(0))
        decode(path, container, stream, timeline, wanted)
    return not wanted.missing()


def counted(path: str | Path, timeline: Timeline, doubtful: bool = False) -> Timeline:
    """A timeline for packets without times: one entry a sound frame that comes out, told apart by its count.

    The frames come out in the order they are shown, so the n-th is shown at the n-th of the packets' times.

    Args:
        path: the file.
        timeline: its packets.
        doubtful: take all frames for sound.

    Raises:
        ClipError: no frame comes out, or none that is sound.
        WrongTimeline: there is doubt whether they are sound.
    """
    with opened(path, timeline.trust_index) as (container, stream):
        packets = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        rate = float(stream.codec_context.framerate or stream.guessed_rate or USUAL_RATE)
        with Watched(stream.codec_context) as watched:
            rows = [(frame.key_frame, sound) for frame, sound in watched_frames(watched, packets)]
    if not rows:
        raise ClipError(timeline.damage or "no frame can be decoded")
    key, sound = np.array(rows, bool).reshape(-1, 2).T
    if doubtful:
        sound[:] = True
    elif not sound.any():
        if watched.fed >= FEWEST and watched.complaints >= ALIKE * watched.fed:
            raise WrongTimeline("doubt")
        raise ClipError(_none_sound(len(rows), timeline.damage))
    times = np.unique(timeline.pts)
    if len(times) != len(key):
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / (rate * timeline.time_base)
        times = np.round(np.arange(len(key)) * step).astype(np.int64)
    unsound = len(sound) - int(sound.sum())
    damage = timeline.damage
    if doubtful:
        damage = damage or "all frames may differ from what was filmed: the decoder complains of each of them"
    elif unsound:
        damage = damage or f"{tally_part(unsound, len(sound), 'frames are damaged')} and left out"
    return replace(
        timeline,
        pts=times[sound],
        key=key[sound],
        packet=np.arange(int(sound.sum())),
        keys=np.flatnonzero(key[sound]),
        open_gop=False,
        hidden=False,
        known=True,
        counted=True,
        doubtful=doubtful,
        damage=damage,
        packets=None,
    )


def _none_sound(total: int, damage: str) -> str:
    said = "the only frame that comes out is damaged" if total == 1 else f"all {total} frames are damaged"
    return f"{said}: {damage}" if damage else said


def read_numbers(
    path: str | Path,
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    numbers: np.ndarray,
    convert: Convert,
) -> dict[int, np.ndarray]:
    """The frames of some numbers that come out sound, told by their times, or by their count without times.

    Raises:
        WrongTimeline: the times are wrong.
    """
    if timeline.counted:
        return by_count(path, timeline, numbers, convert)
    wanted = Wanted(numbers, timeline, convert)
    decode(path, container, stream, timeline, wanted)
    if wanted.disordered:
        raise WrongTimeline("count")
    return wanted.images


def by_count(
    path: str | Path, timeline: Timeline, picks: np.ndarray, convert: Convert
) -> dict[int, np.ndarray]:
    """Frames of a `counted` timeline, by their count among the sound ones in a decode of the whole file."""
    wanted = set(picks.tolist())
    every = every_frame(path, timeline.trust_index)
    sound = (frame for frame, sound in every if sound or timeline.doubtful)
    return {number: convert(frame) for number, frame in enumerate(sound) if number in wanted}


def nearest(
    path: str | Path, timeline: Timeline, wanted_pts: list[int], taken_pts: set[int], convert: Convert
) -> dict[int, tuple[int, np.ndarray]]:
    """For each wanted time, the frame nearest to it among those of a damaged file that are sound.

    No frame is given twice, and none of `taken_pts` is given.

    Returns:
        wanted pts -> (true pts, image).
    """
    todo = sorted(wanted_pts)
    found: dict[int, tuple[int, np.ndarray]] = {}
    # Where an AVI's demuxer passes over a frame it counts the next one in its place: of those fetched by the
    # index, what has a wanted time in a decode of the whole file is another frame.
    used = {*taken_pts, *(wanted_pts if timeline.seekable else ())}
    before: VideoFrame | None = None

    def give(pts: int, frame: VideoFrame) -> None:
        assert frame.pts is not None
        found[pts] = (frame.pts, convert(frame))
        used.add(frame.pts)

    for frame, sound in every_frame(path, timeline.trust_index):
        if not sound or frame.pts is None or frame.pts in used:
            continue
        while todo and todo[0] <= frame.pts:
            free = [f for f in (before, frame) if f is not None and f.pts not in used]
            if not free:
                break
            pts = todo.pop(0)
            give(pts, min(free, key=lambda f: abs((f.pts or 0) - pts)))
        before = frame
        if not todo:
            break
    if todo and before is not None and before.pts not in used:
        give(todo[0], before)
    return found
