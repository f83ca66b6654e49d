"""Bodies made of round cones, drawn with a depth buffer: limbs pass before and behind each other.

A body part is a cone with rounded ends between two joints, like a sphere swept from one to the other.
Drawing finds, for each pixel, the nearest surface and the part it belongs to; `shading` then colours it.
Silhouettes are anti-aliased by their distance to the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FAR = np.float32(-1e6)
COVERED = 0.02  # of a pixel: less is not there


@dataclass(frozen=True)
class Material:
    """The colour of a part of a coat. Colours are RGB in 0..1, as under white light."""

    back: tuple[float, float, float]
    belly: tuple[float, float, float]
    mark: tuple[float, float, float] = (0.0, 0.0, 0.0)
    marked: float = 0.0
    """How strongly the coat's pattern shows, 0..1."""
    grain: float = 0.15
    """How strongly single hairs or wrinkles show."""
    gloss: float = 0.0
    infrared: float = 1.0
    """Brightness under infrared light, against that by day."""


@dataclass(frozen=True)
class Part:
    """A cone with rounded ends between two joints."""

    a: str
    b: str
    ra: float
    """Radius at `a`, metres."""
    rb: float
    material: int
    u: float = 0.0
    """Where on the coat the part begins, metres along it."""
    shag: float = 0.0
    """How ragged the outline is, metres."""


@dataclass
class Surface:
    """What of a body is seen, with its place in the frame."""

    x: int
    y: int
    alpha: np.ndarray
    """float32 `[h, w]`: how much of a pixel the body covers."""
    depth: np.ndarray
    """float32 `[h, w]`: pixels towards the camera."""
    part: np.ndarray
    """uint8 `[h, w]`: index of the part that is seen."""
    a: np.ndarray
    """float32 `[parts, 3]`: one end of each part, in pixels of this surface."""
    b: np.ndarray


def project(
    points: np.ndarray, yaw: float, ppm: float, at: tuple[float, float], tilt: float = 0.12
) -> np.ndarray:
    """Points `[N, 3]` in metres (x ahead, y up, z left) to pixels (x right, y down, z towards the camera).

    Args:
        points: of an animal that stands at the origin.
        yaw: radians; 0 walks to the right of the picture, pi to the left, -pi/2 towards the camera.
        ppm: pixels per metre.
        at: pixel under the body, on the ground.
        tilt: radians by which the camera looks down.
    """
    cos, sin = np.cos(yaw), np.sin(yaw)
    across = points[:, 0] * cos - points[:, 2] * sin
    near = -points[:, 0] * sin - points[:, 2] * cos
    down = points[:, 1] * np.cos(tilt) - near * np.sin(tilt)
    return np.stack([at[0] + ppm * across, at[1] - ppm * down, ppm * near], 1).astype(np.float32)


def placed(
    joints: dict[str, np.ndarray], yaw: float, ppm: float, at: tuple[float, float]
) -> dict[str, np.ndarray]:
    """`project` for named joints."""
    return dict(
        zip(joints, project(np.concatenate(list(joints.values())).reshape(-1, 3), yaw, ppm, at), strict=True)
    )


def surface(
    parts: list[Part],
    joints: dict[str, np.ndarray],
    ppm: float,
    frame: tuple[int, int],
    ragged: np.ndarray,
    margin: float = 0.0,
) -> Surface | None:
    """Draw `parts` between projected `joints`; None where nothing falls into the frame (width, height).

    `ragged` is a `[H, W]` noise field in -1..1 that frays the outline of shaggy parts; `margin` is room left
    around the body, metres.
    """
    a = np.concatenate([joints[p.a] for p in parts]).reshape(-1, 3)
    b = np.concatenate([joints[p.b] for p in parts]).reshape(-1, 3)
    ra = np.array([p.ra for p in parts], np.float32) * ppm
    rb = np.array([p.rb for p in parts], np.float32) * ppm
    shag = np.array([p.shag for p in parts], np.float32) * ppm
    reach = np.maximum(ra, rb) + shag + 1.5
    low = np.floor(np.minimum(a, b)[:, :2] - reach[:, None]).astype(int)
    high = np.ceil(np.maximum(a, b)[:, :2] + reach[:, None]).astype(int) + 1
    room = round(margin * ppm)
    x0, y0 = np.maximum(low.min(0) - room, 0)
    x1, y1 = np.minimum(high.max(0) + room, frame)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    low = np.clip(low, (x0, y0), (x1, y1)) - (x0, y0)
    high = np.clip(high, (x0, y0), (x1, y1)) - (x0, y0)
    shape = (int(y1 - y0), int(x1 - x0))
    depth = np.full(shape, FAR, np.float32)
    alpha = np.zeros(shape, np.float32)
    seen_part = np.zeros(shape, np.uint8)
    a[:, :2] -= (x0, y0)
    b[:, :2] -= (x0, y0)
    rows, cols = ragged.shape
    xs = np.arange(shape[1], dtype=np.float32)
    ys = np.arange(shape[0], dtype=np.float32)[:, None]
    along = b - a
    length2 = np.maximum((along[:, :2] ** 2).sum(1), 1e-3)
    for i in range(len(parts)):
        (lx, ly), (hx, hy) = low[i], high[i]
        if hx <= lx or hy <= ly:
            continue
        box = (slice(ly, hy), slice(lx, hx))
        dx, dy, dz = along[i]
        px, py = xs[lx:hx] - a[i, 0], ys[ly:hy] - a[i, 1]
        d2 = px * px + py * py
        r: Any = ra[i]
        rise: np.ndarray
        t = None
        if length2[i] > 0.25:
            # Distance to the axis: |p - t d|^2 = |p|^2 + t (t |d|^2 - 2 p.d), in as few passes as it takes.
            dot = px * dx + py * dy
            t = dot * np.float32(1 / length2[i])
            np.maximum(t, 0, out=t)
            np.minimum(t, 1, out=t)
            r = t * (rb[i] - ra[i])
            r += ra[i]
            dot *= 2
            dot -= t * length2[i]
            dot *= t
            d2 -= dot
        if shag[i] > 0:
            # The fray moves with the body, so that it does not crawl over it.
            oy, ox = int(ly - a[i, 1]) % (rows // 2), int(lx - a[i, 0]) % (cols // 2)
            fray = ragged[oy : oy + hy - ly, ox : ox + hx - lx]
            if fray.shape == d2.shape:
                r = r + shag[i] * fray
        np.subtract(r * r, d2, out=d2)
        rise = d2
        # (r2 - d2) / 2r is the distance to the edge, near the edge, without a root.
        edge = rise / np.maximum(2 * r, 0.6)
        edge += 0.5
        np.maximum(alpha[box], edge, out=alpha[box])
        np.maximum(rise, 0, out=rise)
        np.sqrt(rise, out=rise)
        if t is not None:
            t *= dz
            rise += t
        rise += a[i, 2]
        nearer = rise > depth[box]
        nearer &= edge > COVERED
        np.copyto(depth[box], rise, where=nearer)
        np.copyto(seen_part[box], np.uint8(i), where=nearer)
    np.minimum(alpha, 1, out=alpha)
    if not (alpha > COVERED).any():
        return None
    return Surface(int(x0), int(y0), alpha, depth, seen_part, a, b)
