"""Leaves, fronds, grass, trunks and ground, painted into layers of colour and cover."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

SHIFT = 3  # fractional bits of polygon corners
Colour = tuple[float, float, float]  # red, green, blue in 0..1


def pick_colour(values: Iterable[float]) -> Colour:
    """Return three numbers as a colour."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def fbm(
    rng: np.random.Generator, size: tuple[int, int], cells: float, octaves: int = 4, stretch: float = 1.0
) -> np.ndarray:
    """Draw fractal noise, mean 0 and deviation 1: `cells` bumps a height, each octave twice as fine."""
    out = np.zeros(size, np.float32)
    for o in range(octaves):
        n = cells * 2**o
        grid = rng.standard_normal((int(n) + 3, int(n * size[1] / size[0] / stretch) + 3)).astype(np.float32)
        out += cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC) * 0.55**o
    return (out - out.mean()) / (out.std() + 1e-6)


class Layer:
    """What stands at one distance, and how far the wind moves each pixel.

    Attributes:
        rgba: uint8 `[H, W, 4]`, colour times cover, and cover.
        sway: float32 `[H, W]` in pixels at full wind.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        """Make an empty layer of `size` (height, width); `rng` decides what is painted on it."""
        self.rgba, self.sway = np.zeros((*size, 4), np.uint8), np.zeros(size, np.float32)
        self.rng = rng

    def shrink(self, by: int) -> None:
        """Average `by` x `by` pixels to one."""
        size = (self.sway.shape[1] // by, self.sway.shape[0] // by)
        self.rgba = cv2.resize(self.rgba, size, interpolation=cv2.INTER_AREA)
        self.sway = cv2.resize(self.sway, size, interpolation=cv2.INTER_AREA) / by

    def fill(self, shapes: np.ndarray, colours: np.ndarray) -> None:
        """Fill polygons `[N, K, 2]` in order, with colours `[N, 3]` in 0..255."""
        fixed = np.round(shapes * (1 << SHIFT)).astype(np.int32, order="C")
        for corners, (r, g, b) in zip(fixed, colours.tolist(), strict=True):
            cv2.fillPoly(self.rgba, [corners], (r, g, b, 255), cv2.LINE_AA, SHIFT)

    def line(self, points: np.ndarray, colour: np.ndarray, width: int) -> None:
        """Draw a line through points `[K, 2]`, in a colour of 0..255."""
        fixed = np.round(points * (1 << SHIFT)).astype(np.int32)
        cv2.polylines(self.rgba, [fixed], False, (*colour.tolist(), 255), width, cv2.LINE_AA, SHIFT)

    def lay_over(self, box: tuple[slice, slice], colour: np.ndarray, cover: np.ndarray) -> None:
        """Lay a picture in 0..1 over a part of the layer; it hides the wind there."""
        alpha, region = cover[..., None], self.rgba[box].astype(np.float32)
        region[..., :3] = region[..., :3] * (1 - alpha) + np.clip(colour, 0, 1) * 255 * alpha
        region[..., 3:] = np.maximum(region[..., 3:], alpha * 255)
        self.rgba[box] = region.astype(np.uint8)
        self.sway[box] *= 1 - cover

    def tones(self, base: Colour, n: int, spread: float = 0.22, warm: float = 0.06) -> np.ndarray:
        """Draw `n` colours around `base`, lighter and darker, greener and yellower: 0..255, `[n, 3]`."""
        light = self.rng.normal(1, spread, (n, 1)).clip(0.4, 1.8)
        tilt = self.rng.normal(0, warm, (n, 1)) * np.array([1.0, 0.2, -0.6])
        return (np.array(base) * light + tilt * np.mean(base) * 2).clip(0.01, 1) * 255

    def leaves(
        self,
        x: np.ndarray,
        y: np.ndarray,
        size: float,
        base: Colour,
        *,
        slim: float = 0.45,
        veined: bool = False,
    ) -> None:
        """Scatter leaves whose stalks are at (x, y)."""
        length = size * self.rng.uniform(0.6, 1.3, len(x))
        shapes = _outline(x, y, length, length * slim, self.rng.normal(np.pi / 2, 1.0, len(x)))
        colours = self.tones(base, len(x))
        self.fill(shapes, colours)
        if veined:
            self.fill(shapes[:, [0, 1, 2, 3, 4]], np.minimum(colours * 1.22 + 6, 255))

    def clump(
        self, at: tuple[float, float], spread: tuple[float, float], size: float, base: Colour, count: int = 90
    ) -> None:
        """Paint a mass of leaves, darker within and below."""
        x, y = (self.rng.normal(a, s, count) for a, s in zip(at, spread, strict=True))
        order = np.argsort(self.rng.normal(0, 1, count) - (y - at[1]) / (spread[1] + 1e-6))
        inner, outer = order[: count // 2], order[count // 2 :]
        self.leaves(x[inner], y[inner], size, (base[0] * 0.4, base[1] * 0.42, base[2] * 0.45))
        self.leaves(x[outer], y[outer] - size * 0.3, size, base)

    def frond(self, root: tuple[float, float], reach: float, lean: float, base: Colour) -> None:
        """Paint a fern frond: an arched rib with leaflets on both sides."""
        n = 16
        t = np.linspace(0.12, 1, n)
        angle = -np.pi / 2 + lean * (0.3 + 0.95 * t)
        x = root[0] + np.cumsum(np.cos(angle)) * reach / n
        y = root[1] + np.cumsum(np.sin(angle)) * reach / n
        leaf = reach * 0.2 * np.sin(np.pi * np.clip(t * 0.88 + 0.1, 0, 1)) + 1.5
        width = np.maximum(leaf * 0.2, 1.2)
        shapes = np.concatenate([_outline(x, y, leaf, width, angle + side) for side in (0.95, -0.95)])
        self.fill(shapes, self.tones(base, len(shapes), 0.1) * self.rng.uniform(0.6, 1.1))
        self.line(np.stack([x, y], 1), np.array(base) * 190, 1)

    def grass(self, x: np.ndarray, y: np.ndarray, height: np.ndarray, base: Colour) -> None:
        """Paint blades that rise from (x, y) and bend over."""
        x, y, tall = x[:, None], y[:, None], height[:, None]
        bend = self.rng.normal(0, 0.35, x.shape)
        t = np.array([0.0, 0.4, 0.75, 1.0])
        rise = y - tall * t * (1 - 0.15 * np.abs(bend) * t)
        middle = x + tall * bend * t**2
        thick = np.maximum(tall * 0.035, 1.1) * (1 - t) * 0.5
        left, right = (np.stack([edge, rise], 2) for edge in (middle - thick, middle + thick))
        self.fill(np.concatenate([left, right[:, ::-1]], 1), self.tones(base, len(x), 0.25, 0.08))

    def trunk(self, x: float, foot: float, width: float, base: Colour, lean: float) -> None:
        """Paint a tree trunk with bark, from its foot up out of the picture."""
        w = self.sway.shape[1]
        y = np.arange(0, max(int(foot), 2))
        up = 1 - y / max(foot, 1)
        wobble = np.cumsum(self.rng.normal(0, 0.02 * width, len(y))).astype(np.float32)
        centre = x + lean * up * foot + cv2.GaussianBlur(wobble[:, None], (1, 31), 8)[:, 0] * 0.5
        half = width * (0.42 + 0.1 * (1 - up) + 0.5 * np.exp(-up * foot / (0.35 * width + 1)))
        x0, x1 = max(int((centre - half).min()) - 1, 0), min(int((centre + half).max()) + 2, w)
        if x1 - x0 < 2:
            return
        size = (len(y), x1 - x0)
        across = (np.arange(x0, x1)[None] - centre[:, None]) / half[:, None]
        # The foot is round, and stands in what grows and lies there.
        fray = self.rng.uniform(0, 0.1 * width, (1, x1 - x0))
        below = foot - y[:, None] - 0.16 * half[:, None] * across**2 - fray
        cover = np.clip((1 - np.abs(across)) * half[:, None], 0, 1) * np.clip(below / 2, 0, 1)
        bark = fbm(self.rng, size, max(4, 60 / max(width, 1)), 4, stretch=0.12)
        moss = np.clip(fbm(self.rng, size, 4, 2) * 0.5, 0, 0.5)[..., None]
        shape = np.sqrt(np.clip(1 - across**2, 0, 1)) * (0.8 + 0.3 * np.clip(-across, -1, 1))
        tone = np.clip(shape * (1 + 0.22 * bark), 0.08, 1.6)[..., None]
        colour = tone * (np.array(base) + moss * (np.array([0.16, 0.22, 0.08]) - np.array(base)))
        self.lay_over((slice(0, len(y)), slice(x0, x1)), colour, cover)

    def ground(
        self, horizon: np.ndarray, soils: tuple[Colour, Colour], litter: int, litter_colour: Colour
    ) -> None:
        """Paint earth below the horizon (a row for each column), patched and strewn with fallen leaves."""
        h, w = self.sway.shape
        top = float(horizon.min())
        rows = np.arange(h, dtype=np.float32)
        # Rows near the horizon are far away: noise is squeezed there as perspective has it.
        near = np.clip((rows - top + 6) / (h - top), 0.02, 1)
        pick = (511 * (1 - 1 / (1 + 6 * near)) / (1 - 1 / 7)).clip(0, 511).astype(np.int32)
        patches = fbm(self.rng, (512, w), 14, 5, stretch=1.6)[pick][..., None]
        grains = cv2.GaussianBlur(self.rng.standard_normal((512, w)).astype(np.float32), (0, 0), 0.8)[pick]
        share = np.clip(0.5 + 0.9 * patches, 0, 1)
        colour = np.array(soils[0]) * (1 - share) + np.array(soils[1]) * share
        colour = colour * (1 + 0.12 * patches + 0.13 * grains[..., None])
        edge = np.clip(rows[:, None] - horizon[None, :] + 0.5, 0, 1)
        self.lay_over((slice(None), slice(None)), colour, edge)
        depth = np.sort(self.rng.uniform(0, 1, litter) ** 1.5)
        x, y = self.rng.uniform(0, w, litter), top + 4 + depth * (h - top)
        keep = y > np.interp(x, np.arange(w), horizon) + 2
        x, y, size = x[keep], y[keep], 2 + 13 * depth[keep]
        n = len(x)
        angle = self.rng.uniform(0, 2 * np.pi, n)
        shapes = _outline(np.zeros(n), np.zeros(n), size * self.rng.uniform(0.6, 1.2, n), size * 0.5, angle)
        shapes = shapes * (1, 0.42) + np.stack([x, y], 1)[:, None]
        colours = self.tones(litter_colour, n, 0.3, 0.1)
        both = np.stack([shapes + np.array([0.8, 1.2]), shapes], 1)  # each with its shadow
        shades = np.stack([np.tile(np.array(soils[0]) * 110, (n, 1)), colours], 1)
        self.fill(both.reshape(-1, 8, 2), shades.reshape(-1, 3))


def _outline(
    x: np.ndarray, y: np.ndarray, length: np.ndarray, width: np.ndarray, angle: np.ndarray
) -> np.ndarray:
    """Return leaf outlines `[N, 8, 2]` from their stalk at (x, y), along `angle` (radians, y down)."""
    along = length[:, None] * np.array([0, 0.2, 0.5, 0.8, 1, 0.8, 0.5, 0.2])
    across = width[:, None] * np.array([0, 0.38, 0.5, 0.26, 0, -0.26, -0.5, -0.38])
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([x[:, None] + along * c - across * s, y[:, None] + along * s + across * c], 2)
