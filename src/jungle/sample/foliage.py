"""Leaves, fronds, grass, trunks and ground, drawn into layers of colour and cover."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

SHIFT = 3  # fractional bits of polygon corners
Colour = tuple[float, float, float]  # red, green, blue in 0..1


def pick_colour(values: Iterable[float]) -> Colour:
    """Three numbers as a colour."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue


@dataclass
class Layer:
    """What stands at one distance, and how far the wind moves each pixel."""

    rgba: np.ndarray
    """uint8 `[H, W, 4]`: colour times cover, and cover."""
    sway: np.ndarray
    """float32 `[H, W]` in pixels at full wind."""

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Layer:
        """A layer with nothing on it; `size` is (height, width)."""
        return cls(np.zeros((*size, 4), np.uint8), np.zeros(size, np.float32))

    def shrink(self, by: int) -> None:
        """Average `by` x `by` pixels to one."""
        size = (self.sway.shape[1] // by, self.sway.shape[0] // by)
        self.rgba = cv2.resize(self.rgba, size, interpolation=cv2.INTER_AREA)
        self.sway = cv2.resize(self.sway, size, interpolation=cv2.INTER_AREA) / by


def fbm(
    rng: np.random.Generator, size: tuple[int, int], cells: float, octaves: int = 4, stretch: float = 1.0
) -> np.ndarray:
    """Fractal noise, mean 0 and deviation 1: `cells` bumps a height, each octave twice as fine."""
    out = np.zeros(size, np.float32)
    for o in range(octaves):
        n = cells * 2**o
        grid = rng.standard_normal((int(n) + 3, int(n * size[1] / size[0] / stretch) + 3)).astype(np.float32)
        out += cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) * 0.55**o
    return (out - out.mean()) / (out.std() + 1e-6)


def lens(
    x: np.ndarray, y: np.ndarray, length: np.ndarray, width: np.ndarray, angle: np.ndarray
) -> np.ndarray:
    """Leaf outlines `[N, 8, 2]` from their stalk at (x, y), pointing along `angle` (radians, y down)."""
    along = np.array([0, 0.2, 0.5, 0.8, 1, 0.8, 0.5, 0.2])
    across = np.array([0, 0.38, 0.5, 0.26, 0, -0.26, -0.5, -0.38])
    px, py = length[:, None] * along, width[:, None] * across
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([x[:, None] + px * c - py * s, y[:, None] + px * s + py * c], 2)


def tones(
    rng: np.random.Generator, base: Colour, n: int, spread: float = 0.22, warm: float = 0.06
) -> np.ndarray:
    """`n` colours around `base`, lighter and darker, greener and yellower: 0..255, `[n, 3]`."""
    light = rng.normal(1, spread, (n, 1)).clip(0.4, 1.8)
    tilt = rng.normal(0, warm, (n, 1)) * np.array([1.0, 0.2, -0.6])
    return (np.array(base) * light + tilt * np.mean(base) * 2).clip(0.01, 1) * 255


def paint(rgba: np.ndarray, shapes: np.ndarray, colours: np.ndarray) -> None:
    """Fill polygons `[N, K, 2]` in order."""
    fixed = np.round(shapes * (1 << SHIFT)).astype(np.int32, order="C")
    for corners, (r, g, b) in zip(fixed, colours.tolist(), strict=True):
        cv2.fillPoly(rgba, [corners], (r, g, b, 255), cv2.LINE_AA, SHIFT)


def leaves(
    layer: Layer,
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    size: float,
    base: Colour,
    slim: float = 0.45,
    veined: bool = False,
) -> None:
    """Scatter leaves whose stalks are at (x, y)."""
    n = len(x)
    length = size * rng.uniform(0.6, 1.3, n)
    angle = rng.normal(np.pi / 2, 1.0, n)
    shapes = lens(x, y, length, length * slim, angle)
    colours = tones(rng, base, n)
    paint(layer.rgba, shapes, colours)
    if veined:
        paint(layer.rgba, shapes[:, [0, 1, 2, 3, 4]], np.minimum(colours * 1.22 + 6, 255))


def clump(
    layer: Layer,
    rng: np.random.Generator,
    at: tuple[float, float],
    spread: tuple[float, float],
    count: int,
    size: float,
    base: Colour,
) -> None:
    """A mass of leaves, darker within and below."""
    x = rng.normal(at[0], spread[0], count)
    y = rng.normal(at[1], spread[1], count)
    order = np.argsort(rng.normal(0, 1, count) - (y - at[1]) / (spread[1] + 1e-6))
    dark = (base[0] * 0.4, base[1] * 0.42, base[2] * 0.45)
    half = count // 2
    leaves(layer, rng, x[order[:half]], y[order[:half]], size, dark)
    leaves(layer, rng, x[order[half:]], y[order[half:]] - size * 0.3, size, base)


def frond(
    layer: Layer, rng: np.random.Generator, root: tuple[float, float], reach: float, lean: float, base: Colour
) -> None:
    """A fern or palm frond: an arched rib with leaflets on both sides."""
    n = 16
    t = np.linspace(0.12, 1, n)
    angle = -np.pi / 2 + lean * (0.3 + 0.95 * t)
    x = root[0] + np.cumsum(np.cos(angle)) * reach / n
    y = root[1] + np.cumsum(np.sin(angle)) * reach / n
    leaf = reach * 0.2 * np.sin(np.pi * np.clip(t * 0.88 + 0.1, 0, 1)) + 1.5
    shapes = np.concatenate(
        [lens(x, y, leaf, np.maximum(leaf * 0.2, 1.2), angle + side * 0.95) for side in (1, -1)]
    )
    paint(layer.rgba, shapes, tones(rng, base, len(shapes), 0.1) * rng.uniform(0.6, 1.1))
    rib = np.round(np.stack([x, y], 1) * 8).astype(np.int32)
    cv2.polylines(layer.rgba, [rib], False, (*(np.array(base) * 190).tolist(), 255), 1, cv2.LINE_AA, 3)


def grass(
    layer: Layer, rng: np.random.Generator, x: np.ndarray, y: np.ndarray, height: np.ndarray, base: Colour
) -> None:
    """Blades that rise from (x, y) and bend over."""
    n = len(x)
    bend = rng.normal(0, 0.35, n)
    width = np.maximum(height * 0.035, 1.1)
    t = np.array([0.0, 0.4, 0.75, 1.0])
    rise = -height[:, None] * t * (1 - 0.15 * np.abs(bend[:, None]) * t)
    drift = height[:, None] * bend[:, None] * t**2
    thick = width[:, None] * (1 - t) * 0.5
    left = np.stack([x[:, None] + drift - thick, y[:, None] + rise], 2)
    right = np.stack([x[:, None] + drift + thick, y[:, None] + rise], 2)[:, ::-1]
    paint(layer.rgba, np.concatenate([left, right], 1), tones(rng, base, n, 0.25, 0.08))


def trunk(
    layer: Layer,
    rng: np.random.Generator,
    x: float,
    foot: float,
    width: float,
    base: Colour,
    lean: float = 0.0,
) -> None:
    """A tree trunk with bark, from its foot up out of the picture."""
    w = layer.sway.shape[1]
    y = np.arange(0, max(int(foot), 2))
    up = 1 - y / max(foot, 1)
    wobble = np.cumsum(rng.normal(0, 0.02 * width, len(y))).astype(np.float32)
    wobble = cv2.GaussianBlur(wobble[:, None], (1, 31), 8)[:, 0]
    centre = x + lean * up * foot + wobble * 0.5
    half = width * (0.42 + 0.1 * (1 - up) + 0.5 * np.exp(-up * foot / (0.35 * width + 1)))
    x0, x1 = max(int((centre - half).min()) - 1, 0), min(int((centre + half).max()) + 2, w)
    if x1 - x0 < 2:
        return
    size = (len(y), x1 - x0)
    across = (np.arange(x0, x1)[None, :] - centre[:, None]) / half[:, None]
    # The foot is round, and stands in what grows and lies there.
    below = foot - y[:, None] - 0.16 * half[:, None] * across**2 - rng.uniform(0, 0.1 * width, (1, x1 - x0))
    cover = np.clip((1 - np.abs(across)) * half[:, None], 0, 1) * np.clip(below / 2, 0, 1)
    bark = fbm(rng, size, max(4, 60 / max(width, 1)), 4, stretch=0.12)
    moss = np.clip(fbm(rng, size, 4, 2) * 0.5, 0, 0.5)[..., None]
    shape = np.sqrt(np.clip(1 - across**2, 0, 1)) * (0.8 + 0.3 * np.clip(-across, -1, 1))
    tone = np.clip(shape * (1 + 0.22 * bark), 0.08, 1.6)[..., None]
    colour = np.array(base) * tone
    colour = colour + moss * (np.array([0.16, 0.22, 0.08]) * tone - colour)
    box = (slice(0, len(y)), slice(x0, x1))
    region = layer.rgba[box].astype(np.float32)
    alpha = cover[..., None]
    region[..., :3] = region[..., :3] * (1 - alpha) + np.clip(colour, 0, 1) * 255 * alpha
    region[..., 3:] = np.maximum(region[..., 3:], alpha * 255)
    layer.rgba[box] = region.astype(np.uint8)
    layer.sway[box] *= 1 - cover


def ground(
    layer: Layer,
    rng: np.random.Generator,
    horizon: np.ndarray,
    base: Colour,
    second: Colour,
    litter: int,
    litter_colour: Colour,
) -> None:
    """Earth that runs to the horizon, patched with a second colour and strewn with fallen leaves.

    `horizon` is the first row of ground in each column.
    """
    h, w = layer.sway.shape
    top = float(horizon.min())
    rows = np.arange(h, dtype=np.float32)
    # Rows near the horizon are far away: noise is squeezed there as perspective has it.
    near = np.clip((rows - top + 6) / (h - top), 0.02, 1)
    tall = fbm(rng, (512, w), 14, 5, stretch=1.6)
    fine = rng.standard_normal((512, w)).astype(np.float32)
    pick = (511 * (1 - 1 / (1 + 6 * near)) / (1 - 1 / 7)).clip(0, 511).astype(np.int32)
    patches = np.clip(0.5 + 0.9 * tall[pick], 0, 1)[..., None]
    colour = np.array(base) * (1 - patches) + np.array(second) * patches
    colour = colour * (
        1 + 0.12 * tall[pick][..., None] + 0.13 * cv2.GaussianBlur(fine, (0, 0), 0.8)[pick][..., None]
    )
    edge = np.clip(rows[:, None] - horizon[None, :] + 0.5, 0, 1)
    layer.rgba[..., :3] = (
        layer.rgba[..., :3] * (1 - edge[..., None]) + np.clip(colour, 0, 1) * 255 * edge[..., None]
    ).astype(np.uint8)
    layer.rgba[..., 3] = np.maximum(layer.rgba[..., 3], (edge * 255).astype(np.uint8))
    layer.sway *= 1 - edge
    depth = np.sort(rng.uniform(0, 1, litter) ** 1.5)
    y = top + 4 + depth * (h - top)
    x = rng.uniform(0, w, litter)
    keep = y > np.interp(x, np.arange(w), horizon) + 2
    depth, x, y = depth[keep], x[keep], y[keep]
    size = 2 + 13 * depth
    angle = rng.uniform(0, 2 * np.pi, len(x))
    shapes = lens(np.zeros_like(x), np.zeros_like(x), size * rng.uniform(0.6, 1.2, len(x)), size * 0.5, angle)
    shapes[..., 1] *= 0.42
    shapes += np.stack([x, y], 1)[:, None]
    shadow = shapes + np.array([0.8, 1.2])
    colours = tones(rng, litter_colour, len(x), 0.3, 0.1)
    both = np.stack([shadow, shapes], 1).reshape(-1, 8, 2)
    shades = np.stack([np.full_like(colours, 1) * np.array(base) * 110, colours], 1).reshape(-1, 3)
    paint(layer.rgba, both, shades)
