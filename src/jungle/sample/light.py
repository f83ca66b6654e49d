"""The light of a clip, by day or from the camera's infrared lamp, and a site's layers lit by it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import cv2
import numpy as np

from jungle.sample.foliage import Colour, Layer, pick_colour
from jungle.sample.plan import HEIGHT, WIDTH
from jungle.sample.scene import Site

SKY = 50.0  # metres: what is farther takes no light from sun or lamp


@dataclass(frozen=True, slots=True)
class Plane:
    """A lit layer at the size of the frame, ready for the wind."""

    rgb: np.ndarray
    """uint8 `[H, W, 3]`, by infrared `[H, W]`; times its cover where there is one."""
    cover: np.ndarray | None
    """uint8 `[H, W]`; None hides all behind it."""
    sway: np.ndarray
    """float32 `[H, W]`, pixels."""


@dataclass(frozen=True, slots=True)
class Hour:
    """The light of one clip."""

    infrared: bool
    sun: Colour
    sky: Colour
    fog: Colour
    thick: float
    """Metres of haze that hide two thirds."""


def make_light(time: dt.datetime, night: bool, site: Site, rng: np.random.Generator) -> Hour:
    """Draw the light at a time of day: warm and low at both ends, or the camera's own infrared lamp."""
    if night:
        power = float(rng.uniform(0.75, 1.25))
        return Hour(True, (power, power, power), (0.0, 0.0, 0.0), (0.03, 0.03, 0.03), 60.0)
    low = min(abs(time.hour + time.minute / 60 - 12.5) / 6, 1) ** 2
    cloudy = float(rng.uniform(0, 1)) ** 2
    exposure = float(rng.uniform(1.05, 1.4)) * (1 - 0.12 * low) * (1.12 - 0.3 * site.openness)
    sun = np.array([1.0, 0.92 - 0.14 * low, 0.78 - 0.36 * low]) * (1.15 - 0.95 * cloudy) * exposure
    sky = np.array([0.62, 0.68, 0.7]) * (0.95 + 0.35 * cloudy) * exposure * np.array([1, 1, 1 + 0.15 * low])
    fog = np.array(site.sky) * (0.55 + 0.2 * cloudy)
    return Hour(False, pick_colour(sun), pick_colour(sky), pick_colour(fog), float(rng.uniform(35, 90)))


def light_from_lamp(distance: np.ndarray | float, power: float) -> np.ndarray:
    """Return how brightly the infrared lamp lights what stands `distance` metres away."""
    return np.minimum(power * 0.98 / (1 + (np.asarray(distance) / 6.5) ** 1.9), 0.85)


def light_layers(site: Site, layers: list[tuple[Layer, float]], hour: Hour, opaque: bool) -> Plane:
    """Light layers, each with its distance in metres, and lay them over each other, far ones first."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    spot = (
        np.exp(-(((x / WIDTH - 0.5) / 0.62) ** 2 + ((y / HEIGHT - 0.55) / 0.75) ** 2))[..., None] * 0.7 + 0.3
    )
    sky, fog = np.array(hour.sky, np.float32), np.array(hour.fog, np.float32)
    sun = site.dapple[..., None] * np.array(hour.sun, np.float32) * 1.25 + sky
    out = np.zeros((HEIGHT, WIDTH, 1 if hour.infrared else 3), np.float32)
    cover = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    sway = np.zeros((HEIGHT, WIDTH), np.float32)
    for layer, distance in layers:
        rgb = layer.rgba[..., :3].astype(np.float32) / 255  # times its cover, as it was painted on nothing
        alpha = layer.rgba[..., 3:].astype(np.float32) / 255
        away = site.distance(y[:, :1])[..., None] if distance < 0 else np.array(distance, np.float32)
        if distance >= SKY:
            colour = np.full_like(alpha, 0.03) if hour.infrared else rgb * (0.55 + 0.5 * sky)
        elif hour.infrared:
            # Leaves throw back infrared far better than bark and earth do.
            grey = rgb @ np.array((0.4, 1.1, 0.1), np.float32)
            colour = (grey[..., None] * 1.15 + 0.03 * alpha) * (light_from_lamp(away, hour.sun[0]) * spot)
        else:
            colour = rgb * sun
            colour += (1 - np.exp(-away / hour.thick)) * (fog * alpha - colour)
        out *= 1 - alpha
        out += colour
        cover += alpha * (1 - cover)
        sway += alpha[..., 0] * (layer.sway - sway)
    rgb = np.round(np.clip(out, 0, 1) * 255).astype(np.uint8)
    thin = None if opaque else np.round(cover[..., 0] * 255).astype(np.uint8)
    return Plane(rgb[..., 0] if hour.infrared else rgb, thin, cv2.GaussianBlur(sway, (0, 0), 1.2))
