"""Select the frames of a clip by their times: equal clips and seeds give equal frames on any machine."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np

from jungle.video.types import Frames

# Pri-matrix Factorization, first place: 32 of 360 frames, dense at the start, when the animal that fired the
# trigger is most often in view.
FIRST_PLACE = np.array([2, 8, 12, 18, *(24 + 12 * i for i in range(28))])
FIRST_PLACE_LENGTH = 360


def pick(frames: Frames, times: np.ndarray, key: np.ndarray, seed: int = 0) -> np.ndarray:
    """Choose frames of a clip.

    Args:
        frames: any kind but `motion`, which needs pixels (see `frames.motion`).
        times: float64 `[N]`, seconds from the first frame, ascending.
        key: bool `[N]`, true for key frames.
        seed: for kind `random`.

    Returns:
        int64 `[T]`, ascending and distinct, `T <= frames.count`; all frames of a shorter clip.
    """
    total, count = len(times), frames.count
    if total == 0:
        return np.zeros(0, np.int64)
    if frames.first_s is not None:
        total = max(1, int(np.searchsorted(times, frames.first_s)))
        times = times[:total]
    if frames.kind == "fps":
        assert frames.fps is not None
        # Above the limit they are thinned evenly, so that the end of a long clip is included.
        found = pick_at_rate(times, frames.fps)
        return found[pick_uniform(len(found), count)]
    if frames.kind == "fps_start":
        assert frames.fps is not None
        return pick_at_rate(times, frames.fps, half=0.0)[:count]
    if frames.kind == "keyframe":
        return _pick_key_frames(times, key, count)
    if frames.kind == "opening":
        # The first frame in any case: it is the same in every copy of a clip.
        return np.union1d([0], _pick_key_frames(times, key, count - 1) if count > 1 else []).astype(np.int64)
    if total <= count:
        return np.arange(total)
    if frames.kind == "random":
        # random.Random keeps its stream over versions; numpy's generators do not promise that.
        draw = random.Random(seed)
        if frames.likely:
            # The largest u^(1/w): drawing without replacement (Efraimidis and Spirakis, 2006).
            weights = np.interp(times, *np.array(frames.likely).T)
            keys = np.array([draw.random() for _ in range(total)])
            return np.sort(np.argsort(np.log1p(-keys) / weights, kind="stable")[-count:])
        edges = np.arange(count + 1) * total // count
        return np.array([a + int(draw.random() * (b - a)) for a, b in pairwise(edges)])
    if frames.kind == "early_bias":
        return _pick_early(total, count)
    return pick_uniform(total, count)


def pick_uniform(total: int, count: int) -> np.ndarray:
    """Return the middle frame of each of `count` equal parts of a clip of `total` frames."""
    if total <= count:
        return np.arange(total)
    return (2 * np.arange(count) + 1) * total // (2 * count)


def pick_at_rate(times: np.ndarray, fps: float, half: float = 0.5) -> np.ndarray:
    """Return the frames on screen at a clock's ticks, each once; the first tick comes after `half` a tick."""
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 0.0
    # With half a tick, 15 s at 2 fps give 30 frames without the very last one.
    ticks = min((times[-1] + step) * fps, 1e6)
    count = max(1, round(ticks) if half else math.ceil(ticks - 1e-3))
    ticks = (np.arange(count) + half) / fps
    # Ticks often fall on a change of frames; the rounding of times by a container must not decide.
    shown = np.searchsorted(times, ticks + 0.25 * step, side="right") - 1
    return np.unique(np.clip(shown, 0, len(times) - 1))


def _pick_key_frames(times: np.ndarray, key: np.ndarray, count: int) -> np.ndarray:
    """Return the key frames nearest to uniform times, each once."""
    keys = np.flatnonzero(key)
    if len(keys) == 0:
        keys = np.zeros(1, np.int64)
    if len(keys) <= count:
        return keys
    wanted = times[pick_uniform(len(times), count)]
    after = np.clip(np.searchsorted(times[keys], wanted), 1, len(keys) - 1)
    nearer_before = wanted - times[keys[after - 1]] <= times[keys[after]] - wanted
    return np.unique(keys[after - nearer_before])


def _pick_early(total: int, count: int) -> np.ndarray:
    """Return the first place's positions, stretched to `total` frames and resampled to `count`."""
    at = (np.arange(count) + 0.5) * len(FIRST_PLACE) / count - 0.5
    curve = np.interp(at, np.arange(len(FIRST_PLACE)), FIRST_PLACE) / FIRST_PLACE_LENGTH
    found = np.floor(curve * total + 1e-9).astype(np.int64)
    # In short clips neighbours coincide: push them apart, forwards, then back from the end.
    steps = np.arange(count)
    found = np.maximum.accumulate(found - steps) + steps
    return np.minimum(found, total - count + steps)
