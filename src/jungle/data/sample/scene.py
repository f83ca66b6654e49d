"""A camera's view: one fixed place of trunks, leaves and ground, seen by day and by infrared, moved by wind."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import cv2
import numpy as np

from jungle.data.sample import foliage
from jungle.data.sample.foliage import Colour, Layer, fbm
from jungle.data.sample.plan import HEIGHT, WIDTH

FOCAL = 260.0  # pixels: a lens of 63 degrees across
MOUNTED = 0.45  # metres above the ground: knee height, as is usual for forest animals
SKY = 50.0  # metres: what is farther takes no light from sun or lamp
FINE = 2  # scenes are painted at twice the size and averaged


@dataclass(frozen=True)
class Biome:
    """What grows where the camera hangs."""

    leaf: Colour
    soil: Colour
    soil2: Colour
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
    Biome((0.23, 0.31, 0.14), (0.3, 0.22, 0.14), (0.42, 0.32, 0.2), (0.46, 0.31, 0.17), (0.33, 0.28, 0.22),
          (0.82, 0.9, 0.8), (0.1, 0.17, 0.08), 0.15, (5, 9), 900, 0.1, 0.8),
    Biome((0.28, 0.36, 0.18), (0.44, 0.35, 0.23), (0.34, 0.36, 0.18), (0.5, 0.38, 0.22), (0.38, 0.33, 0.27),
          (0.86, 0.92, 0.88), (0.2, 0.29, 0.14), 0.35, (2, 6), 600, 0.45, 0.5),
    Biome((0.33, 0.36, 0.2), (0.46, 0.4, 0.29), (0.5, 0.45, 0.31), (0.58, 0.48, 0.28), (0.36, 0.31, 0.25),
          (0.78, 0.88, 0.96), (0.48, 0.47, 0.3), 0.85, (1, 4), 250, 1.0, 0.0),
    Biome((0.19, 0.28, 0.15), (0.24, 0.24, 0.13), (0.17, 0.25, 0.1), (0.34, 0.3, 0.14), (0.28, 0.26, 0.22),
          (0.74, 0.86, 0.78), (0.07, 0.14, 0.08), 0.08, (6, 11), 500, 0.25, 1.0),
)  # fmt: skip


@dataclass
class Plane:
    """A lit layer at the size of the frame, ready to be blown about."""

    rgb: np.ndarray
    """uint8 `[H, W, 3]`, by infrared `[H, W]`; times its cover where there is one."""
    cover: np.ndarray | None
    """uint8 `[H, W]`; None hides all that is behind."""
    sway: np.ndarray
    """float32 `[H, W]`, pixels."""


@dataclass
class Site:
    """A painted place, not yet lit."""

    horizon: float
    """Row of the horizon, pixels of the frame."""
    back: list[tuple[Layer, float]]
    """Layers with their distance in metres, far ones first."""
    plants: list[tuple[Layer, float]]
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
    leaf = tuple(float(c) for c in np.clip(np.array(biome.leaf) * rng.uniform(0.85, 1.2) + hue, 0.05, 0.9))
    back: list[tuple[Layer, float]] = [(_backdrop(rng, biome, size, horizon), 60.0)]
    for i, distance in enumerate((26.0, 17.0, 11.0)):
        layer = Layer.empty(size)
        layer.sway[:] = (0.5 + 0.35 * i) * FINE
        if biome.trunks[1] > 4 or i == 2:
            for _ in range(int(rng.integers(1, 3 + biome.trunks[1] // 2))):
                foliage.trunk(layer, rng, rng.uniform(0, w), horizon + 4 + 8 * i, rng.uniform(5, 10) * (1 + 0.7 * i), biome.bark, rng.normal(0, 0.08))
        masses = int((7 + 5 * (2 - i)) * (1.15 - biome.open * 0.55))
        for _ in range(masses):
            low = horizon * (0.98 if biome.open > 0.6 else rng.uniform(0.05, 1.0))
            at = (rng.uniform(-30, w + 30), low - rng.uniform(0, 14) * FINE)
            foliage.clump(layer, rng, at, (rng.uniform(20, 60), rng.uniform(10, 24) * (1 + 0.2 * i)), 90, 7.0 + 3.5 * i, leaf)
        back.append((layer, distance))
    earth = Layer.empty(size)
    ridge = horizon + 3 * fbm(rng, (1, w), 1, 2, stretch=0.003 * w)[0] + 4
    foliage.ground(earth, rng, ridge, biome.soil, biome.soil2, biome.litter_count, biome.litter)
    if biome.grass > 0:
        n = int(700 * biome.grass)
        y = horizon + 8 + np.sort(rng.uniform(0, 1, n) ** 1.3) * (h - horizon) * 0.75
        foliage.grass(earth, rng, rng.uniform(0, w, n), y, 4 + (y - horizon) * rng.uniform(0.1, 0.25, n), _dry(leaf, biome.open))
    back.append((earth, -1.0))
    for _ in range(int(rng.integers(*biome.trunks))):
        layer = Layer.empty(size)
        foot = horizon + rng.uniform(8, 34) * FINE
        foliage.trunk(layer, rng, rng.choice([rng.uniform(0, 0.34), rng.uniform(0.66, 1)]) * w, foot,
                      (foot - horizon) * rng.uniform(0.25, 0.7) + 6, biome.bark, rng.normal(0, 0.06))  # fmt: skip
        back.append((layer, FOCAL * MOUNTED * FINE / (foot - horizon)))
    back[6:] = sorted(back[6:], key=lambda item: -item[1])
    plants = [_plants(rng, biome, size, horizon, depth, leaf) for depth in (12, 38, 106)]
    for layer, _ in back + plants:
        layer.shrink(FINE)
    dapple = _dapple(rng, (HEIGHT, WIDTH), biome.open)
    angle = rng.uniform(-1.0, 1.0)
    sun = np.array([np.sin(angle) * 0.6, -0.75, 0.45])
    site = Site(horizon / FINE, back, plants, dapple, biome.sky, biome.open, tuple((sun / np.linalg.norm(sun)).tolist()))
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
    through = np.clip(leafy * 0.5 + (biome.open - 0.5) * 2.2 + (0.35 + 1.6 * max(biome.open - 0.5, 0)) * up, 0, 1)
    colour = np.array(biome.gloom) * (1 + 0.25 * leafy) * (1 - through) + sky * through
    layer.rgba[..., :3] = np.clip(colour, 0, 1) * 255
    layer.rgba[..., 3] = 255
    light = np.zeros((h, w), np.float32)
    for _ in range(int(110 * (1 - biome.open))):
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
        x = (w * rng.choice([rng.uniform(-0.06, 0.2), rng.uniform(0.8, 1.06)])) if side < 0.75 else rng.uniform(0, w)
        y = root + rng.uniform(-4, 4) * FINE
        tall = ppm * rng.uniform(0.25, 0.6) * (0.55 if 0.22 * w < x < 0.78 * w else 1.0)
        tall = min(tall, 0.62 * h)
        kind = rng.random()
        if kind < biome.grass * 0.8:
            n = 60
            foliage.grass(layer, rng, x + rng.normal(0, 0.16 * tall + 4, n), y + rng.uniform(-2, 2, n), tall * rng.uniform(0.4, 1.1, n), _dry(leaf, biome.open))
        elif kind < biome.grass * 0.8 + biome.ferns * 0.6:
            for lean in rng.permutation(np.linspace(-1.6, 1.6, 7)):
                foliage.frond(layer, rng, (x, y), tall * rng.uniform(0.8, 1.2), lean + rng.normal(0, 0.1), leaf)
        else:
            n = int(rng.integers(26, 46))
            px, py = x + rng.normal(0, 0.28 * tall, n), y - tall * rng.uniform(0.1, 1, n)
            for sx, sy in zip(px[::3], py[::3], strict=True):
                stem = np.array([[x, y], [(x + sx) / 2 + rng.normal(0, 3), (y + sy) / 2], [sx, sy]])
                cv2.polylines(layer.rgba, [np.round(stem * 8).astype(np.int32)], False, (70, 62, 40, 255), 2, cv2.LINE_AA, 3)
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
    return cv2.GaussianBlur(1 / (1 + np.exp(-(spots * 2.2 - 1.4 + 3.0 * openness))), (0, 0), 1.5).astype(np.float32)


@dataclass(frozen=True)
class Hour:
    """The light of one clip."""

    infrared: bool
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    fog: tuple[float, float, float]
    thick: float
    """Metres of haze that hide two thirds."""


def light_of(time: dt.datetime, night: bool, site: Site, rng: np.random.Generator) -> Hour:
    """The light at a time of day: warm and low at both ends, or the camera's own infrared lamp."""
    if night:
        power = float(rng.uniform(0.75, 1.25))
        return Hour(True, (power,) * 3, (0.0,) * 3, (0.03,) * 3, 60.0)
    hour = time.hour + time.minute / 60
    low = min(abs(hour - 12.5) / 6, 1) ** 2
    cloudy = float(rng.uniform(0, 1)) ** 2
    exposure = float(rng.uniform(1.05, 1.4)) * (1 - 0.12 * low) * (1.12 - 0.3 * site.openness)
    sun = np.array([1.0, 0.92 - 0.14 * low, 0.78 - 0.36 * low]) * (1.15 - 0.95 * cloudy) * exposure
    sky = np.array([0.62, 0.68, 0.7]) * (0.95 + 0.35 * cloudy) * exposure * np.array([1, 1, 1 + 0.15 * low])
    fog = np.array(site.sky) * (0.55 + 0.2 * cloudy)
    return Hour(False, tuple(sun.tolist()), tuple(sky.tolist()), tuple(fog.tolist()), float(rng.uniform(35, 90)))


def lamp(distance: np.ndarray | float, power: float) -> np.ndarray:
    """How brightly the infrared lamp lights what stands `distance` metres away."""
    return np.minimum(power * 0.98 / (1 + (np.asarray(distance) / 6.5) ** 1.9), 0.85)


def lit(site: Site, layers: list[tuple[Layer, float]], hour: Hour, opaque: bool) -> Plane:
    """Light layers and lay them over each other."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    spot = np.exp(-(((x / WIDTH - 0.5) / 0.62) ** 2 + ((y / HEIGHT - 0.55) / 0.75) ** 2))[..., None] * 0.7 + 0.3
    sun = site.dapple[..., None] * np.array(hour.sun, np.float32) * 1.25 + np.array(hour.sky, np.float32)
    out = np.zeros((HEIGHT, WIDTH, 1 if hour.infrared else 3), np.float32)
    cover = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    sway = np.zeros((HEIGHT, WIDTH), np.float32)
    fog = np.array(hour.fog, np.float32)
    for layer, distance in layers:
        rgb = layer.rgba[..., :3].astype(np.float32) / 255  # times its cover, as it was painted on nothing
        alpha = layer.rgba[..., 3:].astype(np.float32) / 255
        away = site.distance(y[:, :1])[..., None] if distance < 0 else np.float32(distance)
        if distance >= SKY:
            colour = np.full_like(alpha, 0.03) if hour.infrared else rgb * (0.55 + 0.5 * np.array(hour.sky, np.float32))
        elif hour.infrared:
            # Leaves throw back infrared far better than bark and earth do.
            grey = rgb @ np.array((0.4, 1.1, 0.1), np.float32)
            colour = (grey[..., None] * 1.15 + 0.03 * alpha) * (lamp(away, hour.sun[0]) * spot)
        else:
            haze = 1 - np.exp(-away / hour.thick)
            colour = rgb * sun
            colour += haze * (fog * alpha - colour)
        out *= 1 - alpha
        out += colour
        cover += alpha * (1 - cover)
        sway += alpha[..., 0] * (layer.sway - sway)
    rgb = np.round(np.clip(out, 0, 1) * 255).astype(np.uint8)
    thin = None if opaque else np.round(cover[..., 0] * 255).astype(np.uint8)
    return Plane(rgb[..., 0] if hour.infrared else rgb, thin, cv2.GaussianBlur(sway, (0, 0), 1.2))
