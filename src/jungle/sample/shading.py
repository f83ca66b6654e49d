"""Light on a body: normals from its depth, colours and markings from its coat."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from jungle.sample.body import Material, Part, Surface
from jungle.sample.cones import COVERED


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
    at = np.flatnonzero(
        seen.alpha > COVERED
    )  # less than half of the box, so the rest works on a list of pixels
    part = seen.part.ravel()[at]
    z = seen.depth.ravel()[at]
    depth = np.full(seen.depth.shape, z.min(), np.float32)
    depth.ravel()[at] = z
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.8, 0.014 * ppm))
    nx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=-0.125).ravel()[at]
    ny = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=-0.125).ravel()[at]
    # A hollow is darker than what stands out of it.
    window = int(0.12 * ppm) | 1
    hollow = cv2.blur(depth, (window, window)).ravel()[at]
    hollow -= z
    hollow *= -2.2 / window
    hollow += 1
    np.clip(hollow, 0.35, 1.0, out=hollow)
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx *= nz
    ny *= nz
    marks, hairs = _coat_at(seen, parts, coat, ppm, part, at)
    table = np.array(
        [(*m.back, *m.belly, *m.mark, m.marked, m.grain, m.gloss, m.infrared) for m in materials], np.float32
    )[[p.material for p in parts]]
    back, belly, mark = (np.ascontiguousarray(table[:, i : i + 3]) for i in (0, 3, 6))
    marked, grain, gloss, infrared = (np.ascontiguousarray(table[:, i])[part] for i in (9, 10, 11, 12))
    under = np.clip(ny * 1.6 - 0.15, 0, 1)
    marks *= marked
    hairs *= grain
    hairs += 1
    hairs *= hollow
    out = np.zeros((seen.alpha.size, 3), np.float32)
    if light.infrared:
        grey, grey_belly, grey_mark = (
            c @ np.array((0.3, 0.55, 0.15), np.float32) for c in (back, belly, mark)
        )
        tone = grey[part]
        tone += under * (grey_belly - grey)[part]
        tone += marks * (grey_mark[part] - tone)
        tone *= infrared * light.sun[0]
        tone *= (0.25 + 0.75 * nz) * hairs
        out[at] = tone[:, None]
        return out.reshape(*seen.alpha.shape, 3)
    colour = back.take(part, axis=0)
    colour += under[:, None] * (belly - back).take(part, axis=0)
    colour += marks[:, None] * (mark.take(part, axis=0) - colour)
    lx, ly, lz = light.direction
    facing = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    shine = np.square(np.square(np.square(facing)))
    shine *= gloss
    ambient = (0.62 - 0.38 * ny) * hairs
    facing *= hairs
    falling = np.stack([ambient, facing], 1) @ np.array([light.sky, light.sun], np.float32)
    colour *= falling
    if shine.any():
        colour += shine[:, None] * np.array(light.sun, np.float32)
    out[at] = colour
    return out.reshape(*seen.alpha.shape, 3)


def _coat_at(
    seen: Surface, parts: list[Part], coat: np.ndarray, ppm: float, part: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Markings and grain at each pixel: the coat lies along each part and moves with it."""
    way = seen.b - seen.a
    flat = np.maximum(np.sqrt((way[:, :2] ** 2).sum(1)), 1e-3)
    unit = way[:, :2] / flat[:, None]
    size = coat.shape[0]
    # A part seen end-on shows its length squeezed.
    squeeze = np.clip(np.sqrt(flat**2 + way[:, 2] ** 2) / flat, 1, 2.0)
    start = np.array([p.u for p in parts], np.float32)
    texels = size / ppm
    # u along the part and v across it are linear in the pixel: three numbers a part give each.
    ux, uy = unit[:, 0] * squeeze * texels, unit[:, 1] * squeeze * texels
    u0 = start * size - seen.a[:, 0] * ux - seen.a[:, 1] * uy
    vx, vy = -unit[:, 1] * texels, unit[:, 0] * texels
    v0 = -seen.a[:, 0] * vx - seen.a[:, 1] * vy
    y, x = np.divmod(at.astype(np.int32), np.int32(seen.alpha.shape[1]))
    lines = np.ascontiguousarray(np.stack([ux, uy, u0, vx, vy, v0]).astype(np.float32))
    u = x * lines[0].take(part) + y * lines[1].take(part) + lines[2].take(part)
    v = x * lines[3].take(part) + y * lines[4].take(part) + lines[5].take(part)
    place = (v.astype(np.int32) & (size - 1)) * size + (u.astype(np.int32) & (size - 1))
    found = coat.reshape(-1, 2).take(place, axis=0)
    return found[:, 0].copy(), found[:, 1].copy()
