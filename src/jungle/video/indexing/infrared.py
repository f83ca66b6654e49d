"""Detect whether a clip was filmed by daylight or infrared light, from thumbnails of a few frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Levels by which colours differ from a tint that depends on brightness alone. Infrared clips stay below 1,
# also from tinted sensors; daylight clips begin at 2.5.
COLOURLESS = 1.6


@dataclass(frozen=True)
class Light:
    """Lighting of a clip."""

    brightness: float
    """Mean level, 0 to 1."""
    saturation: float
    """Mean of HSV's saturation, 0 to 1."""
    infrared: bool
    """Grey, or of one tint: filmed by infrared light, or in the dark."""


def measure_light(frames: np.ndarray) -> Light:
    """Measure uint8 `[T, H, W, 3]` RGB thumbnails."""
    pixels = frames.reshape(-1, 3).astype(np.float64)
    grey, most, least = pixels.mean(axis=1), pixels.max(axis=1), pixels.min(axis=1)
    left = [_compute_residuals(pixels[:, c] - pixels[:, 1], grey) for c in (0, 2)]
    # The median ignores a coloured logo in the info bar.
    colour = float(np.median(np.maximum(*left)))
    return Light(
        brightness=round(float(grey.mean()) / 255, 4),
        saturation=round(float(((most - least) / np.maximum(most, 1)).mean()), 4),
        infrared=colour < COLOURLESS,
    )


def _compute_residuals(colour: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return the residuals of a linear fit of colour to brightness, by which infrared sensors tint."""
    away = np.zeros_like(grey)
    for _ in range(3):
        # Fitted to the better half: a coloured logo must not affect the line.
        near = away <= np.median(away)
        spread = grey[near] - grey[near].mean()
        slope = float(spread @ colour[near]) / max(float(spread @ spread), 1e-9)
        away = np.abs(colour - colour[near].mean() - slope * (grey - grey[near].mean()))
    return away
