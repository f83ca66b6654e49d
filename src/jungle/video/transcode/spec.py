"""Spec of a smaller copy of a clip, typed as `64x64@2fps`, `224`, `360@8fps`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from jungle.errors import UsageError, suggest
from jungle.video.types import MAX_SIDE

CODECS = ("mjpeg", "h264")
_FORM = re.compile(r"(?:(\d{1,5})x(\d{1,5})|(\d{1,5}))?(?:@(\d{1,4}(?:\.\d+)?)fps)?")


@dataclass(frozen=True)
class Shrink:
    """Size, rate and codec of smaller copies. Sides are made even, as video formats need."""

    size: tuple[int, int] | None = None
    """(height, width) in pixels, whatever the clip's shape; or None."""
    short_side: int | None = None
    """Pixels of the shorter side, the shape kept; clips are never enlarged."""
    fps: float | None = None
    """Frames a second; None keeps all."""
    codec: str = "mjpeg"
    """`mjpeg`: every frame stands alone, the fastest to read at random. `h264`: a third of the size."""
    crop_bottom: float = 0
    """Cut from the bottom first: below 1 a fraction of the height, else pixels of the source."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise UsageError(f"shrink: codec '{self.codec}' is unknown.{suggest(self.codec, CODECS)}")
        if self.size is not None and self.short_side is not None:
            raise UsageError("shrink: give a size or a short side, not both.")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"shrink: {self.fps} frames a second: give a rate above 0, at most 1000.")
        for side in (*(self.size or ()), *(() if self.short_side is None else (self.short_side,))):
            if not 8 <= side <= MAX_SIDE:
                raise UsageError(f"shrink: a side of {side} px is not from 8 to {MAX_SIDE}.")

    @classmethod
    def parse(cls, text: str, codec: str = "mjpeg", crop_bottom: float = 0) -> Shrink:
        """Read `WIDTHxHEIGHT@RATEfps` or `SHORTSIDE@RATEfps`; either part may be left out.

        Raises:
            UsageError: it is neither.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or not text.strip():
            raise UsageError(f"shrink: '{text}' is not like 64x64@2fps, 224 or 360@8fps.")
        width, height, short, fps = found.groups()
        return cls(
            size=(int(height), int(width)) if width else None,
            short_side=int(short) if short else None,
            fps=float(fps) if fps else None,
            codec=codec,
            crop_bottom=crop_bottom,
        )

    def __str__(self) -> str:
        """Return the settings of `jungle shrink`: `shrink=360@8fps codec=mjpeg`."""
        height, width = self.size or (0, 0)
        size = f"{width}x{height}" if self.size else "" if self.short_side is None else str(self.short_side)
        rate = "" if self.fps is None else f"@{self.fps:g}fps"
        crop = f", {self.crop_bottom:g} cut from the bottom" if self.crop_bottom else ""
        return f"shrink={size}{rate} codec={self.codec}{crop}"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Shrink:
        """Build the spec of `to_dict`.

        Raises:
            TypeError: it is something else.
        """
        size = values.get("size")
        return cls(**{**values, "size": None if size is None else (int(size[0]), int(size[1]))})

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the copy of an upright clip of this size after the cut of its bottom."""
        if self.size is not None:
            height, width = self.size
        elif self.short_side is not None and self.short_side < min(height, width):
            scale = self.short_side / min(height, width)
            height, width = round(height * scale), round(width * scale)
        return max(2, height // 2 * 2), max(2, width // 2 * 2)

    def to_dict(self) -> dict[str, object]:
        """Return plain types for the file next to the copies."""
        values = asdict(self)
        return {**values, "size": None if self.size is None else list(self.size)}
