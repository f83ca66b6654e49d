"""Select the frames that differ most from the median of the clip."""

from __future__ import annotations

import numpy as np

from jungle.video.frames.sampling import pick_uniform

THUMBNAIL = (36, 64)  # (height, width): small enough to average sensor noise away, large enough for a bird
CANDIDATES = 4  # per selected frame
TOP = 46  # pixels, 2 % of a thumbnail: the size of a small animal
QUIET = 3  # levels by which those pixels must exceed twice their difference in an average frame


def list_candidates(total: int, count: int) -> np.ndarray:
    """Return the numbers of frames to compare, evenly over the clip."""
    return pick_uniform(total, CANDIDATES * count)


def pick_moving(numbers: np.ndarray, thumbnails: np.ndarray, total: int, count: int) -> np.ndarray:
    """Choose among the candidates by their pictures, in whole numbers, for the same result on every machine.

    Args:
        numbers: int64 `[C]`, frame numbers of the candidates, ascending.
        thumbnails: uint8 `[C, 36, 64, 3]`.
        total: frames of the clip.
        count: frames wanted.

    Returns:
        int64 `[count]` ascending, the frames that differ most from the clip's median; uniform ones where none
        stands out, as in a blank clip.
    """
    if len(numbers) <= count:
        return pick_uniform(total, count)
    grey = thumbnails.astype(np.int32).sum(axis=3)  # 0 to 765
    # A lamp that warms up or a cloud changes all pixels alike.
    grey -= np.sort(grey.reshape(len(grey), -1), axis=1)[:, grey[0].size // 2, None, None]
    median = np.sort(grey, axis=0)[len(grey) // 2]
    away = np.sort(np.abs(grey - median).reshape(len(grey), -1), axis=1)[:, -TOP:].sum(axis=1)
    usual = int(np.sort(away)[len(away) // 2])
    if int(away.max()) <= 2 * usual + QUIET * 3 * TOP:
        return pick_uniform(total, count)
    order = np.lexsort((numbers, -away))
    return np.sort(numbers[order[:count]])
