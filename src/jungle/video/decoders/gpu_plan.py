"""What a GPU is told to decode: the frames of a clip, found and checked by a process that may be killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jungle.video.container.timeline import Timeline
from jungle.video.types import ClipError

# What NVDEC decodes through torchcodec and decord both. MJPEG, msmpeg4 and the rest are for the CPU. What a
# card cannot do of these (10 bit, 4:2:2, frames under 144 pixels) shows when the clip is opened there.
NVDEC = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4")


@dataclass(frozen=True)
class Plan:
    """The frames of one clip, to be decoded elsewhere than they were found."""

    path: str
    numbers: np.ndarray
    """int64 `[T]`: in the order shown."""
    pts: np.ndarray
    """int64 `[T]`: when each is shown, in units of `time_base`."""
    first: int
    """When the clip's first frame is shown."""
    time_base: float
    """Seconds."""
    total: int
    """Frames of the clip."""
    fps: float
    duration: float
    stream: int
    """The video stream's number in the file."""

    @classmethod
    def of(cls, path: str | Path, picks: np.ndarray, timeline: Timeline) -> Plan:
        """The plan for the frames `picks` of a clip."""
        return cls(
            path=str(path),
            numbers=np.asarray(picks, np.int64),
            pts=np.asarray(timeline.pts[picks], np.int64),
            first=int(timeline.pts[0]),
            time_base=timeline.time_base,
            total=len(timeline.pts),
            fps=timeline.fps,
            duration=timeline.duration,
            stream=timeline.stream,
        )

    @property
    def times(self) -> np.ndarray:
        """float64 `[T]`: seconds from the clip's first frame."""
        return (self.pts - self.first) * self.time_base

    def check(self, place: int, seconds: float) -> None:
        """Make sure that the frame at a place of the plan is the one asked for, by when it is shown.

        Raises:
            ClipError: it is another.
        """
        if abs(seconds - float(self.pts[place]) * self.time_base) > self.time_base:
            raise ClipError("the decoder gives another frame than the one asked for")

    def packed(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """What passes between processes: facts that JSON can hold, and arrays."""
        facts = {k: v for k, v in vars(self).items() if k not in ("numbers", "pts")}
        return facts, [self.numbers, self.pts]

    @classmethod
    def unpacked(cls, facts: dict[str, Any], arrays: list[np.ndarray]) -> Plan:
        """The inverse of `packed`."""
        return cls(numbers=arrays[0], pts=arrays[1], **facts)


def cpu_reason(codec: str) -> str:
    """Why NVDEC does not decode a codec, by FFmpeg's name of it; empty where it does."""
    return "" if codec in NVDEC else f"{codec} video"
