"""A camera's view: one fixed place of trunks, leaves and ground, painted in layers from far to near."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from jungle.sample import foliage
from jungle.sample.biomes import BIOMES, Biome
from jungle.sample.foliage import Colour, Layer, fbm, pick_colour
from jungle.sample.plan import HEIGHT, WIDTH

FOCAL = 260.0  # pixels: a lens of 63 degrees across
MOUNTED = 0.45  # metres above the ground: knee height, as is usual for forest animals
FINE = 2  # scenes are painted at twice the size and averaged


@dataclass
class Site:
    """A painted place, not yet lit."""

    horizon: float
    """Row of the horizon, pixels of the frame."""
    back: list[tuple[Layer, float]]
    """Layers with their distance in metres, far ones first."""
    standing: list[tuple[Layer, float]]
    """Plants on the ground, between or before the animals, far ones first."""
    dapple: np.ndarray
    """float32 `[H, W]`: how much sun falls through the leaves, 0..1."""
    sky: Colour
    openness: float
    sun: tuple[float, float, float]
    """Where the sun stands."""
    phases: list[np.ndarray] = field(default_factory=list)

    def ppm(self, row: float) -> float:
        """Pixels per metre at which a body is drawn whose feet are at `row`."""
        return max(row - self.horizon, 1.0) / MOUNTED

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Metres from the camera to the ground seen at `rows`; 25 above the horizon."""
        return FOCAL * MOUNTED / np.maximum(rows - self.horizon, FOCAL * MOUNTED / 25)


def paint_site(index: int, seed: int) -> Site:
    """Paint site `index` of the sample `seed`."""
    rng = np.random.default_rng([seed, 3, index])
    biome = BIOMES[(index + int(rng.integers(2))) % len(BIOMES)]
    size = (HEIGHT * FINE, WIDTH * FINE)
    h, w = size
    horizon = float(rng.uniform(66, 84)) * FINE
    hue = rng.normal(0, 0.018, 3)
    leaf = pick_colour(np.clip(np.array(biome.leaf) * rng.uniform(0.85, 1.2) + hue, 0.05, 0.9))
    back: list[tuple[Layer, float]] = [(_backdrop(rng, biome, size, horizon), 60.0)]
    for i, distance in enumerate((26.0, 17.0, 11.0)):
        layer = Layer.empty(size)
        layer.sway[:] = (0.5 + 0.35 * i) * FINE
        if biome.trunks[1] > 4 or i == 2:
            for _ in range(int(rng.integers(1, 3 + biome.trunks[1] // 2))):
                foliage.trunk(
                    layer,
                    rng,
                    rng.uniform(0, w),
                    horizon + 4 + 8 * i,
                    rng.uniform(5, 10) * (1 + 0.7 * i),
                    biome.bark,
                    rng.normal(0, 0.08),
                )
        masses = int((7 + 5 * (2 - i)) * (1.15 - biome.open * 0.55))
        for _ in range(masses):
            low = horizon * (0.98 if biome.open > 0.6 else rng.uniform(0.05, 1.0))
            at = (rng.uniform(-30, w + 30), low - rng.uniform(0, 14) * FINE)
            foliage.clump(
                layer,
                rng,
                at,
                (rng.uniform(20, 60), rng.uniform(10, 24) * (1 + 0.2 * i)),
                90,
                7.0 + 3.5 * i,
                leaf,
            )
        back.append((layer, distance))
    earth = Layer.empty(size)
    ridge = horizon + 3 * fbm(rng, (1, w), 1, 2, stretch=0.003 * w)[0] + 4
    foliage.ground(earth, rng, ridge, biome.soil, biome.soil2, biome.litter_count, biome.litter)
    if biome.grass > 0:
        n = int(700 * biome.grass)
        y = horizon + 8 + np.sort(rng.uniform(0, 1, n) ** 1.3) * (h - horizon) * 0.75
        foliage.grass(
            earth,
            rng,
            rng.uniform(0, w, n),
            y,
            4 + (y - horizon) * rng.uniform(0.1, 0.25, n),
            _dry(leaf, biome.open),
        )
    back.append((earth, -1.0))
    standing: list[tuple[Layer, float]] = []
    for _ in range(int(rng.integers(*biome.trunks))):
        layer = Layer.empty(size)
        foot = horizon + rng.uniform(8, 34) * FINE
        x = rng.choice([rng.uniform(0, 0.34), rng.uniform(0.66, 1)]) * w
        width = (foot - horizon) * rng.uniform(0.25, 0.7) + 6
        foliage.trunk(layer, rng, x, foot, width, biome.bark, rng.normal(0, 0.06))
        n = 14
        tuft = x + rng.normal(0, 0.5 * width, n)
        foliage.grass(
            layer, rng, tuft, np.full(n, foot + 2), width * rng.uniform(0.2, 0.6, n), _dry(leaf, biome.open)
        )
        standing.append((layer, FOCAL * MOUNTED * FINE / (foot - horizon)))
    standing += [_plants(rng, biome, size, horizon, depth, leaf) for depth in (12, 38, 106)]
    standing.sort(key=lambda item: -item[1])
    for layer, _ in back + standing:
        layer.shrink(FINE)
    dapple = _dapple(rng, (HEIGHT, WIDTH), biome.open)
    angle = rng.uniform(-1.0, 1.0)
    sun = np.array([np.sin(angle) * 0.6, -0.75, 0.45])
    site = Site(
        horizon / FINE,
        back,
        standing,
        dapple,
        biome.sky,
        biome.open,
        pick_colour(sun / np.linalg.norm(sun)),
    )
    site.phases = [(fbm(rng, (HEIGHT, WIDTH), cells, 2) * 1.6).astype(np.float32) for cells in (2.5, 7)]
    return site


def _dry(leaf: Colour, openness: float) -> Colour:
    return (leaf[0] + 0.2 * openness, leaf[1] + 0.1 * openness, leaf[2] + 0.06)


def _backdrop(rng: np.random.Generator, biome: Biome, size: tuple[int, int], horizon: float) -> Layer:
    """Sky and the blur of leaves far away, with light coming through."""
    h, w = size
    layer = Layer.empty(size)
    rows = np.linspace(0, 1, h)[:, None, None]
    up = np.clip(1 - rows * h / horizon, 0, 1)
    sky = np.array(biome.sky) * (0.75 + 0.25 * up)
    leafy = fbm(rng, size, 5, 4)[..., None]
    through = np.clip(leafy * 0.5 + (biome.open - 0.5) * 2.2 + 0.35 * up + 4 * max(biome.open - 0.5, 0), 0, 1)
    colour = np.array(biome.gloom) * (1 + 0.25 * leafy) * (1 - through) + sky * through
    layer.rgba[..., :3] = np.clip(colour, 0, 1) * 255
    layer.rgba[..., 3] = 255
    light = np.zeros((h, w), np.float32)
    for _ in range(int(110 * (1 - biome.open)) if biome.open < 0.6 else 0):
        at = (int(rng.uniform(0, w)), int(rng.uniform(0, horizon) * rng.uniform(0.3, 1)))
        cv2.circle(light, at, int(rng.uniform(1, 6)), float(rng.uniform(0.2, 0.9)), -1)
    light = cv2.GaussianBlur(light, (0, 0), 2.5)[..., None]
    layer.rgba[..., :3] = np.clip(layer.rgba[..., :3] + light * np.array(biome.sky) * 230, 0, 255)
    layer.sway[:] = 0.4 * FINE
    return layer


def _plants(
    rng: np.random.Generator, biome: Biome, size: tuple[int, int], horizon: float, depth: float, leaf: Colour
) -> tuple[Layer, float]:
    """Plants whose roots are `depth` pixels below the horizon; near ones keep to the sides."""
    h, w = size
    layer = Layer.empty(size)
    root = horizon + depth * FINE
    ppm = depth * FINE / MOUNTED
    front = depth > 60  # out of focus, and rooted below the picture
    for _ in range(int(rng.integers(2, 5)) if front else int(rng.integers(4, 9))):
        side = rng.random()
        x = (
            (w * rng.choice([rng.uniform(-0.06, 0.2), rng.uniform(0.8, 1.06)]))
            if side < 0.75
            else rng.uniform(0, w)
        )
        y = root + rng.uniform(-4, 4) * FINE
        tall = ppm * rng.uniform(0.25, 0.6) * (0.55 if 0.22 * w < x < 0.78 * w else 1.0)
        tall = min(tall, 0.62 * h)
        kind = rng.random()
        if kind < biome.grass * 0.8:
            n = 60
            foliage.grass(
                layer,
                rng,
                x + rng.normal(0, 0.16 * tall + 4, n),
                y + rng.uniform(-2, 2, n),
                tall * rng.uniform(0.4, 1.1, n),
                _dry(leaf, biome.open),
            )
        elif kind < biome.grass * 0.8 + biome.ferns * 0.6:
            for lean in rng.permutation(np.linspace(-1.6, 1.6, 7)):
                foliage.frond(
                    layer, rng, (x, y), tall * rng.uniform(0.8, 1.2), lean + rng.normal(0, 0.1), leaf
                )
        else:
            n = int(rng.integers(26, 46))
            px, py = x + rng.normal(0, 0.28 * tall, n), y - tall * rng.uniform(0.1, 1, n)
            for sx, sy in zip(px[::3], py[::3], strict=True):
                stem = np.array([[x, y], [(x + sx) / 2 + rng.normal(0, 3), (y + sy) / 2], [sx, sy]])
                cv2.polylines(
                    layer.rgba,
                    [np.round(stem * 8).astype(np.int32)],
                    False,
                    (70, 62, 40, 255),
                    2,
                    cv2.LINE_AA,
                    3,
                )
            foliage.leaves(layer, rng, px, py, 0.24 * tall + 4, leaf, slim=rng.uniform(0.3, 0.6), veined=True)
    rows = np.arange(h)[:, None]
    layer.sway[:] = np.clip((root - rows) / (0.5 * ppm), 0, 1) ** 1.3 * (1.0 + depth * 0.035) * FINE
    if front:
        layer.rgba[:] = cv2.GaussianBlur(layer.rgba, (0, 0), 2.2)
    return layer, FOCAL * MOUNTED / depth


def _dapple(rng: np.random.Generator, size: tuple[int, int], openness: float) -> np.ndarray:
    """Patches of sun: few and small under trees, nearly everywhere in the open."""
    h, w = size
    spots = fbm(rng, (h * 3, w), 14, 3)
    spots = cv2.resize(spots, (w, h), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(1 / (1 + np.exp(-(spots * 2.2 - 1.4 + 3.0 * openness))), (0, 0), 1.5).astype(
        np.float32
    )
