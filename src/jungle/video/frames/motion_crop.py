"""Crop each frame to the part with motion, so that a distant animal fills the picture of the model.

A camera trap does not move, so differences from the clip's median frame are an animal, its shadow, or a plant
in the wind; the largest of them in a frame is used. A frame without motion stays whole: an animal may rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from jungle.video.types import Clip, ClipSpec, Frames

MORE = 3  # times the model's size at which frames are decoded, if the source is so large
LOOKED_AT = 160  # pixels of the longer side of the pictures in which motion is looked for
# Frames for the median if the selected ones are few or random.
BACKDROP = Frames("uniform", 16)
ENOUGH = 8  # frames for a median
# A pixel may differ from the median by NOISE times its usual difference plus LEVELS.
NOISE, LEVELS = 3.0, 6.0
LEAST = 1.5  # levels over a patch of BLUR pixels that count as motion
BLUR = 3.0
SHARE = 0.25  # of the strongest motion in a frame, from which on a pixel belongs to what moves
ROOM = 1.25  # around what moves
SMALLEST = 0.3  # of the frame's height: less is a bird with nothing around it
INFO_BAR = 0.08  # of the height, at the top and the bottom: what moves inside alone is a clock

Box = tuple[int, int, int, int]


def compute_wide_size(spec: ClipSpec, height: int, width: int) -> tuple[int, int]:
    """Return (height, width) at which frames are decoded before the crop, of a source of that size."""
    assert spec.size is not None
    scale = min(1.0, MORE * max(spec.size[0] / height, spec.size[1] / width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def make_backdrop_spec(spec: ClipSpec, clip: Clip) -> ClipSpec | None:
    """Return the spec of the frames for the median; None if those of the clip itself are enough."""
    own = spec.frames.kind != "random" and len(clip.times) >= ENOUGH
    return None if own else replace(spec, frames=BACKDROP)


def crop_to_motion(clip: Clip, backdrop_THWC: np.ndarray, spec: ClipSpec) -> Clip:
    """Crop each frame to its motion and resize it to the spec's size.

    Args:
        clip: with frames as decoded, uint8 `[T, H, W, 3]`.
        backdrop_THWC: frames of the same clip and size; their median shows the scene without an animal.
        spec: with the size of the result.
    """
    assert spec.size is not None
    own = backdrop_THWC is clip.frames
    seen = [_shrink(f) for f in backdrop_THWC]
    median = compute_median(seen)
    allowed = NOISE * compute_median([np.abs(s - median) for s in seen]).astype(np.float32) + LEVELS
    height, width = spec.size
    out = np.empty((len(clip.frames), height, width, 3), np.uint8)
    for t, frame in enumerate(clip.frames):
        off = np.abs((seen[t] if own else _shrink(frame)) - median)
        over = np.maximum(off - allowed, 0)
        excess = np.maximum(np.maximum(over[..., 0], over[..., 1]), over[..., 2])
        top, left, rows, columns = find_motion_box(excess, frame.shape[0], frame.shape[1], width / height)
        cut = frame[top : top + rows, left : left + columns]
        # Averaged when shrunk, so that small objects do not flicker; smooth when enlarged.
        way = cv2.INTER_AREA if rows > height else cv2.INTER_CUBIC
        cv2.resize(cut, (width, height), dst=out[t], interpolation=way)
    return clip.replace(frames=out)


def find_motion_box(excess: np.ndarray, height: int, width: int, aspect: float) -> Box:
    """Return the part of a frame with motion: (top, left, rows, columns) in its pixels.

    Args:
        excess: float32 `[h, w]`, the levels by which each pixel of a small copy exceeds its limit.
        height: of the frame.
        width: of the frame.
        aspect: width over height of the part, as far as the frame has room.
    """
    whole = (0, 0, height, width)
    strength = cv2.GaussianBlur(excess, (0, 0), BLUR)
    if strength.max() < LEAST:
        return whole
    mask = (strength > SHARE * strength.max()).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask)
    sums = np.bincount(labels.ravel(), excess.ravel(), minlength=count)
    sums[0] = 0
    h, w = excess.shape
    bottom = boxes[:, cv2.CC_STAT_TOP] + boxes[:, cv2.CC_STAT_HEIGHT]
    bar = INFO_BAR * h + BLUR  # which the blur widens
    sums[(bottom <= bar) | (boxes[:, cv2.CC_STAT_TOP] >= h - bar)] = 0
    if not sums.any():
        return whole
    x, y, columns, rows = (int(v) for v in boxes[int(sums.argmax()), :4])
    across, down = width / w, height / h
    rows_f = max(ROOM * rows * down, ROOM * columns * across / aspect, SMALLEST * height)
    rows_n = min(round(rows_f), height)
    columns_n = min(round(rows_f * aspect), width)
    top = min(max(round((y + rows / 2) * down - rows_n / 2), 0), height - rows_n)
    left = min(max(round((x + columns / 2) * across - columns_n / 2), 0), width - columns_n)
    return top, left, rows_n, columns_n


def _shrink(frame: np.ndarray) -> np.ndarray:
    """Return a small copy, int16 `[h, w, 3]`, each colour with median 0, as a lamp may warm up."""
    scale = min(1.0, LOOKED_AT / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = cv2.GaussianBlur(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    half = small.shape[0] * small.shape[1] // 2
    levels = [np.bincount(small[..., c].ravel(), minlength=256).cumsum().searchsorted(half) for c in range(3)]
    return small.astype(np.int16) - np.array(levels, np.int16)


def compute_median(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the element-wise median of arrays of one shape; of an even number the upper middle one.

    By Batcher's odd-even merge sort (1968), whose steps compare whole arrays: for 16 of them 30 times as fast
    as `np.median`.
    """
    found, count = list(arrays), len(arrays)
    run = 1
    while run < count:
        step = run
        while step:
            for start in range(step % run, count - step, 2 * step):
                for a in range(start, start + min(step, count - step - start)):
                    b = a + step
                    if a // (2 * run) == b // (2 * run):
                        found[a], found[b] = np.minimum(found[a], found[b]), np.maximum(found[a], found[b])
            step //= 2
        run *= 2
    return found[count // 2]
