"""The way of an animal through a clip: where it enters, how it walks, when it stops to graze or look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jungle.sample.anatomy import Animal, Moment
from jungle.sample.plan import WIDTH
from jungle.sample.scene import FOCAL, MOUNTED


@dataclass(frozen=True, slots=True)
class Track:
    """An animal's way through a clip; arrays `[T]`, one value a frame."""

    x: np.ndarray
    """Column below the body, pixels."""
    y: np.ndarray
    """Row of the feet, pixels."""
    ppm: np.ndarray
    """Pixels per metre there."""
    yaw: float
    moments: list[Moment]


def plan_walk(
    animal: Animal, horizon: float, times: np.ndarray, rng: np.random.Generator, second: bool = False
) -> Track:
    """Plan a way: across the picture, in and stay, or there from the start.

    Args:
        animal: who walks.
        horizon: row of the horizon.
        times: `[T]` seconds of the frames.
        rng: decides.
        second: it only accompanies another animal, and stays in view.
    """
    species = animal.species
    kind = "stay" if second else str(rng.choice(["cross", "enter", "stay"], p=[0.45, 0.35, 0.2]))
    ppm = (62 if second else rng.uniform(*species.seen)) / (species.height * animal.scale)
    yaw = float(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.5:
        yaw = np.pi - yaw
    span = float(times[-1]) + 1e-6
    walking = np.ones_like(times)  # 1 walks at its full pace
    if kind == "enter":
        walking = np.clip((rng.uniform(0.3, 0.5) * span - times) / 0.5 + 0.5, 0, 1)
    elif kind == "stay":
        walking = np.clip((times - rng.uniform(0.55, 1.1) * span) / 0.5, 0, 1)
    pace = species.speed * animal.scale * rng.uniform(0.85, 1.2)
    gone = np.cumsum(np.diff(times, prepend=times[0]) * pace * walking)
    depth = FOCAL / ppm + gone * np.sin(yaw)
    # The depth in the middle of its way decides its size, so that it neither looms nor dwindles.
    size = FOCAL / np.maximum(depth - (depth[len(depth) // 2] - FOCAL / ppm), 0.75)
    across = gone * np.cos(yaw)
    if kind == "cross":
        centre = np.interp(rng.uniform(0.3, 0.62) * span, times, across)
        goal = rng.uniform(0.35, 0.65)
    else:
        centre = across[int(np.argmin(walking)) if kind == "enter" else len(across) // 3]
        goal = rng.choice([0.25, 0.75]) if second else rng.uniform(0.3, 0.7)
    phase = gone / (species.stride * animal.scale) + rng.random()
    rest = np.cumsum(1 - walking)
    nosing = 0.5 - 0.5 * np.cos(np.clip(2.2 * rest / max(rest[-1], 1e-6), 0, 1) * np.pi)
    lowered = float(rng.random() < 0.6) * nosing * (1 - walking)
    time = times + rng.uniform(0, 20)
    looks = rng.uniform(-0.9, 0.9) if rng.random() < 0.6 else 0.0
    turned = looks * np.sin(0.9 * time) * (1 - 0.6 * walking)
    moments = [Moment(*row) for row in np.stack([phase, walking, time, lowered, turned], 1).tolist()]
    return Track(WIDTH * goal + (across - centre) * size, horizon + MOUNTED * size, size, yaw, moments)
