"""Which frames of an opened file are read: by their times, or by what is on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video import recovery
from jungle.video.container.timeline import Timeline
from jungle.video.decoders.resize import Scaler
from jungle.video.frames import motion
from jungle.video.frames.sampling import pick
from jungle.video.types import ClipSpec, Frames

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


def picks_of(
    path: str | Path,
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    spec: ClipSpec,
    seed: int,
) -> np.ndarray:
    """The frames of an opened file that a spec picks, int64 `[T]`.

    Raises:
        WrongTimeline: as `read_uncut`.
    """
    if spec.frames.kind == "motion":
        return _moving(path, container, stream, timeline, spec)
    return pick(spec.frames, timeline.times, timeline.key, seed)


def _moving(
    path: str | Path, container: InputContainer, stream: VideoStream, timeline: Timeline, spec: ClipSpec
) -> np.ndarray:
    """Frames of kind `motion`: by thumbnails that PyAV decodes, whichever decoder reads the frames later."""
    total, count = len(timeline.pts), spec.frames.count
    numbers = motion.candidates(total, count)
    if total <= count:
        return numbers
    thumbnail = replace(spec, size=motion.THUMBNAIL, interpolation="area", focus="whole")
    small = Scaler(thumbnail, turn=timeline.turn)
    images = recovery.read_numbers(path, container, stream, timeline, numbers, small)
    if not images:
        return pick(Frames("uniform", count), timeline.times, timeline.key)
    seen = sorted(images)
    return motion.pick_moving(np.array(seen), np.stack([images[n] for n in seen]), total, count)
