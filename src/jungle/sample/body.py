"""Bodies made of round cones, drawn with a depth buffer: limbs pass before and behind each other.

A body part is a cone with rounded ends between two joints, like a sphere swept from one to the other.
Drawing finds, for each pixel, the nearest surface and the part it belongs to; `shading` then colours it.
Silhouettes are anti-aliased by their distance to the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jungle.sample.cones import Cones, covered

FAR = np.float32(-1e6)


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


def place_parts(
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
    cones = Cones(
        np.concatenate([joints[p.a] for p in parts]).reshape(-1, 3),
        np.concatenate([joints[p.b] for p in parts]).reshape(-1, 3),
        *(np.array([getattr(p, name) for p in parts], np.float32) * ppm for name in ("ra", "rb", "shag")),
    )
    low, high = cones.bounds()
    room = round(margin * ppm)
    x0, y0 = np.maximum(low.min(0) - room, 0).tolist()
    x1, y1 = np.minimum(high.max(0) + room, frame).tolist()
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    low, high = (np.clip(corner, (x0, y0), (x1, y1)) - (x0, y0) for corner in (low, high))
    for end in (cones.a, cones.b):
        end[:, :2] -= (x0, y0)
    shape = (y1 - y0, x1 - x0)
    part, place, cover, rise = covered(cones, low, high, shape[1], ragged)
    if not place.size:
        return None
    alpha = np.zeros(shape, np.float32)
    depth = np.full(shape, FAR, np.float32)
    seen_part = np.zeros(shape, np.uint8)
    np.maximum.at(alpha.reshape(-1), place, np.minimum(cover, 1))
    np.maximum.at(depth.reshape(-1), place, rise)
    # Backwards, because of equals the first is seen: it is written last.
    nearest = np.flatnonzero(rise == depth.reshape(-1)[place])[::-1]
    seen_part.reshape(-1)[place[nearest]] = part[nearest]
    return Surface(x0, y0, alpha, depth, seen_part, cones.a, cones.b)
