"""Check a smaller copy against its original before it is kept, since people delete originals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from jungle.video import recovery
from jungle.video.decoders.resize import Scaler
from jungle.video.reader import open_listed, try_listings
from jungle.video.types import ClipError, ClipSpec

COMPARED = 5  # frames of a copy, the first and the last among them
GROUP = 12  # frames from key frame to key frame in copies, where they are not all key frames
# Side of the compared pictures in pixels: at this size the effects of compression and halved colours average
# out.
SIDE = 16
SMALLEST = 8  # pixels of a side; errors of halved colours dominate smaller frames, which are not compared
CLOCK_S = 0.003  # allowed difference of times: Matroska counts milliseconds
# Allowed mean difference in levels of 255, plus this share of the picture's own contrast. No copy of a
# camera-trap clip reaches half of that, whatever the size and codec.
NEAR, OF_CONTRAST = 4.0, 0.25


class OriginalRecord:
    """Record of an original: the time of every copied frame, and small pictures of some.

    Args:
        total: frames to copy; fewer may come.
    """

    def __init__(self, total: int) -> None:
        places = np.linspace(0, max(total - 1, 0), COMPARED).astype(int)
        # Key frames, which are cheap to read back; the last frame is added once its number is known.
        self._places = set((places[:-1] // GROUP * GROUP).tolist())
        self._pictures: dict[int, np.ndarray] = {}
        self._last: np.ndarray | None = None
        self.times: list[float] = []
        """Seconds from the first frame."""
        self.size = (0, 0)
        """(height, width) of the copy."""

    def add(self, image: np.ndarray, time: float) -> None:
        """Record a copied frame, uint8 `[H, W, 3]` RGB."""
        if not self.times:
            self.size = (image.shape[0], image.shape[1])
        if len(self.times) in self._places:
            self._pictures[len(self.times)] = shrink_image(image)
        self._last = image
        self.times.append(time)

    def pictures(self) -> dict[int, np.ndarray]:
        """Return the small pictures by frame number."""
        assert self._last is not None
        return {**self._pictures, len(self.times) - 1: shrink_image(self._last)}


def shrink_image(image: np.ndarray) -> np.ndarray:
    """Shrink an RGB frame to float32 `[h, w, 3]`, `h` and `w` at most `SIDE` and a quarter of the frame's."""
    height, width = (min(SIDE, max(1, side // 4)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def is_unlike(copy: np.ndarray, original: np.ndarray) -> bool:
    """Return whether two small pictures differ."""
    return float(np.abs(copy - original).mean()) > NEAR + OF_CONTRAST * float(original.std())


def check_copy(path: Path, shown: OriginalRecord, variable: bool) -> None:
    """Read a copy like any clip and compare it with the record of its original.

    Args:
        path: the copy.
        shown: record of the original.
        variable: each frame has its own time; otherwise the container has only a rate.

    Raises:
        ClipError: number of frames, times, size or pictures differ; its text says how.
    """
    try:
        try_listings(lambda how: _check(path, shown, variable, how))
    except ClipError as error:
        raise ClipError(f"the copy differs from its original ({error}), so it was not kept") from None


def _check(path: Path, shown: OriginalRecord, variable: bool, how: str) -> None:
    wanted = shown.pictures()
    numbers = np.array(sorted(wanted))
    with open_listed(path, how) as file:
        timeline = file.timeline
        if len(timeline.pts) != len(shown.times):
            raise ClipError(f"{len(timeline.pts)} of {len(shown.times)} frames")
        _check_times(timeline.times, np.array(shown.times), variable)
        seen = recovery.read_numbers(file, numbers, Scaler(ClipSpec()))
    if timeline.damage:
        raise ClipError(timeline.damage)
    for number in numbers.tolist():
        at = f"at {shown.times[number]:.1f} s"
        if number not in seen:
            raise ClipError(f"no frame {at}")
        image = seen[number]
        if image.shape[:2] != shown.size:
            raise ClipError(f"frames of {image.shape[1]}x{image.shape[0]} pixels {at}")
        if min(shown.size) >= SMALLEST and is_unlike(shrink_image(image), wanted[number]):
            raise ClipError(f"another picture {at}")


def _check_times(copy: np.ndarray, original: np.ndarray, variable: bool) -> None:
    if len(original) < 2:
        return
    original = original - original[0]
    off = np.abs(copy - original) if variable else np.abs(copy[-1:] - original[-1:])
    # With a rate alone, the frames keep their order and the clip its length to within a frame.
    if float(off.max()) > (CLOCK_S if variable else 1.5 * original[-1] / (len(original) - 1)):
        raise ClipError(f"{copy[-1]:.2f} s from first to last frame, not {original[-1]:.2f} s")
