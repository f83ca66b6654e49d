"""Clips and their specs: which frames are read, how, and with which result."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from jungle.errors import UsageError, suggest

if TYPE_CHECKING:
    import numpy as np

KINDS = ("uniform", "fps", "fps_start", "random", "early_bias", "keyframe", "motion", "opening")
AT_A_RATE = ("fps", "fps_start")  # kinds with a rate: the number of frames depends on the clip
DECODERS = ("auto", "decord", "torchcodec", "pyav")
DEVICES = ("cpu", "cuda")
ON_GPU = ("torchcodec", "decord")  # decoders that have a GPU side
FOCI = ("whole", "motion")
INTERPOLATIONS = ("area", "bilinear", "bicubic", "nearest")
MAX_SIDE = 4096  # pixels of an output side; a larger one is a typing error
MAX_COUNT = 4096  # frames of one clip held in memory at once

Likely = tuple[tuple[float, float], ...]
"""Seconds, ascending, and a weight above 0 each."""


class ClipError(Exception):
    """A clip that cannot be read. `str()` is one line that says why, without bytes of the file."""

    def __init__(self, reason: str) -> None:
        line = " ".join(str(reason).split())
        clean = "".join(c if c.isprintable() else "?" for c in line)
        super().__init__(clean[:300] or "unreadable")


@dataclass(frozen=True)
class Frames:
    """Selection of frames of a clip."""

    kind: str = "uniform"
    """One of `KINDS`."""
    count: int = 16
    """Frames per clip, for kinds `AT_A_RATE` at most. A shorter clip gives all it has."""
    fps: float | None = None
    """Frames a second, for kinds `AT_A_RATE` only."""
    first_s: float | None = None
    """Kind `random` draws from this many seconds at the start; None = from the whole clip."""
    likely: Likely = ()
    """Weights for kind `random`, linear in between; empty = one frame from each equal part. They are those of
    one clip, so not in `to_dict`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"frames.kind: '{self.kind}' is not a way to pick frames.{suggest(self.kind, KINDS)}"
            )
        if not _is_int(self.count) or not 1 <= self.count <= MAX_COUNT:
            raise UsageError(f"frames.count: {self.count} is not a whole number from 1 to {MAX_COUNT}.")
        if self.kind in AT_A_RATE:
            if self.fps is None or not math.isfinite(self.fps) or self.fps <= 0:
                raise UsageError(f"frames.fps: kind '{self.kind}' needs a rate above 0, not {self.fps}.")
        elif self.fps is not None:
            raise UsageError(
                f"frames.fps: only kinds {' and '.join(AT_A_RATE)} take a rate; kind '{self.kind}' ignores "
                f"{self.fps}."
            )
        if self.first_s is not None:
            if self.kind != "random":
                raise UsageError(
                    f"frames.first_s: only kind 'random' draws from a part; kind '{self.kind}' ignores it."
                )
            if not math.isfinite(self.first_s) or self.first_s <= 0:
                raise UsageError(f"frames.first_s: {self.first_s} is not a number of seconds above 0.")

    def to_dict(self) -> dict[str, object]:
        """Return plain types, for checkpoints and fingerprints; `first_s` only if it is given."""
        return {
            "kind": self.kind,
            "count": int(self.count),
            "fps": None if self.fps is None else float(self.fps),
            **({} if self.first_s is None else {"first_s": float(self.first_s)}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Frames:
        """Build the frames of `to_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class ClipSpec:
    """Settings by which a clip becomes frames. Plain, picklable and hashable."""

    frames: Frames = field(default_factory=Frames)
    size: tuple[int, int] | None = None
    """(height, width) of the output in pixels; None keeps the clip's own."""
    crop_bottom: float = 0
    """Cut from the bottom before resizing: below 1 a fraction of the height, else pixels of the source."""
    decoder: str = "auto"
    """One of `DECODERS`. PyAV replaces it for clips that it reads wrongly: see `Clip.decoder`. `auto` is PyAV
    for every file, the fastest for each kind that was measured (`jungle bench decode`)."""
    interpolation: str = "area"
    """One of `INTERPOLATIONS`. `area` averages, so that small objects do not flicker when shrunk."""
    device: str = "cpu"
    """One of `DEVICES`, where frames are decoded; `cuda` for the decoders of `ON_GPU` only. PyAV reads clips
    that the GPU cannot decode: see `Clip.on_cpu`."""
    focus: str = "whole"
    """One of `FOCI`: the `whole` picture, or its part with `motion` (`frames.motion_crop`)."""

    def __post_init__(self) -> None:
        if isinstance(self.frames, dict):
            object.__setattr__(self, "frames", Frames.from_dict(self.frames))
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if not (math.isfinite(self.crop_bottom) and self.crop_bottom >= 0):
            raise UsageError(f"crop_bottom: {self.crop_bottom} is neither a fraction nor a number of pixels.")
        for name, valid in (
            ("decoder", DECODERS),
            ("interpolation", INTERPOLATIONS),
            ("device", DEVICES),
            ("focus", FOCI),
        ):
            value = getattr(self, name)
            if value not in valid:
                raise UsageError(f"{name}: '{value}' is not known.{suggest(str(value), valid)}")
        if self.device == "cuda" and self.decoder not in ON_GPU:
            raise UsageError(
                f"decoder={self.decoder} has no GPU side: decoder.device=cuda needs decoder=torchcodec, "
                "or decoder=decord built with CUDA."
            )
        if self.focus != "whole" and (self.size is None or self.device == "cuda"):
            raise UsageError(
                "focus=motion cuts decoded frames on the CPU to a size: give size, and device=cpu."
            )

    def to_dict(self) -> dict[str, object]:
        """Return plain types for checkpoints and fingerprints; device and focus if they change frames."""
        return {
            "frames": self.frames.to_dict(),
            "size": None if self.size is None else list(self.size),
            "crop_bottom": float(self.crop_bottom),
            "decoder": self.decoder,
            "interpolation": self.interpolation,
            **({} if self.device == "cpu" else {"device": self.device}),
            **({} if self.focus == "whole" else {"focus": self.focus}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClipSpec:
        """Build the spec of `to_dict`."""
        size = values.get("size")
        return cls(**{**values, "size": None if size is None else tuple(size)})

    @property
    def most_bytes(self) -> int | None:
        """The most bytes that a clip's frames take; None if that depends on the clip."""
        if self.size is None or self.frames.kind in AT_A_RATE:
            return None
        return self.frames.count * self.size[0] * self.size[1] * 3

    def rows_kept(self, height: int) -> int:
        """Return the rows of a source frame of `height` pixels that remain above the cut.

        Raises:
            ClipError: nothing would be left.
        """
        cut = round(height * self.crop_bottom) if self.crop_bottom < 1 else round(self.crop_bottom)
        if cut >= height:
            raise ClipError(f"crop_bottom cuts {cut} px, but the frames are {height} px high")
        return height - cut


@dataclass
class Clip:
    """The frames of one clip."""

    frames: Any
    """uint8 `[T, H, W, 3]`, RGB, upright: a NumPy array, or a torch tensor on the GPU."""
    times: np.ndarray
    """float64 `[T]`: true presentation times in seconds from the clip's first frame."""
    status: str
    """`ok`, or `degraded` if some of the selected frames were replaced or left out."""
    reason: str
    """Why the clip is degraded; empty if it is ok."""
    decoder: str
    """The decoder used: `decord`, `torchcodec`, `pyav`, or on a GPU `decord-cuda`, `torchcodec-cuda`."""
    width: int
    """Pixels of the source, upright."""
    height: int
    """Pixels of the source, upright."""
    fps: float
    """Mean frame rate of the source; 0 if unknown."""
    duration: float
    """Seconds of the source; 0 if unknown."""
    created: str = ""
    """Time of recording in the container's own words; empty if unknown."""
    on_cpu: str = ""
    """Why a clip meant for the GPU was decoded on the CPU; else empty."""
    cache: str = ""
    """Outcome of a frame cache (see `jungle.data.frame_cache.worker`); empty without one."""

    def replace(self, **changes: object) -> Clip:
        """Return a copy with other values."""
        return dataclasses.replace(self, **changes)

    def facts(self) -> dict[str, object]:
        """Return all fields that JSON can hold: all but the arrays (see `ClipFacts`)."""
        return {name: value for name, value in vars(self).items() if name not in ("frames", "times")}


class ClipFacts(TypedDict):
    """A `Clip` without its arrays."""

    status: str
    reason: str
    decoder: str
    width: int
    height: int
    fps: float
    duration: float
    created: NotRequired[str]
    on_cpu: str
    cache: NotRequired[str]


def check_size(size: object) -> tuple[int, int]:
    """Return (height, width) if both are whole numbers of pixels from 1 to `MAX_SIDE`.

    Raises:
        UsageError: they are not.
    """
    pair = size if isinstance(size, (tuple, list)) and len(size) == 2 else (0, 0)
    if not all(_is_int(side) and 1 <= side <= MAX_SIDE for side in pair):
        raise UsageError(f"size: {str(size)[:80]} is not (height, width), each from 1 to {MAX_SIDE}.")
    return int(pair[0]), int(pair[1])


def _is_int(value: object) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__")
