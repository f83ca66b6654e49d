"""Cones with rounded ends, drawn all at once: which pixels each covers, how much of them, and how near.

A body has some 35 of them of a few hundred pixels each, where a call of numpy costs more than its pixels. So
the rows of all cones are laid end to end, and each step is one call for the whole body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COVERED = 0.02  # of a pixel: less is not there
EDGE = 0.6  # pixels beyond its radius that a cone still covers in part


@dataclass(frozen=True)
class Cones:
    """Cones in pixels, each swept by a ball from `a` to `b`."""

    a: np.ndarray
    """float32 `[N, 3]`: one end, x right, y down, z towards the camera."""
    b: np.ndarray
    ra: np.ndarray
    """float32 `[N]`: radius at `a`."""
    rb: np.ndarray
    shag: np.ndarray
    """float32 `[N]`: how far the outline is frayed, either way."""

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """First pixel that each may cover and the one after the last, (x, y), whole numbers `[N, 2]`."""
        reach = (np.maximum(self.ra, self.rb) + self.shag + EDGE)[:, None]
        low = np.floor(np.minimum(self.a, self.b)[:, :2] - reach).astype(int)
        return low, np.ceil(np.maximum(self.a, self.b)[:, :2] + reach).astype(int) + 1


def covered(
    cones: Cones, low: np.ndarray, high: np.ndarray, width: int, ragged: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every pixel of a picture that a cone covers, cone after cone.

    Args:
        cones: what is drawn, in pixels of the picture.
        low: of `bounds`, cut to the picture.
        high: likewise.
        width: of the picture.
        ragged: `[S, S]`, noise in -1..1 that frays outlines.

    Returns:
        The number of the cone (uint8), the pixel's place in the picture row by row, how much of it is covered
        (above `COVERED`; above 1 within), and the depth of the surface there, each `[P]`.
    """
    wide, tall = (high - low).T
    cone = np.repeat(np.arange(len(tall)), tall)  # of each row
    y = np.arange(cone.size) - (np.cumsum(tall) - tall - low[:, 1])[cone]
    first, wide = low[cone, 0], wide[cone]
    start = first - (np.cumsum(wide) - wide)  # x of the first pixel, less those of the rows before
    along = cones.b - cones.a
    length2 = (along[:, :2] ** 2).sum(1)
    short = length2 <= 0.25  # seen end-on: a ball
    unit = np.where(short, 0, 1 / np.maximum(length2, 1e-3))
    down = y - cones.a[cone, 1]
    # What is linear along a row is a start and a step; the rest holds for the whole row.
    table = np.stack(
        [
            start - cones.a[cone, 0],
            down**2,
            (along[:, 0] * unit)[cone],
            down * (along[:, 1] * unit)[cone],
            length2[cone],
            (cones.rb - cones.ra)[cone],
            cones.ra[cone],
        ]
    ).astype(np.float32)
    px, down2, step, t, len2, widening, r = np.repeat(table, wide, axis=1)
    count = np.arange(px.size, dtype=np.int32)
    px += count
    step *= px
    t += step
    over = t.copy()
    np.clip(t, 0, 1, out=t)
    # Distance to the axis: |p - t d|^2 = |p|^2 - t (2 p.d - t |d|^2).
    over *= 2
    over -= t
    over *= t
    over *= len2
    px *= px
    px += down2
    px -= over
    widening *= t
    r += widening
    place = np.repeat((y * width + start).astype(np.int32), wide)
    place += count
    if cones.shag.any():
        # The fray moves with the body, so that it does not crawl over it.
        side = ragged.shape[1]
        begin = down.astype(int) % side * side + (first - cones.a[cone, 0]).astype(int) % (side // 2)
        fray = np.repeat((begin - first + start).astype(np.int32), wide)
        fray += count
        frayed = ragged.ravel().take(fray, mode="wrap")
        frayed *= np.repeat(cones.shag[cone], wide)
        r += frayed
    # (r2 - d2) / 2r is the distance to the edge, near the edge, without a root.
    rise = r * r
    rise -= px
    r *= 2
    cover = rise / np.maximum(r, 0.6, out=r)
    cover += 0.5
    kept = np.flatnonzero(cover > COVERED)
    owner = np.repeat(cone.astype(np.uint8), wide)[kept]
    rise, t = rise[kept], t[kept]
    np.maximum(rise, 0, out=rise)
    np.sqrt(rise, out=rise)
    t *= np.where(short, 0, along[:, 2]).astype(np.float32).take(owner)
    rise += t
    rise += cones.a[:, 2].take(owner)
    return owner, place[kept], cover[kept], rise
