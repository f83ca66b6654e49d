"""What grows in each kind of place, and in which colours."""

from __future__ import annotations

from dataclasses import dataclass

from jungle.sample.foliage import Colour


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
