"""A clip, frame by frame: the site in the wind, the animals between its plants, seen through the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import cv2
import numpy as np

from jungle.sample import coats
from jungle.sample.action import Track, walk
from jungle.sample.animal import Animal
from jungle.sample.body import place_parts, surface
from jungle.sample.camera import Camera
from jungle.sample.foliage import pick_colour
from jungle.sample.light import Hour, Plane, lamp, light_layers, make_light
from jungle.sample.plan import HEIGHT, WIDTH, Shot
from jungle.sample.quills import bristle
from jungle.sample.scene import FOCAL, MOUNTED, Site, paint_site
from jungle.sample.shading import Light, shade
from jungle.sample.species import SPECIES

HELD = 2  # by infrared the exposure is long: each picture is written this many times


@lru_cache(maxsize=2)
def _site(index: int, seed: int) -> Site:
    return paint_site(index, seed)


@lru_cache(maxsize=1)
def _ragged() -> np.ndarray:
    return np.clip(coats.noise(np.random.default_rng(7), (256, 200), 512), -2, 2) / 2


def cast(shot: Shot, seed: int) -> list[tuple[Animal, Track]]:
    """The animals of a clip and their ways, the main one first."""
    rng = np.random.default_rng([seed, 4, shot.index])
    horizon = _site(shot.site, seed).horizon
    times = np.arange(shot.frames) / shot.fps
    actors: list[tuple[Animal, Track]] = []
    for name in sorted((n for n in shot.labels if n != "blank"), key=lambda n: n == "bird"):
        animal = SPECIES[name](rng)
        actors.append((animal, walk(animal, horizon, times, rng, second=bool(actors))))
    return actors


def frames(shot: Shot, seed: int) -> Iterator[np.ndarray]:
    """The frames of a clip, uint8 `[H, W, 3]` RGB: the same shot and seed give the same, whoever draws.

    A frame that a camera writes again is the array before, so that it need not be converted twice.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 2, shot.index])
    site = _site(shot.site, seed)
    hour = make_light(shot.time, shot.night, site, rng)
    times = np.arange(shot.frames) / shot.fps
    actors = cast(shot, seed)
    feet = min((float(track.y.mean()) for _, track in actors), default=120.0)
    behind = [item for item in site.standing if FOCAL * MOUNTED / item[1] + site.horizon <= feet]
    before = site.standing[len(behind) :]
    back = light_layers(site, site.back + behind, hour, opaque=True)
    front = light_layers(site, before, hour, opaque=False)
    wind = Wind(site, rng)
    blow_back, blow_front = wind.over(back), wind.over(front)
    frame = shown = np.zeros(0, np.uint8)
    camera = Camera(shot, rng, bar_white=shot.site % 3 == 0)
    for i, seconds in enumerate(times):
        if shot.night and i % HELD:
            if int(seconds) != int(times[i - 1]):  # the bar's clock has moved; else it is the very same array
                shown = camera.burn(frame, float(seconds))
            yield shown
            continue
        picture = blow_back(seconds)[0]
        for animal, track in actors:
            _draw(picture, animal, track, i, site, hour, shot)
        if before:
            leaves, cover = blow_front(seconds)
            clear = cv2.bitwise_not(cover if shot.night else cv2.merge([cover, cover, cover]))
            picture = cv2.add(cv2.multiply(picture, clear, scale=1 / 255), leaves)
        frame = camera.expose(picture, float(seconds))
        shown = camera.burn(frame, float(seconds))
        yield shown


class Wind:
    """Gusts over the leaves: each pixel swings by its layer's sway, out of step with its neighbours."""

    def __init__(self, site: Site, rng: np.random.Generator) -> None:
        self._phases = site.phases
        self._force = float(rng.uniform(0.6, 1.4))
        self._rate = float(rng.uniform(0.8, 1.3))
        self._start = float(rng.uniform(0, 60))

    def over(self, plane: Plane) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
        """What blows a plane: from seconds to its colours then and its cover."""
        slow, quick = self._phases
        moves = plane.sway > 0.05
        if plane.cover is not None:
            moves &= cv2.dilate(plane.cover, np.ones((13, 13), np.uint8)) > 0
        rows, cols = np.flatnonzero(moves.any(1)), np.flatnonzero(moves.any(0))
        if not rows.size:
            return lambda seconds: (
                plane.rgb.copy(),
                plane.cover if plane.cover is not None else plane.rgb[:0],
            )
        box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        y, x = np.mgrid[box].astype(np.float32)
        sway, slow, quick = plane.sway[box], slow[box], quick[box]
        # sin(phase + t) as a sum of fixed fields, so that a frame costs one product of matrices.
        waves = [sway * f for f in (np.sin(slow), np.cos(slow), 0.6 * np.sin(quick), 0.6 * np.cos(quick))]
        fields = np.stack([*waves, 0.5 * sway]).reshape(5, -1)

        def blow(seconds: float) -> tuple[np.ndarray, np.ndarray]:
            t = self._start + seconds * self._rate
            gust = self._force * (0.75 + 0.35 * np.sin(0.9 * t) + 0.2 * np.sin(2.3 * t + 1))
            share = gust * np.array([np.cos(3.4 * t), np.sin(3.4 * t), np.cos(7.3 * t), np.sin(7.3 * t), 1.0])
            swing = (share.astype(np.float32) @ fields).reshape(y.shape)
            mx = x + swing
            swing *= np.float32(0.3)
            swing += y
            planes = [plane.rgb] if plane.cover is None else [plane.rgb, plane.cover]
            blown = []
            for still in planes:
                moved = still.copy()
                moved[box] = cv2.remap(still, mx, swing, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                blown.append(moved)
            return blown[0], blown[-1]

        return blow


def _draw(
    picture: np.ndarray, animal: Animal, track: Track, i: int, site: Site, hour: Hour, shot: Shot
) -> None:
    """Draw one animal with its shadow into a picture, in place."""
    ppm, x, y = float(track.ppm[i]), float(track.x[i]), float(track.y[i])
    reach = animal.length * ppm + 10
    if x < -reach or x > WIDTH + reach:
        return
    joints = place_parts(animal.pose(track.moments[i]), track.yaw, ppm, (x, y))
    margin = 0.36 if animal.quills else 0.0
    seen = surface(animal.parts, joints, ppm, (WIDTH, HEIGHT), _ragged(), margin)
    if seen is None:
        return
    h, w = seen.alpha.shape
    box = (slice(seen.y, seen.y + h), slice(seen.x, seen.x + w))
    if hour.infrared:
        power = float(lamp(FOCAL / ppm, hour.sun[0]))
        light = Light((0.0, 0.0, 1.0), (power, power, power), (0.0, 0.0, 0.0), infrared=True)
    else:
        shadowed = 0.35 + 0.65 * float(site.dapple[min(int(y), HEIGHT - 1), min(max(int(x), 0), WIDTH - 1)])
        sun = pick_colour(1.15 * shadowed * c for c in hour.sun)
        light = Light(site.sun, sun, hour.sky)
    colour = shade(seen, animal.parts, animal.materials, animal.coat, ppm, light)
    if animal.quills:
        bristle(seen, colour, animal.quills, joints, track.yaw, ppm, light)
    if not hour.infrared:
        haze = 1 - np.exp(-FOCAL / ppm / hour.thick)
        colour += haze * (np.array(hour.fog, np.float32) - colour)
    _shadow(picture, seen.alpha, seen.x, y, ppm, 0.3 if hour.infrared else 0.6)
    speed = abs(float(np.gradient(track.x)[i]))
    blur = round(speed * (0.35 if shot.night else 0.2))
    alpha = seen.alpha if hour.infrared else seen.alpha[..., None]
    colour = np.minimum(colour[..., 0] if hour.infrared else colour, 1) * (alpha * 255)
    if blur >= 2:
        colour, alpha = cv2.blur(colour, (blur, 1)), cv2.blur(seen.alpha, (blur, 1))
        alpha = alpha if hour.infrared else alpha[..., None]
    picture[box] = picture[box] * (1 - alpha) + colour


def _shadow(
    picture: np.ndarray, alpha: np.ndarray, left: int, foot: float, ppm: float, strength: float
) -> None:
    """Darken the ground under a body: its outline, pressed flat and blurred."""
    tall = max(int(0.22 * alpha.shape[0]), 3)
    flat = cv2.resize(alpha, (alpha.shape[1], tall), interpolation=cv2.INTER_AREA)
    pad = max(int(0.05 * ppm), 3)
    flat = cv2.GaussianBlur(
        cv2.copyMakeBorder(flat, pad, pad, pad, pad, cv2.BORDER_CONSTANT), (0, 0), pad * 0.5
    )
    top, left = int(foot - tall * 0.62) - pad, left - pad
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + flat.shape[0], HEIGHT), min(left + flat.shape[1], WIDTH)
    if y1 <= y0 or x1 <= x0:
        return
    part = flat[y0 - top : y1 - top, x0 - left : x1 - left]
    part = part if picture.ndim == 2 else part[..., None]
    picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - strength * part)
