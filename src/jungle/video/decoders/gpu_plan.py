"""The frames of a clip that a GPU is to decode, planned by a process that may be killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from jungle.video.container.timeline import Timeline
from jungle.video.types import ClipError

# Codecs that NVDEC decodes through both torchcodec and decord; the CPU decodes the others. Limits of a card
# (10 bit, 4:2:2, frames under 144 pixels) show when the clip is opened there.
NVDEC = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4")


@dataclass(frozen=True)
class Plan:
    """The frames of one clip, planned in one process and decoded in another."""

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
    created: str
    stream: int
    """The video stream's number in the file."""

    @classmethod
    def from_timeline(cls, path: str | Path, picks: np.ndarray, timeline: Timeline) -> Plan:
        """Plan the frames `picks` of a clip, int64 `[T]`."""
        return cls(
            path=str(path),
            numbers=np.asarray(picks, np.int64),
            pts=np.asarray(timeline.pts[picks], np.int64),
            first=int(timeline.pts[0]),
            time_base=timeline.time_base,
            total=len(timeline.pts),
            fps=timeline.fps,
            duration=timeline.duration,
            created=timeline.created,
            stream=timeline.stream,
        )

    @property
    def times(self) -> np.ndarray:
        """float64 `[T]`: seconds from the clip's first frame."""
        return (self.pts - self.first) * self.time_base

    def check(self, place: int, seconds: float) -> None:
        """Check by its time that a decoded frame is the one at this place of the plan.

        Raises:
            ClipError: it is another one.
        """
        if abs(seconds - float(self.pts[place]) * self.time_base) > self.time_base:
            raise ClipError("the decoder returned a different frame than requested")

    def pack(self) -> tuple[dict[str, object], list[np.ndarray]]:
        """Return what passes between processes: facts that JSON can hold, and arrays."""
        facts = {name: value for name, value in vars(self).items() if name not in ("numbers", "pts")}
        return facts, [self.numbers, self.pts]

    @classmethod
    def unpack(cls, facts: object, arrays: list[np.ndarray]) -> Plan:
        """Build the plan of `pack`."""
        return cls(numbers=arrays[0], pts=arrays[1], **cast("dict[str, Any]", facts))


def explain_cpu(codec: str) -> str:
    """Return why NVDEC does not decode a codec, by FFmpeg's name of it; empty if it does."""
    return "" if codec in NVDEC else f"{codec} video"
