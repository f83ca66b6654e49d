"""A camera's view: one fixed place of trunks, leaves and ground, painted in layers from far to near."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from jungle.sample.foliage import Colour, Layer, fbm, pick_colour
from jungle.sample.plan import HEIGHT, WIDTH

FOCAL = 260.0  # pixels: a lens of 63 degrees across
MOUNTED = 0.45  # metres above the ground: knee height, as is usual for forest animals
FINE = 2  # scenes are painted at twice the size and averaged
W, H = WIDTH * FINE, HEIGHT * FINE


@dataclass(frozen=True, slots=True)
class Biome:
    """What grows in a kind of place, and in which colours."""

    leaf: Colour
    soils: tuple[Colour, Colour]
    litter: Colour
    bark: Colour
    sky: Colour
    gloom: Colour
    open: float
    """How much sky shows, 0..1."""
    trunks: tuple[int, int]
    litter_count: int
    grass: float
    ferns: float


BIOMES = (
    Biome((0.23, 0.31, 0.14), ((0.3, 0.22, 0.14), (0.42, 0.32, 0.2)), (0.46, 0.31, 0.17), (0.33, 0.28, 0.22),
          (0.82, 0.9, 0.8), (0.1, 0.17, 0.08), 0.15, (5, 9), 900, 0.1, 0.8),
    Biome((0.28, 0.36, 0.18), ((0.44, 0.35, 0.23), (0.34, 0.36, 0.18)), (0.5, 0.38, 0.22), (0.38, 0.33, 0.27),
          (0.86, 0.92, 0.88), (0.2, 0.29, 0.14), 0.35, (2, 6), 600, 0.45, 0.5),
    Biome((0.33, 0.36, 0.2), ((0.46, 0.4, 0.29), (0.5, 0.45, 0.31)), (0.58, 0.48, 0.28), (0.36, 0.31, 0.25),
          (0.78, 0.88, 0.96), (0.48, 0.47, 0.3), 0.85, (1, 4), 250, 1.0, 0.0),
    Biome((0.19, 0.28, 0.15), ((0.24, 0.24, 0.13), (0.17, 0.25, 0.1)), (0.34, 0.3, 0.14), (0.28, 0.26, 0.22),
          (0.74, 0.86, 0.78), (0.07, 0.14, 0.08), 0.08, (6, 11), 500, 0.25, 1.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """A painted place, not yet lit."""

    horizon: float
    """Row of the horizon, pixels of the frame."""
    back: list[tuple[Layer, float]]
    """Layers with their distance in metres, far ones first; below 0: the ground, at all distances."""
    standing: list[tuple[Layer, float]]
    """Plants on the ground, behind or in front of the animals, far ones first."""
    dapple: np.ndarray
    """float32 `[H, W]`: how much sun falls through the leaves, 0..1."""
    sky: Colour
    openness: float
    sun: Colour
    """Direction of the sun: x right, y down, z to the camera."""
    phases: list[np.ndarray]
    """float32 `[H, W]`, radians: how far each pixel is ahead in slow and in quick gusts."""

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Return the metres from the camera to the ground seen at `rows`; 25 above the horizon."""
        return FOCAL * MOUNTED / np.maximum(rows - self.horizon, FOCAL * MOUNTED / 25)


def paint_site(index: int, seed: int) -> Site:
    """Paint site `index` of the sample `seed`."""
    rng = np.random.default_rng([seed, 3, index])
    biome = BIOMES[(index + int(rng.integers(2))) % len(BIOMES)]
    horizon = float(rng.uniform(66, 84)) * FINE
    hue = rng.normal(0, 0.018, 3)
    leaf = pick_colour(np.clip(np.array(biome.leaf) * rng.uniform(0.85, 1.2) + hue, 0.05, 0.9))
    straw = (leaf[0] + 0.2 * biome.open, leaf[1] + 0.1 * biome.open, leaf[2] + 0.06)
    back = [(_paint_backdrop(rng, biome, horizon), 60.0)]
    back += [(_paint_wood(rng, biome, horizon, i, leaf), far) for i, far in enumerate((26.0, 17.0, 11.0))]
    earth = Layer((H, W), rng)
    ridge = horizon + 3 * fbm(rng, (1, W), 1, 2, stretch=0.003 * W)[0] + 4
    earth.ground(ridge, biome.soils, biome.litter_count, biome.litter)
    if biome.grass > 0:
        n = int(700 * biome.grass)
        y = horizon + 8 + np.sort(rng.uniform(0, 1, n) ** 1.3) * (H - horizon) * 0.75
        earth.grass(rng.uniform(0, W, n), y, 4 + (y - horizon) * rng.uniform(0.1, 0.25, n), straw)
    back.append((earth, -1.0))
    standing = []
    for _ in range(int(rng.integers(*biome.trunks))):
        layer = Layer((H, W), rng)
        foot = horizon + rng.uniform(8, 34) * FINE
        x = rng.choice([rng.uniform(0, 0.34), rng.uniform(0.66, 1)]) * W
        width = (foot - horizon) * rng.uniform(0.25, 0.7) + 6
        layer.trunk(x, foot, width, biome.bark, rng.normal(0, 0.06))
        tuft = x + rng.normal(0, 0.5 * width, 14)
        layer.grass(tuft, np.full(14, foot + 2), width * rng.uniform(0.2, 0.6, 14), straw)
        standing.append((layer, FOCAL * MOUNTED * FINE / (foot - horizon)))
    for depth in (12, 38, 106):
        layer = _paint_plants(rng, biome, horizon, depth, leaf, straw)
        standing.append((layer, FOCAL * MOUNTED / depth))
    standing.sort(key=lambda item: -item[1])
    for layer, _ in back + standing:
        layer.shrink(FINE)
    # Patches of sun: few and small under trees, nearly everywhere in the open.
    spots = cv2.resize(fbm(rng, (HEIGHT * 3, WIDTH), 14, 3), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    dapple = cv2.GaussianBlur(1 / (1 + np.exp(1.4 - spots * 2.2 - 3.0 * biome.open)), (0, 0), 1.5)
    sun = np.array([np.sin(rng.uniform(-1.0, 1.0)) * 0.6, -0.75, 0.45])
    return Site(
        horizon=horizon / FINE,
        back=back,
        standing=standing,
        dapple=dapple.astype(np.float32),
        sky=biome.sky,
        openness=biome.open,
        sun=pick_colour(sun / np.linalg.norm(sun)),
        phases=[(fbm(rng, (HEIGHT, WIDTH), n, 2) * 1.6).astype(np.float32) for n in (2.5, 7)],
    )


def _paint_backdrop(rng: np.random.Generator, biome: Biome, horizon: float) -> Layer:
    """Paint sky and the blur of leaves far away, with light coming through."""
    layer = Layer((H, W), rng)
    up = np.clip(1 - np.linspace(0, 1, H)[:, None, None] * H / horizon, 0, 1)
    leafy = fbm(rng, (H, W), 5, 4)[..., None]
    through = np.clip(leafy * 0.5 + (biome.open - 0.5) * 2.2 + 0.35 * up + 4 * max(biome.open - 0.5, 0), 0, 1)
    sky = np.array(biome.sky)
    colour = np.array(biome.gloom) * (1 + 0.25 * leafy) * (1 - through) + sky * (0.75 + 0.25 * up) * through
    light = np.zeros((H, W), np.float32)
    for _ in range(int(110 * (1 - biome.open)) if biome.open < 0.6 else 0):
        at = (int(rng.uniform(0, W)), int(rng.uniform(0, horizon) * rng.uniform(0.3, 1)))
        cv2.circle(light, at, int(rng.uniform(1, 6)), float(rng.uniform(0.2, 0.9)), -1)
    colour = np.clip(colour, 0, 1) + cv2.GaussianBlur(light, (0, 0), 2.5)[..., None] * sky * 0.9
    layer.lay_over((slice(None), slice(None)), colour, np.ones((H, W), np.float32))
    layer.sway[:] = 0.4 * FINE
    return layer


def _paint_wood(rng: np.random.Generator, biome: Biome, horizon: float, i: int, leaf: Colour) -> Layer:
    """Paint the trees and bushes of one distance beyond the ground, the farthest with `i` = 0."""
    layer = Layer((H, W), rng)
    layer.sway[:] = (0.5 + 0.35 * i) * FINE
    if biome.trunks[1] > 4 or i == 2:
        for _ in range(int(rng.integers(1, 3 + biome.trunks[1] // 2))):
            x, width = rng.uniform(0, W), rng.uniform(5, 10) * (1 + 0.7 * i)
            layer.trunk(x, horizon + 4 + 8 * i, width, biome.bark, rng.normal(0, 0.08))
    for _ in range(int((7 + 5 * (2 - i)) * (1.15 - biome.open * 0.55))):
        low = horizon * (0.98 if biome.open > 0.6 else rng.uniform(0.05, 1.0))
        at = (rng.uniform(-30, W + 30), low - rng.uniform(0, 14) * FINE)
        layer.clump(at, (rng.uniform(20, 60), rng.uniform(10, 24) * (1 + 0.2 * i)), 7.0 + 3.5 * i, leaf)
    return layer


def _paint_plants(
    rng: np.random.Generator, biome: Biome, horizon: float, depth: float, leaf: Colour, straw: Colour
) -> Layer:
    """Paint plants whose roots are `depth` pixels below the horizon; near ones keep to the sides."""
    layer = Layer((H, W), rng)
    root = horizon + depth * FINE
    ppm = depth * FINE / MOUNTED
    front = depth > 60  # out of focus, and rooted below the picture
    for _ in range(int(rng.integers(2, 5)) if front else int(rng.integers(4, 9))):
        aside = rng.random() < 0.75
        x = W * (rng.choice([rng.uniform(-0.06, 0.2), rng.uniform(0.8, 1.06)]) if aside else rng.random())
        y = root + rng.uniform(-4, 4) * FINE
        tall = ppm * rng.uniform(0.25, 0.6) * (0.55 if 0.22 * W < x < 0.78 * W else 1.0)
        tall = min(tall, 0.62 * H)
        kind = rng.random()
        if kind < biome.grass * 0.8:
            n = 60
            blades = x + rng.normal(0, 0.16 * tall + 4, n)
            layer.grass(blades, y + rng.uniform(-2, 2, n), tall * rng.uniform(0.4, 1.1, n), straw)
        elif kind < biome.grass * 0.8 + biome.ferns * 0.6:
            for lean in rng.permutation(np.linspace(-1.6, 1.6, 7)):
                layer.frond((x, y), tall * rng.uniform(0.8, 1.2), lean + rng.normal(0, 0.1), leaf)
        else:
            n = int(rng.integers(26, 46))
            px, py = x + rng.normal(0, 0.28 * tall, n), y - tall * rng.uniform(0.1, 1, n)
            for sx, sy in zip(px[::3], py[::3], strict=True):
                stem = np.array([[x, y], [(x + sx) / 2 + rng.normal(0, 3), (y + sy) / 2], [sx, sy]])
                layer.line(stem, np.array([70, 62, 40]), 2)
            layer.leaves(px, py, 0.24 * tall + 4, leaf, slim=rng.uniform(0.3, 0.6), veined=True)
    rows = np.arange(H)[:, None]
    layer.sway[:] = np.clip((root - rows) / (0.5 * ppm), 0, 1) ** 1.3 * (1.0 + depth * 0.035) * FINE
    if front:
        layer.rgba[:] = cv2.GaussianBlur(layer.rgba, (0, 0), 2.2)
    return layer
