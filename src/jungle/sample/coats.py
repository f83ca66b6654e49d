"""Coats: one square metre of markings and grain for each species, seamless at its edges."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

SIZE = 256  # texels of a metre


def noise(rng: np.random.Generator, cells: tuple[int, int], size: int = SIZE) -> np.ndarray:
    """Draw smooth seamless noise of mean 0 and deviation 1: `cells` bumps down and across."""
    grid = cv2.copyMakeBorder(rng.standard_normal(cells).astype(np.float32), 2, 2, 2, 2, cv2.BORDER_WRAP)
    down, across = size / cells[0], size / cells[1]
    shape = round((cells[1] + 4) * across), round((cells[0] + 4) * down)
    grown = cv2.resize(grid, shape, interpolation=cv2.INTER_CUBIC)
    field = grown[round(2 * down) :, round(2 * across) :][:size, :size]
    return (field - field.mean()) / (field.std() + 1e-6)


def hair(rng: np.random.Generator, length: int = 4) -> np.ndarray:
    """Draw hairs that lie along the body, -1..1."""
    return np.clip((noise(rng, (128, 128 // length)) * 0.7 + noise(rng, (32, 16)) * 0.5) / 2, -1, 1)


def wrinkles(rng: np.random.Generator) -> np.ndarray:
    """Draw the skin of an elephant, -1..1."""
    folds = -np.abs(noise(rng, (20, 44))) - 0.7 * np.abs(noise(rng, (44, 24))) + 1.2
    return np.clip(folds * 0.8 + noise(rng, (6, 6)) * 0.25, -1, 1)


def coat(grain: np.ndarray, marks: np.ndarray | None = None) -> np.ndarray:
    """Stack markings and grain to a coat, float32 `[SIZE, SIZE, 2]`."""
    marks = np.zeros_like(grain) if marks is None else marks
    return np.ascontiguousarray(np.stack([marks, grain], axis=2).astype(np.float32))


def rosettes(rng: np.random.Generator) -> np.ndarray:
    """Draw a leopard's broken dark rings, 0..1."""

    def ring(canvas: np.ndarray, x: int, y: int, chance: np.ndarray) -> None:
        size = 8 * (4.0 + 1.6 * chance[0])
        for start, (flat, begin, length) in zip(range(0, 360, 90), chance[1:].reshape(4, 3), strict=True):
            axes = int(size), int(size * (0.75 + 0.25 * flat))
            start += 30 * begin - 15
            cv2.ellipse(canvas, (x, y), axes, 0, start, start + 50 + 28 * length, 255, 2, cv2.LINE_AA, 3)

    return _stamp(rng, 15.0, ring)


def dots(rng: np.random.Generator, apart: float, radius: float) -> np.ndarray:
    """Draw small pale dots in rows, 0..1."""
    return _stamp(
        rng,
        apart,
        lambda canvas, x, y, _: cv2.circle(canvas, (x, y), int(radius * 8), 255, -1, cv2.LINE_AA, 3),
    )


def _stamp(
    rng: np.random.Generator, apart: float, stamp: Callable[[np.ndarray, int, int, np.ndarray], object]
) -> np.ndarray:
    """Stamp a jittered staggered grid of marks and their copies across the seams.

    `stamp` is given the canvas, a place in eighths of a texel, and 13 numbers in 0..1 of the mark's own.
    """
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    rows = round(SIZE / apart)
    for row, column in np.ndindex(rows, rows):
        right, down, *chance = rng.random(15)
        x = SIZE / rows * (column + 0.5 * (row % 2) + 0.44 * right - 0.22)
        y = SIZE / rows * (row + 0.44 * down - 0.22)
        for left, top in np.ndindex(3, 3):
            at = x + (left - 1) * SIZE, y + (top - 1) * SIZE
            if all(-40 < a < SIZE + 40 for a in at):
                stamp(canvas, int(at[0] * 8), int(at[1] * 8), np.array(chance))
    return cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / 255
