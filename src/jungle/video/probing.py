"""Properties of a video file: size, rate, codec, key frames, and whether its first frame can be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jungle.video.container.open import check_file, open_video
from jungle.video.container.timeline import read_timeline
from jungle.video.container.truncation import describe_truncation
from jungle.video.container.upright import get_turn
from jungle.video.decoders import decord
from jungle.video.decoders.pyav import decode_all
from jungle.video.recovery import decode_file, drop_leading_frames
from jungle.video.types import ClipError

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True)
class Probe:
    """Properties of a video file. Counts and times are of the frames found, not those claimed."""

    size: int
    """Bytes."""
    container: str
    codec: str
    pix_fmt: str
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    rotation: int
    """Degrees counter-clockwise that make the stored frames upright."""
    fps: float
    """Mean rate; 0 for a single frame."""
    frames: int
    duration: float
    """Seconds from the first frame to the end of the last."""
    bit_rate: int
    """Bits a second of the whole file; 0 where the duration is unknown."""
    key_frames: int
    open_gop: bool
    audio: bool
    created: str
    """Time of recording according to the container; empty if it has none."""
    damage: str
    """Damage of a file that can be read in part; empty if none was found."""
    decord_refusal: str
    """Why decord does not read this file; empty if it does."""


def probe(path: str | Path) -> Probe:
    """Inspect a file without decoding more than its first frame.

    Raises:
        ClipError: it is not a video, or nothing in it can be decoded.
    """
    size = check_file(path)
    with open_video(path, trust_index=False) as (container, stream):
        timeline = drop_leading_frames(path, read_timeline(container, stream, scan=True))
        held, timeline.packets = timeline.packets, None
        context = stream.codec_context
        name, codec = container.format.name, context.name
        audio = bool(container.streams.audio)
        created = timeline.created
        frames = decode_all(context, iter(held)) if held else decode_file(path, trust_index=False)
        first = _find_first_sound(frames)
    if first is None:
        raise ClipError(timeline.damage or "no frame can be decoded")
    timeline.damage = describe_truncation(path) or timeline.damage
    turn = get_turn(first, timeline.turn)
    duration = timeline.duration
    return Probe(
        size=size,
        container=name,
        codec=codec,
        pix_fmt=first.format.name,
        width=first.height if turn.swapped else first.width,
        height=first.width if turn.swapped else first.height,
        rotation=turn.degrees,
        fps=timeline.fps,
        frames=len(timeline.pts),
        duration=duration,
        bit_rate=round(size * 8 / duration) if duration > 0 else 0,
        key_frames=int(timeline.key.sum()),
        open_gop=timeline.open_gop,
        audio=audio,
        created=created,
        damage=timeline.damage,
        decord_refusal=decord.refusal(path, timeline, name, codec),
    )


def _find_first_sound(frames: Iterator[tuple[VideoFrame, bool]]) -> VideoFrame | None:
    """Return the first sound frame; without one the very first, which has the same properties."""
    first = None
    for frame, sound in frames:
        if sound:
            return frame
        first = first or frame
    return first
