"""A clip, frame by frame: the site in the wind, the animals between its plants, seen through the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import cv2
import numpy as np

from jungle.sample import coats
from jungle.sample.anatomy import Animal
from jungle.sample.body import Light, draw_body
from jungle.sample.camera import Camera
from jungle.sample.foliage import pick_colour
from jungle.sample.light import Hour, Plane, light_from_lamp, light_layers, make_light
from jungle.sample.plan import HEIGHT, WIDTH, Shot
from jungle.sample.scene import FOCAL, MOUNTED, Site, paint_site
from jungle.sample.species import draw_animal
from jungle.sample.walk import Track, plan_walk

HELD = 2  # by infrared the exposure is long: each picture is written this many times


@lru_cache(maxsize=2)
def _site(index: int, seed: int) -> Site:
    return paint_site(index, seed)


@lru_cache(maxsize=1)
def _ragged() -> np.ndarray:
    return np.clip(coats.noise(np.random.default_rng(7), (256, 200), 512), -2, 2) / 2


def cast(shot: Shot, seed: int) -> list[tuple[Animal, Track]]:
    """Draw the animals of a clip and their ways, the main one first."""
    rng = np.random.default_rng([seed, 4, shot.index])
    horizon = _site(shot.site, seed).horizon
    times = np.arange(shot.frames) / shot.fps
    actors: list[tuple[Animal, Track]] = []
    for name in sorted((n for n in shot.labels if n != "blank"), key=lambda n: n == "bird"):
        animal = draw_animal(name, rng)
        actors.append((animal, plan_walk(animal, horizon, times, rng, second=bool(actors))))
    return actors


def frames(shot: Shot, seed: int) -> Iterator[np.ndarray]:
    """Yield the frames of a clip, uint8 `[H, W, 3]` RGB: the same for the same shot and seed, on any machine.

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
    wind = Wind(site, rng)
    blow_back = wind.over(light_layers(site, site.back + behind, hour, opaque=True))
    blow_front = wind.over(light_layers(site, before, hour, opaque=False))
    frame = shown = np.zeros(0, np.uint8)
    camera = Camera(shot, rng, bar_white=shot.site % 3 == 0)
    for i, seconds in enumerate(times.tolist()):
        if not (shot.night and i % HELD):
            picture = blow_back(seconds)[0]
            for animal, track in actors:
                _draw(picture, animal, track, i, site=site, hour=hour)
            if before:
                leaves, cover = blow_front(seconds)
                clear = cv2.bitwise_not(cover if shot.night else cv2.merge([cover, cover, cover]))
                picture = cv2.add(cv2.multiply(picture, clear, scale=1 / 255), leaves)
            frame = camera.expose(picture, seconds)
            shown = camera.burn(frame, seconds)
        elif int(seconds) != int(times[i - 1]):  # the bar's clock has moved; else it is the very same array
            shown = camera.burn(frame, seconds)
        yield shown


class Wind:
    """Gusts over the leaves: each pixel swings by its layer's sway, out of step with its neighbours."""

    def __init__(self, site: Site, rng: np.random.Generator) -> None:
        self._phases = site.phases
        self._force, self._rate, self._start = rng.uniform((0.6, 0.8, 0), (1.4, 1.3, 60)).tolist()

    def over(self, plane: Plane) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
        """Return a function from seconds to a plane's colours then and its cover."""
        planes = [plane.rgb] if plane.cover is None else [plane.rgb, plane.cover]
        moves = plane.sway > 0.05
        if plane.cover is not None:
            moves &= cv2.dilate(plane.cover, np.ones((13, 13), np.uint8)) > 0
        rows, cols = np.flatnonzero(moves.any(1)), np.flatnonzero(moves.any(0))
        if not rows.size:
            return lambda seconds: (plane.rgb.copy(), planes[-1])
        box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        y, x = np.mgrid[box].astype(np.float32)
        sway, slow, quick = (field[box] for field in (plane.sway, *self._phases))
        # sin(phase + t) as a sum of fixed fields, so that a frame costs one product of matrices.
        waves = [sway * f for f in (np.sin(slow), np.cos(slow), 0.6 * np.sin(quick), 0.6 * np.cos(quick))]
        fields = np.stack([*waves, 0.5 * sway]).reshape(5, -1)

        def blow(seconds: float) -> tuple[np.ndarray, np.ndarray]:
            t = self._start + seconds * self._rate
            gust = self._force * (0.75 + 0.35 * np.sin(0.9 * t) + 0.2 * np.sin(2.3 * t + 1))
            share = gust * np.array([np.cos(3.4 * t), np.sin(3.4 * t), np.cos(7.3 * t), np.sin(7.3 * t), 1.0])
            swing = (share.astype(np.float32) @ fields).reshape(y.shape)
            mx, my = x + swing, y + swing * np.float32(0.3)
            blown = [still.copy() for still in planes]
            for moved, still in zip(blown, planes, strict=True):
                moved[box] = cv2.remap(still, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            return blown[0], blown[-1]

        return blow


def _draw(picture: np.ndarray, animal: Animal, track: Track, i: int, *, site: Site, hour: Hour) -> None:
    """Draw one animal with its shadow into a picture, in place."""
    ppm, x, y = float(track.ppm[i]), float(track.x[i]), float(track.y[i])
    reach = animal.species.length * animal.scale * ppm + 10
    if not -reach <= x <= WIDTH + reach:
        return
    if hour.infrared:
        power = float(light_from_lamp(FOCAL / ppm, hour.sun[0]))
        light = Light((0.0, 0.0, 1.0), (power, power, power), (0.0, 0.0, 0.0), infrared=True)
    else:
        shadowed = 0.35 + 0.65 * float(site.dapple[min(int(y), HEIGHT - 1), min(max(int(x), 0), WIDTH - 1)])
        light = Light(site.sun, pick_colour(1.15 * shadowed * c for c in hour.sun), hour.sky, infrared=False)
    drawn = draw_body(
        animal, animal.pose(track.moments[i]), track.yaw, ppm,
        at=(x, y), frame=(WIDTH, HEIGHT), light=light, ragged=_ragged(),
    )  # fmt: skip
    if drawn is None:
        return
    seen, colour = drawn
    h, w = seen.alpha.shape
    if not hour.infrared:
        haze = 1 - np.exp(-FOCAL / ppm / hour.thick)
        colour += haze * (np.array(hour.fog, np.float32) - colour)
    _draw_shadow(picture, seen.alpha, seen.x, y, ppm=ppm, strength=0.3 if hour.infrared else 0.6)
    alpha = seen.alpha if hour.infrared else seen.alpha[..., None]
    colour = np.minimum(colour[..., 0] if hour.infrared else colour, 1) * (alpha * 255)
    blur = round(abs(float(np.gradient(track.x)[i])) * (0.35 if hour.infrared else 0.2))
    if blur >= 2:
        colour, alpha = cv2.blur(colour, (blur, 1)), cv2.blur(seen.alpha, (blur, 1)).reshape(alpha.shape)
    box = (slice(seen.y, seen.y + h), slice(seen.x, seen.x + w))
    picture[box] = picture[box] * (1 - alpha) + colour


def _draw_shadow(
    picture: np.ndarray, alpha: np.ndarray, left: int, foot: float, *, ppm: float, strength: float
) -> None:
    """Darken the ground below a body: its outline, pressed flat and blurred."""
    tall = max(int(0.22 * alpha.shape[0]), 3)
    pad = max(int(0.05 * ppm), 3)
    flat = cv2.resize(alpha, (alpha.shape[1], tall), interpolation=cv2.INTER_AREA)
    flat = cv2.copyMakeBorder(flat, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    flat = cv2.GaussianBlur(flat, (0, 0), pad * 0.5)
    top, left = int(foot - tall * 0.62) - pad, left - pad
    y0, x0 = max(top, 0), max(left, 0)
    part = (
        flat[y0 - top : HEIGHT - top, x0 - left : WIDTH - left] if top < HEIGHT and left < WIDTH else flat[:0]
    )
    if part.size:
        box = (slice(y0, y0 + part.shape[0]), slice(x0, x0 + part.shape[1]))
        picture[box] = picture[box] * (1 - strength * (part if picture.ndim == 2 else part[..., None]))
