"""What an animal does in a clip: where it enters, how it walks, when it stops to graze, sniff or look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jungle.sample.anatomy import Moment
from jungle.sample.animal import Animal
from jungle.sample.plan import WIDTH
from jungle.sample.scene import FOCAL, MOUNTED

# Height of the animal in the frame, pixels: farthest and nearest. Small species are seen when near.
SEEN = {
    "elephant": (52, 122),
    "leopard": (30, 72),
    "duiker": (34, 98),
    "porcupine": (32, 84),
    "human": (56, 102),
    "chimpanzee": (38, 98),
    "bird": (34, 94),
}


@dataclass(frozen=True)
class Track:
    """An animal's way through a clip; arrays `[T]`, one value a frame."""

    x: np.ndarray
    """Column under the body, pixels."""
    y: np.ndarray
    """Row of the feet, pixels."""
    ppm: np.ndarray
    """Pixels per metre there."""
    yaw: float
    moments: list[Moment]


def walk(
    animal: Animal, horizon: float, times: np.ndarray, rng: np.random.Generator, second: bool = False
) -> Track:
    """Plan a way: across, or in and stay, or there from the start.

    Args:
        animal: who walks.
        horizon: row of the horizon.
        times: `[T]` seconds of the frames.
        rng: decides.
        second: this one only accompanies another animal, and stays in view.
    """
    kind = "stay" if second else str(rng.choice(["cross", "enter", "stay"], p=[0.45, 0.35, 0.2]))
    low, high = SEEN[animal.species]
    ppm = rng.uniform(low, high) / animal.height
    if second:
        ppm = 62 / animal.height
    toward = rng.uniform(-0.5, 0.5)
    yaw = toward if rng.random() < 0.5 else np.pi - toward
    pace = float(animal.speed * rng.uniform(0.85, 1.2))
    span = float(times[-1]) + 1e-6
    walking = _walking(kind, times, span, rng)
    step = np.diff(times, prepend=times[0]) * pace * walking
    gone = np.cumsum(step)
    depth = FOCAL / ppm + gone * np.sin(yaw)
    # Where the body is in the middle of its way decides its size, so that it neither looms nor dwindles.
    depth = np.maximum(depth - (depth[len(depth) // 2] - FOCAL / ppm), 0.75)
    size = FOCAL / depth
    across = gone * np.cos(yaw)
    if kind == "cross":
        centre = np.interp(rng.uniform(0.3, 0.62) * span, times, across)
        goal = WIDTH * rng.uniform(0.35, 0.65)
    else:
        still = across[int(np.argmin(walking))] if kind == "enter" else across[len(across) // 3]
        centre, goal = still, WIDTH * (rng.choice([0.25, 0.75]) if second else rng.uniform(0.3, 0.7))
    x = goal + (across - centre) * size
    phase = gone / animal.stride + rng.random()
    rest = 1 - walking
    nosing = 0.5 - 0.5 * np.cos(np.clip((np.cumsum(rest) / max(rest.sum(), 1e-6)) * 2.2, 0, 1) * np.pi)
    wants = float(rng.random() < 0.6)
    looks = rng.uniform(-0.9, 0.9) if rng.random() < 0.6 else 0.0
    start = rng.uniform(0, 20)
    moments = [
        Moment(
            phase=float(p),
            walking=float(g),
            time=float(start + t),
            lowered=float(wants * n * (1 - g)),
            turned=float(looks * np.sin(0.9 * t + start) * (1 - 0.6 * g)),
        )
        for p, g, t, n in zip(phase, walking, times, nosing, strict=True)
    ]
    return Track(x, horizon + MOUNTED * size, size, float(yaw), moments)


def _walking(kind: str, times: np.ndarray, span: float, rng: np.random.Generator) -> np.ndarray:
    """How much of its pace the animal goes at each time, 0..1."""
    if kind == "cross":
        return np.ones_like(times)
    if kind == "enter":
        stop = rng.uniform(0.3, 0.5) * span
        return np.clip((stop - times) / 0.5 + 0.5, 0, 1)
    leaves = rng.uniform(0.55, 1.1) * span
    return np.clip((times - leaves) / 0.5, 0, 1)
