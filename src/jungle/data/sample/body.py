"""Bodies made of round cones, drawn with a depth buffer: limbs pass before and behind each other and take light.

A body part is a cone with rounded ends between two joints, like a sphere swept from one to the other. Drawing
fills, for each pixel, the depth of the nearest surface, its place on the coat and its material; one pass over the
result then gives normals, light, colour and markings. Silhouettes are anti-aliased by their distance to the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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


def placed(joints: dict[str, np.ndarray], yaw: float, ppm: float, at: tuple[float, float]) -> dict[str, np.ndarray]:
    """`project` for named joints."""
    return dict(zip(joints, project(np.stack(list(joints.values())), yaw, ppm, at), strict=True))


def surface(
    parts: list[Part], joints: dict[str, np.ndarray], ppm: float, frame: tuple[int, int], ragged: np.ndarray,
    margin: float = 0.0,
) -> Surface | None:
    """Draw `parts` between projected `joints`; None where nothing falls into the frame (width, height).

    `ragged` is a `[H, W]` noise field in -1..1 that frays the outline of shaggy parts; `margin` is room left
    around the body, metres.
    """
    a = np.stack([joints[p.a] for p in parts])
    b = np.stack([joints[p.b] for p in parts])
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
        dx, dy, dz = along[i]
        px, py = xs[lx:hx] - a[i, 0], ys[ly:hy] - a[i, 1]
        t = px * (dx / length2[i]) + py * (dy / length2[i])
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        ex = px - t * dx
        ey = py - t * dy
        ex *= ex
        ey *= ey
        ex += ey
        r = t * (rb[i] - ra[i])
        r += ra[i]
        if shag[i] > 0:
            # The fray moves with the body, so that it does not crawl over it.
            oy, ox = int(ly - a[i, 1]) % (rows // 2), int(lx - a[i, 0]) % (cols // 2)
            fray = ragged[oy : oy + hy - ly, ox : ox + hx - lx]
            if fray.shape == r.shape:
                r += shag[i] * fray
        rise = r * r
        rise -= ex
        # (r2 - d2) / 2r is the distance to the edge, near the edge, without another root.
        np.maximum(r, 0.3, out=r)
        edge = rise / r
        edge *= 0.5
        edge += 0.5
        box = (slice(ly, hy), slice(lx, hx))
        np.maximum(alpha[box], edge, out=alpha[box])
        np.maximum(rise, 0, out=rise)
        np.sqrt(rise, out=rise)
        t *= dz
        rise += t
        rise += a[i, 2]
        rise[edge < COVERED] = FAR
        nearer = rise > depth[box]
        np.copyto(depth[box], rise, where=nearer)
        np.copyto(seen_part[box], np.uint8(i), where=nearer)
    np.minimum(alpha, 1, out=alpha)
    if not (alpha > COVERED).any():
        return None
    return Surface(int(x0), int(y0), alpha, depth, seen_part, a, b)


@dataclass(frozen=True)
class Light:
    """The light that falls on a body."""

    direction: tuple[float, float, float]
    """Towards the light: x right, y down, z to the camera; of length 1."""
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    infrared: bool = False


def shade(
    seen: Surface, parts: list[Part], materials: list[Material], coat: np.ndarray, ppm: float, light: Light
) -> np.ndarray:
    """Colour a surface: float32 `[h, w, 3]` in 0..1, or above where the light is strong.

    Args:
        seen: the surface.
        parts: what `Surface.part` points at.
        materials: what the parts point at.
        coat: float32 `[S, S, 2]`, one metre square and seamless: markings 0..1 and grain -1..1.
        ppm: pixels per metre.
        light: where it comes from.
    """
    rows, cols = np.nonzero(seen.alpha > COVERED)  # less than half of the box, so the rest works on a list of pixels
    part = seen.part[rows, cols]
    z = seen.depth[rows, cols]
    depth = np.full(seen.depth.shape, z.min(), np.float32)
    depth[rows, cols] = z
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.8, 0.014 * ppm))
    nx = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)[rows, cols]
    ny = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)[rows, cols]
    # A hollow is darker than what stands out of it.
    window = int(0.12 * ppm) | 1
    hollow = np.clip(1 - (cv2.blur(depth, (window, window))[rows, cols] - z) * (2.2 / window), 0.35, 1.0)
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx *= nz
    ny *= nz
    marks, hairs = _coat_at(seen, parts, coat, ppm, part, rows, cols)
    table = np.array(
        [(*m.back, *m.belly, *m.mark, m.marked, m.grain, m.gloss, m.infrared) for m in materials], np.float32
    )[[p.material for p in parts]]
    under = np.clip(ny * 1.6 - 0.15, 0, 1)[:, None]
    colour = table[:, :3][part]
    colour += under * (table[:, 3:6] - table[:, :3])[part]
    colour += (marks * table[:, 9][part])[:, None] * (table[:, 6:9][part] - colour)
    rough = 1 + hairs * table[:, 10][part]
    rough *= hollow
    out = np.zeros((*seen.alpha.shape, 3), np.float32)
    if light.infrared:
        grey = colour @ np.array((0.3, 0.55, 0.15), np.float32)
        grey *= table[:, 12][part] * light.sun[0]
        grey *= (0.25 + 0.75 * nz) * rough
        out[rows, cols] = grey[:, None]
        return out
    lx, ly, lz = light.direction
    facing = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    ambient = (0.62 - 0.38 * ny) * rough
    shine = facing**8 * table[:, 11][part]
    facing *= rough
    colour *= ambient[:, None] * np.array(light.sky, np.float32) + facing[:, None] * np.array(light.sun, np.float32)
    out[rows, cols] = colour + shine[:, None] * np.array(light.sun, np.float32)
    return out


def _coat_at(
    seen: Surface, parts: list[Part], coat: np.ndarray, ppm: float, part: np.ndarray, rows: np.ndarray, cols: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Markings and grain at each pixel: the coat lies along each part and moves with it."""
    way = seen.b - seen.a
    flat = np.maximum(np.sqrt((way[:, :2] ** 2).sum(1)), 1e-3)
    unit = way[:, :2] / flat[:, None]
    # A part seen end-on shows its length squeezed.
    squeeze = np.clip(np.sqrt(flat**2 + way[:, 2] ** 2) / flat, 1, 2.0)
    px, py = cols - seen.a[part, 0], rows - seen.a[part, 1]
    ux, uy = unit[part, 0], unit[part, 1]
    start = np.array([p.u for p in parts], np.float32)
    size = coat.shape[0]
    u = ((px * ux + py * uy) * squeeze[part] / ppm + start[part]) * size
    v = (py * ux - px * uy) * (size / ppm)
    at = (v.astype(np.int32) % size) * size + u.astype(np.int32) % size
    found = coat.reshape(-1, 2)[at]
    return found[:, 0], found[:, 1]
