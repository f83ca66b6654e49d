"""Frames of damaged clips, and of clips whose packets have no times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video.container.open import open_video
from jungle.video.container.packets import read_packets
from jungle.video.container.timeline import Timeline, VideoFile, WrongTimeline
from jungle.video.decoders.pyav import Convert, WantedFrames, decode, decode_all, decode_watched
from jungle.video.decoders.trust import WatchedDecoder
from jungle.video.types import ClipError
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

# Damage affects some packets and not others. A decoder that complains about this share of at least so many
# packets merely disagrees with the encoder or a header, and its frames are close to what was filmed.
ALIKE, FEWEST = 0.9, 10
USUAL_RATE = 25  # frames a second, if a stream of bare frames has no rate
CHEAP = {"skip_loop_filter": "all", "skip_idct": "all"}
PICTURE_HASH = b"\x50\x01\x84"  # a suffix SEI message of HEVC with a payload of type 132


def decode_file(path: str | Path, trust_index: bool = True) -> Iterator[tuple[VideoFrame, bool]]:
    """Decode a whole file; yield each frame that comes out, and whether it is sound."""
    with open_video(path, trust_index) as (container, stream):
        yield from decode_all(stream.codec_context, read_packets(container, stream))


def drop_leading_frames(path: str | Path, timeline: Timeline) -> Timeline:
    """Return the timeline without leading frames whose reference frames were cut off.

    A recording that was cut at an open group begins with frames that are shown before its first key frame and
    refer to the lost group. No player shows them, and they are no damage.
    """
    if not timeline.timed or not len(timeline.keys):
        return timeline
    first = int(timeline.keys[0])
    shown_at = timeline.pts[timeline.packet == first]
    leading = timeline.pts < shown_at[0] if len(shown_at) else np.zeros(0, bool)
    if not leading.any():
        return timeline
    with open_video(path, timeline.trust_index) as (container, stream):
        some = islice(read_packets(container, stream), int(timeline.packet[leading].max()) + 1)
        sound = {frame.opaque for frame, sound in decode_all(stream.codec_context, some) if sound}
    kept = ~leading | np.isin(timeline.packet, np.array([p for p in sound if isinstance(p, int)], np.int64))
    return replace(timeline, pts=timeline.pts[kept], key=timeline.key[kept], packet=timeline.packet[kept])


def has_true_keys(path: str | Path, timeline: Timeline) -> bool:
    """Return whether all frames are key frames in a file that marks every frame as one.

    A file without a list of key frames marks them all. Three packets are decoded, each on its own.
    """
    if len(timeline.key) < 2 or not timeline.key.all():
        return True
    last = int(timeline.packet.max())
    with open_video(path, timeline.trust_index) as (container, stream):
        if stream.codec_context.codec.intra_only:
            return True
        watched = WatchedDecoder(stream.codec_context)
        for place, packet in enumerate(read_packets(container, stream)):
            if place in (1, last // 2, last):
                frames = watched.decode(packet, place) + watched.drain()
                if not any(sound and frame.key_frame for frame, sound in frames):
                    return False
    return True


def explain_pyav_only(timeline: Timeline, context: VideoCodecContext) -> str:
    """Return why other decoders would show a sound file wrongly; empty for nearly all files."""
    if context.pix_fmt == "pal8":
        return "pictures with a palette"  # which they lose on the way to a frame
    return "" if timeline.turn is None else "a mirrored picture"


def has_checksums(context: VideoCodecContext, timeline: Timeline) -> bool:
    """Return whether the first frame of a stream of HEVC has a checksum of its picture."""
    return context.name == "hevc" and bool(timeline.packets) and PICTURE_HASH in bytes(timeline.packets[0])


def is_sound(path: str | Path, timeline: Timeline, picks: np.ndarray) -> bool:
    """Return whether frames decode without a sign of damage, for decoders that do not report any.

    Steps that take time and reveal no damage are left out; no image is made.
    """
    with open_video(path, timeline.trust_index) as (container, stream):
        context = stream.codec_context
        if not has_checksums(context, timeline):  # a checksum needs the whole picture
            unasked = {"err_detect": "0"} if context.name == "hevc" else {}
            context.options = {**context.options, **CHEAP, **unasked}
        wanted = WantedFrames(picks, timeline, lambda frame: np.empty(0))
        decode(VideoFile(path, container, stream, timeline), wanted)
    return not wanted.missing()


def count_frames(path: str | Path, timeline: Timeline, doubtful: bool = False) -> Timeline:
    """Return a timeline with one entry per sound frame that comes out, for packets without times.

    Frames come out in the order they are shown, so frame n is shown at the n-th of the packets' times. With
    `doubtful`, all frames count as sound.

    Raises:
        ClipError: no frame comes out, or none that is sound.
        WrongTimeline: it is doubtful whether they are sound.
    """
    with open_video(path, timeline.trust_index) as (container, stream):
        rate = float(stream.codec_context.framerate or stream.guessed_rate or USUAL_RATE)
        with WatchedDecoder(stream.codec_context) as watched:
            frames = decode_watched(watched, read_packets(container, stream))
            rows = [(frame.key_frame, sound) for frame, sound in frames]
    if not rows:
        raise ClipError(timeline.damage or "no frame can be decoded")
    key, sound = np.array(rows, bool).reshape(-1, 2).T
    damage = timeline.damage
    if doubtful:
        sound[:] = True
        damage = damage or "all frames may differ from what was filmed: the decoder complains about each"
    elif not sound.any():
        if watched.fed >= FEWEST and watched.complaints >= ALIKE * watched.fed:
            raise WrongTimeline("doubt")
        said = (
            "the only frame that comes out is damaged"
            if len(rows) == 1
            else f"all {len(rows)} frames are damaged"
        )
        raise ClipError(f"{said}: {damage}" if damage else said)
    elif not sound.all():
        lost = len(sound) - int(sound.sum())
        damage = damage or f"{tally_part(lost, len(sound), 'frames are damaged')} and left out"
    times = np.unique(timeline.pts)
    if len(times) != len(key):
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / (rate * timeline.time_base)
        times = np.round(np.arange(len(key)) * step).astype(np.int64)
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


def read_numbers(file: VideoFile, numbers: np.ndarray, convert: Convert) -> dict[int, np.ndarray]:
    """Return the images of the frames `numbers` that come out sound.

    Raises:
        WrongTimeline: the times are wrong.
    """
    if file.timeline.counted:
        return read_by_count(file.path, file.timeline, numbers, convert)
    wanted = WantedFrames(numbers, file.timeline, convert)
    decode(file, wanted)
    if wanted.disordered:
        raise WrongTimeline("count")
    return wanted.images


def read_by_count(
    path: str | Path, timeline: Timeline, picks: np.ndarray, convert: Convert
) -> dict[int, np.ndarray]:
    """Return frames of a `count_frames` timeline by decoding the whole file and counting the sound ones."""
    wanted = set(picks.tolist())
    every = decode_file(path, timeline.trust_index)
    sound = (frame for frame, sound in every if sound or timeline.doubtful)
    return {number: convert(frame) for number, frame in enumerate(sound) if number in wanted}


def find_nearest(
    path: str | Path, timeline: Timeline, wanted_pts: list[int], taken_pts: set[int], convert: Convert
) -> dict[int, tuple[int, np.ndarray]]:
    """Find the nearest sound frame of a damaged file for each wanted time.

    No frame is used twice, and none of `taken_pts`.

    Returns:
        wanted pts -> (true pts, image).
    """
    todo = sorted(wanted_pts)
    found: dict[int, tuple[int, np.ndarray]] = {}
    # When the demuxer of AVI skips a frame, it gives that frame's time to the next one. So in a decode of the
    # whole file, the time of a frame that the index could not find belongs to another frame.
    used = {*taken_pts, *(wanted_pts if timeline.seekable else ())}
    before: VideoFrame | None = None

    def give(pts: int, frame: VideoFrame) -> None:
        assert frame.pts is not None
        found[pts] = (frame.pts, convert(frame))
        used.add(frame.pts)

    for frame, sound in decode_file(path, timeline.trust_index):
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
