"""Coats: one square metre of markings and grain for each species, seamless at its edges."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 256  # texels of a metre


def noise(rng: np.random.Generator, cells: tuple[int, int], size: int = SIZE) -> np.ndarray:
    """Smooth seamless noise of mean 0 and deviation 1: `cells` bumps down and across."""
    grid = rng.standard_normal(cells).astype(np.float32)
    grid = cv2.copyMakeBorder(grid, 2, 2, 2, 2, cv2.BORDER_WRAP)
    step = (size / cells[0], size / cells[1])
    grown = cv2.resize(
        grid,
        (round((cells[1] + 4) * step[1]), round((cells[0] + 4) * step[0])),
        interpolation=cv2.INTER_CUBIC,
    )
    top, left = round(2 * step[0]), round(2 * step[1])
    field = grown[top : top + size, left : left + size]
    return (field - field.mean()) / (field.std() + 1e-6)


def hair(rng: np.random.Generator, length: int = 4) -> np.ndarray:
    """Hairs that lie along the body, -1..1."""
    fine = noise(rng, (128, 128 // length)) * 0.7 + noise(rng, (32, 16)) * 0.5
    return np.clip(fine / 2, -1, 1)


def wrinkles(rng: np.random.Generator) -> np.ndarray:
    """The skin of an elephant, -1..1."""
    folds = -np.abs(noise(rng, (20, 44))) - 0.7 * np.abs(noise(rng, (44, 24))) + 1.2
    return np.clip(folds * 0.8 + noise(rng, (6, 6)) * 0.25, -1, 1)


def plain(grain: np.ndarray, marks: np.ndarray | None = None) -> np.ndarray:
    """Stack markings and grain to a coat `[SIZE, SIZE, 2]`."""
    marks = np.zeros_like(grain) if marks is None else marks
    return np.ascontiguousarray(np.stack([marks, grain], axis=2).astype(np.float32))


def _stamp(draw: list[tuple[float, float]], stamp) -> np.ndarray:
    """Call `stamp(canvas, x, y)` at each place and at its copies across the seams."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    for x, y in draw:
        for ox in (-SIZE, 0, SIZE):
            for oy in (-SIZE, 0, SIZE):
                if -40 < x + ox < SIZE + 40 and -40 < y + oy < SIZE + 40:
                    stamp(canvas, x + ox, y + oy)
    return cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / 255


def _spread(rng: np.random.Generator, apart: float) -> list[tuple[float, float]]:
    """Places on a jittered staggered grid, so that marks neither touch nor line up."""
    rows = round(SIZE / apart)
    step = SIZE / rows
    return [
        (step * (c + 0.5 * (r % 2) + rng.uniform(-0.22, 0.22)), step * (r + rng.uniform(-0.22, 0.22)))
        for r in range(rows)
        for c in range(rows)
    ]


def rosettes(rng: np.random.Generator) -> np.ndarray:
    """A leopard's: broken dark rings."""

    def ring(canvas: np.ndarray, x: float, y: float) -> None:
        local = np.random.default_rng(abs(hash((int(x) % SIZE, int(y) % SIZE))))
        size = local.uniform(4.0, 5.6)
        for k in range(4):
            start = k * 90 + local.uniform(-15, 15)
            cv2.ellipse(
                canvas, (int(x * 8), int(y * 8)), (int(size * 8), int(size * local.uniform(0.75, 1) * 8)),
                0, start, start + local.uniform(50, 78), 255, 2, cv2.LINE_AA, 3,
            )  # fmt: skip

    return _stamp(_spread(rng, 15.0), ring)


def dots(rng: np.random.Generator, apart: float = 8.0, radius: float = 1.8) -> np.ndarray:
    """A guineafowl's: small pale dots in rows."""

    def dot(canvas: np.ndarray, x: float, y: float) -> None:
        cv2.circle(canvas, (int(x * 8), int(y * 8)), int(radius * 8), 255, -1, cv2.LINE_AA, 3)

    return _stamp(_spread(rng, apart), dot)
