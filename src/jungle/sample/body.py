"""Bodies made of round cones with a depth buffer, so that limbs pass in front of and behind each other.

A body part is a cone with rounded ends, like a ball swept from one joint to another. Each pixel gets the
nearest surface, then the colour of its coat under the light. The rows of all cones are laid end to end: each
step is one call of numpy, which costs more than the few hundred pixels of a cone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from jungle.sample.anatomy import Animal, Joints, Part, Quills

COVERED = 0.02  # of a pixel: less does not count
EDGE = 0.6  # pixels beyond its radius that a cone still covers in part
TILT = 0.12  # radians by which the camera looks down
BANDS = (
    (0.0, 0.3, 0.1),
    (0.3, 0.55, 0.8),
    (0.55, 0.8, 0.12),
    (0.8, 1.0, 0.9),
)  # of quills: from, to, brightness


@dataclass(frozen=True, slots=True)
class Light:
    """The light that falls on a body."""

    direction: tuple[float, float, float]
    """Towards the light: x right, y down, z to the camera; of length 1."""
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    infrared: bool


@dataclass(frozen=True, slots=True)
class Surface:
    """The visible part of a body, with its place in the frame."""

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


def project(points: np.ndarray, yaw: float, ppm: float, at: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Project points `[N, 3]` in metres (ahead, up, left) to pixels (x right, y down, z towards the camera).

    Args:
        points: of an animal that stands at the origin.
        yaw: radians; 0 walks to the right of the picture, pi to the left, -pi/2 towards the camera.
        ppm: pixels per metre.
        at: pixel below the body, on the ground.
    """
    cos, sin = np.cos(yaw), np.sin(yaw)
    across = points[:, 0] * cos - points[:, 2] * sin
    near = -points[:, 0] * sin - points[:, 2] * cos
    down = points[:, 1] * np.cos(TILT) - near * np.sin(TILT)
    return np.stack([at[0] + ppm * across, at[1] - ppm * down, ppm * near], 1).astype(np.float32)


def draw_body(
    animal: Animal, joints: Joints, yaw: float, ppm: float, *, at: tuple[float, float],
    frame: tuple[int, int], light: Light, ragged: np.ndarray,
) -> tuple[Surface, np.ndarray] | None:  # fmt: skip
    """Draw an animal: its surface and colours float32 `[h, w, 3]`; None where it is outside the frame.

    Args:
        animal: who is drawn.
        joints: of its pose, metres.
        yaw: where it walks, radians, see `project`.
        ppm: pixels per metre.
        at: pixel below it, on the ground.
        frame: width and height.
        light: that falls on it.
        ragged: `[S, S]` noise in -1..1 that frays the outline of shaggy parts.
    """
    points = project(np.stack(list(joints.values())), yaw, ppm, at)
    placed = dict(zip(joints, points, strict=True))
    seen = _find_surface(animal.parts, placed, ppm, frame, ragged, 0.36 if animal.quills else 0.0)
    if seen is None:
        return None
    colour = _shade(seen, animal, ppm, light)
    if animal.quills:
        _draw_quills(seen, colour, animal.quills, placed, yaw, ppm, light)
    return seen, colour


def _find_surface(
    parts: list[Part], joints: Joints, ppm: float, frame: tuple[int, int], ragged: np.ndarray, margin: float
) -> Surface | None:
    """Find what is seen of each part between projected joints; `margin` is room left around, metres."""
    a, b = (
        np.stack([joints[name] for name in names]) for names in zip(*((p.a, p.b) for p in parts), strict=True)
    )
    ra, rb, shag = (np.array([(p.ra, p.rb, p.shag) for p in parts], np.float32) * ppm).T
    reach = (np.maximum(ra, rb) + shag + EDGE)[:, None]
    low = np.floor(np.minimum(a, b)[:, :2] - reach).astype(int)
    high = np.ceil(np.maximum(a, b)[:, :2] + reach).astype(int) + 1
    room = round(margin * ppm)
    x0, y0 = np.maximum(low.min(0) - room, 0).tolist()
    x1, y1 = np.minimum(high.max(0) + room, frame).tolist()
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    low, high = (np.clip(corner, (x0, y0), (x1, y1)) - (x0, y0) for corner in (low, high))
    for end in (a, b):
        end[:, :2] -= (x0, y0)
    shape = (y1 - y0, x1 - x0)
    part, place, cover, rise = _cover(a, b, ra, rb, shag, low, high, shape[1], ragged)
    if not place.size:
        return None
    alpha = np.zeros(shape, np.float32)
    depth = np.full(shape, -1e6, np.float32)
    seen_part = np.zeros(shape, np.uint8)
    np.maximum.at(alpha.reshape(-1), place, np.minimum(cover, 1))
    np.maximum.at(depth.reshape(-1), place, rise)
    # Backwards, because the first of equals is seen: it is written last.
    nearest = np.flatnonzero(rise == depth.reshape(-1)[place])[::-1]
    seen_part.reshape(-1)[place[nearest]] = part[nearest]
    return Surface(x0, y0, alpha, depth, seen_part, a, b)


def _cover(
    a: np.ndarray, b: np.ndarray, ra: np.ndarray, rb: np.ndarray, shag: np.ndarray, low: np.ndarray,
    high: np.ndarray, width: int, ragged: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Find every pixel that a cone covers, cone after cone, within its box from `low` to `high`.

    Returns:
        The number of the cone (uint8), the pixel's place in the picture row by row, how much of it is covered
        (above `COVERED`; above 1 within), and the depth of the surface there, each `[P]`.
    """
    wide, tall = (high - low).T
    cone = np.repeat(np.arange(len(tall)), tall)  # of each row
    y = np.arange(cone.size) - (np.cumsum(tall) - tall - low[:, 1])[cone]
    first, wide = low[cone, 0], wide[cone]
    start = first - (np.cumsum(wide) - wide)  # x of the first pixel, less those of the rows before
    along = b - a
    length2 = (along[:, :2] ** 2).sum(1)
    short = length2 <= 0.25  # seen end-on: a ball
    unit = np.where(short, 0, 1 / np.maximum(length2, 1e-3))
    down = y - a[cone, 1]
    # What is linear along a row is a start and a step; the rest holds for the whole row.
    rows = (
        *(start - a[cone, 0], down**2, (along[:, 0] * unit)[cone], down * (along[:, 1] * unit)[cone]),
        *(length2[cone], (rb - ra)[cone], ra[cone]),
    )
    px, down2, step, t, len2, widening, r = np.repeat(np.stack(rows).astype(np.float32), wide, axis=1)
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
    if shag.any():
        # The fray moves with the body, so that it does not crawl over it.
        side = ragged.shape[1]
        begin = down.astype(int) % side * side + (first - a[cone, 0]).astype(int) % (side // 2)
        fray = np.repeat((begin - first + start).astype(np.int32), wide)
        fray += count
        frayed = ragged.ravel().take(fray, mode="wrap")
        frayed *= np.repeat(shag[cone], wide)
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
    rise += a[:, 2].take(owner)
    return owner, place[kept], cover[kept], rise


def _shade(seen: Surface, animal: Animal, ppm: float, light: Light) -> np.ndarray:
    """Colour a surface: float32 `[h, w, 3]` in 0..1, or above where the light is strong."""
    at = np.flatnonzero(seen.alpha > COVERED)  # less than half of the box: the rest works on a list of pixels
    part, z = seen.part.ravel()[at], seen.depth.ravel()[at]
    depth = np.full(seen.depth.shape, z.min(), np.float32)
    depth.ravel()[at] = z
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.8, 0.014 * ppm))
    nx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=-0.125).ravel()[at]
    ny = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=-0.125).ravel()[at]
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx *= nz
    ny *= nz
    window = int(0.12 * ppm) | 1
    # A hollow is darker than what stands out of it.
    hollow = np.clip((cv2.blur(depth, (window, window)).ravel()[at] - z) * (-2.2 / window) + 1, 0.35, 1.0)
    of_part = [animal.materials[p.material] for p in animal.parts]
    back, belly, mark = (
        np.array(c, np.float32) for c in zip(*((m.back, m.belly, m.mark) for m in of_part), strict=True)
    )
    numbers = np.array([(m.marked, m.grain, m.gloss, m.infrared) for m in of_part], np.float32)
    marked, grain, gloss, infrared = (n[part] for n in np.ascontiguousarray(numbers.T))
    marks, hairs = _look_up_coat(seen, animal, ppm, part, at)
    marks *= marked
    hairs *= grain
    hairs += 1
    hairs *= hollow
    under = np.clip(ny * 1.6 - 0.15, 0, 1)
    out = np.zeros((seen.alpha.size, 3), np.float32)
    if light.infrared:
        grey, grey_belly, grey_mark = (
            c @ np.array((0.3, 0.55, 0.15), np.float32) for c in (back, belly, mark)
        )
        tone = grey[part] + under * (grey_belly - grey)[part]
        tone += marks * (grey_mark[part] - tone)
        tone *= infrared * light.sun[0] * (0.25 + 0.75 * nz) * hairs
        out[at] = tone[:, None]
        return out.reshape(*seen.alpha.shape, 3)
    colour = back.take(part, axis=0)
    colour += under[:, None] * (belly - back).take(part, axis=0)
    colour += marks[:, None] * (mark.take(part, axis=0) - colour)
    lx, ly, lz = light.direction
    facing = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    shine = gloss * np.square(np.square(np.square(facing)))
    falling = np.stack([(0.62 - 0.38 * ny) * hairs, facing * hairs], 1)
    colour *= falling @ np.array([light.sky, light.sun], np.float32)
    if shine.any():
        colour += shine[:, None] * np.array(light.sun, np.float32)
    out[at] = colour
    return out.reshape(*seen.alpha.shape, 3)


def _look_up_coat(
    seen: Surface, animal: Animal, ppm: float, part: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Look up markings and grain at each pixel: the coat lies along each part and moves with it."""
    way = seen.b - seen.a
    flat = np.maximum(np.sqrt((way[:, :2] ** 2).sum(1)), 1e-3)
    ahead_x, ahead_y = (way[:, :2] / flat[:, None]).T
    size = animal.coat.shape[0]
    texels = size / ppm
    # A part seen end-on shows its length squeezed.
    squeeze = np.clip(np.sqrt(flat**2 + way[:, 2] ** 2) / flat, 1, 2.0) * texels
    begin = np.array([p.u for p in animal.parts], np.float32) * size

    def fall(x: np.ndarray, y: np.ndarray, begin: np.ndarray) -> np.ndarray:
        # A coordinate of the coat is linear in the pixel: three numbers a part.
        start = begin - seen.a[:, 0] * x - seen.a[:, 1] * y
        kx, ky, k = np.stack([x, y, start]).astype(np.float32)
        return (column * kx.take(part) + row * ky.take(part) + k.take(part)).astype(np.int32) & (size - 1)

    row, column = np.divmod(at.astype(np.int32), np.int32(seen.alpha.shape[1]))
    u = fall(ahead_x * squeeze, ahead_y * squeeze, begin)
    v = fall(-ahead_y * texels, ahead_x * texels, 0 * begin)
    found = animal.coat.reshape(-1, 2).take(v * size + u, axis=0)
    return found[:, 0].copy(), found[:, 1].copy()


def _draw_quills(
    seen: Surface, colour: np.ndarray, quills: Quills, joints: Joints, yaw: float, ppm: float, light: Light
) -> None:
    """Draw quills into a shaded surface and its alpha, in place."""
    at = np.stack([joints[name] for name in quills.joints])
    root, tip = project(quills.roots, yaw, ppm) + at, project(quills.tips, yaw, ppm) + at
    shown = np.flatnonzero(root[:, 2] - at[:, 2] > -0.06 * ppm)
    shown = shown[np.argsort(root[shown, 2])]
    tint = np.array(light.sun) * (0.95 if light.infrared else 0.6) + np.array(light.sky) * 0.7
    ink = np.clip(colour * 255, 0, 255).astype(np.uint8)
    before = ink.copy()
    cover = (seen.alpha * 255).astype(np.uint8)
    a, b = (end[shown, :2] - (seen.x, seen.y) for end in (root, tip))
    # Drawn in a few depths, far ones first: one call a band is far cheaper than one a quill.
    for group in np.array_split(np.arange(len(shown)), 5):
        for start, stop, bright in BANDS:
            from_to = np.stack([a + (b - a) * start, a + (b - a) * stop], 1)[group]
            lines = list(np.round(from_to * 16).astype(np.int32))
            for canvas, shade in ((ink, np.clip(tint * bright * 255, 0, 255).tolist()), (cover, [255.0])):
                cv2.polylines(canvas, lines, False, shade, 1, cv2.LINE_AA, 4)
    changed = np.any(ink != before, axis=2)
    np.copyto(colour, ink.astype(np.float32) / 255, where=changed[..., None])
    np.maximum(seen.alpha, cover.astype(np.float32) / 255, out=seen.alpha)
