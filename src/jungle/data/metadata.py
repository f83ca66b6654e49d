"""Metadata of a clip as numbers for a model: its file, its light, its hour.

The third place of Pri-matrix Factorization used sizes and rates: clips of nothing compress to smaller files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

FACTS = (
    *("width", "height", "frames", "fps", "duration", "size", "bit_rate"),
    *("brightness", "saturation", "infrared", "hour_sin", "hour_cos"),
)
"""Columns of a facts array `[N, F]`, float32, nan where unknown; `size` and `bit_rate` are logarithms."""
WIDTH, HEIGHT, SIZE = (FACTS.index(name) for name in ("width", "height", "size"))
SEEN_OF = FACTS[:-2]
"""Columns of an index that become facts; the last two facts are the hour of its `time`."""
MICRO = ("micro_size", "micro_bit_rate")
"""Columns that follow `FACTS` if small copies of the clips exist, such as the 64x64 ones of Pri-matrix:
logarithms. All copies are encoded alike, so their sizes show how much moves."""
MOST_SHAPES = 32
FEW = 5  # clips of one shape, below which its usual size is not known


def compute_facts(index: pl.DataFrame) -> np.ndarray:
    """Return the facts `[N, F]` of rows of an index (`jungle.video.indexing.index`); nulls become nan."""
    day = 2 * np.pi / 86400
    second = (
        pl.col("time").dt.hour().cast(pl.Float64) * 3600
        + pl.col("time").dt.minute().cast(pl.Float64) * 60
        + pl.col("time").dt.second().cast(pl.Float64)
    )
    columns = index.with_columns(pl.col(name).cast(pl.Float64) for name in SEEN_OF).with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name).log()) for name in ("size", "bit_rate")
    )
    columns = columns.with_columns(hour_sin=(second * day).sin(), hour_cos=(second * day).cos())
    made = columns.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in FACTS).to_numpy()
    return np.where(np.isfinite(made), made, np.float32("nan"))


@dataclass(frozen=True)
class Metadata:
    """Statistics of the facts of training clips, which scale those of any clip. Plain values."""

    mean: tuple[float, ...]
    """Of each of `names`; `std` likewise, 1 where all clips are alike."""
    std: tuple[float, ...]
    widths: tuple[float, ...]
    """That are common; `heights` likewise."""
    heights: tuple[float, ...]
    shapes: tuple[tuple[float, float, float, float], ...]
    """Width, height, and mean and standard deviation of `size` in clips of that shape."""

    @classmethod
    def fit(cls, facts_NF: np.ndarray) -> "Metadata":
        """Measure the facts of training clips, and of no others."""
        means, stds = zip(
            *(_compute_spread(column[np.isfinite(column)]) for column in facts_NF.T), strict=True
        )
        pairs = facts_NF[:, [WIDTH, HEIGHT]]
        found, count = np.unique(pairs[np.isfinite(pairs).all(1)], axis=0, return_counts=True)
        shapes = []
        for shape in found[np.argsort(-count, kind="stable")][:MOST_SHAPES]:
            sizes = facts_NF[(pairs == shape).all(1), SIZE]
            sizes = sizes[np.isfinite(sizes)]
            if len(sizes) >= FEW:
                shapes.append((float(shape[0]), float(shape[1]), *_compute_spread(sizes)))
        return cls(
            means,
            stds,
            tuple(sorted({s[0] for s in shapes})),
            tuple(sorted({s[1] for s in shapes})),
            tuple(shapes),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the facts: `FACTS`, and `MICRO` if training had those."""
        return (*FACTS, *MICRO)[: len(self.mean)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers that a model sees: see `measured`."""
        numbers = (*self.names, "size_in_shape")
        return (
            *numbers,
            *(f"no_{name}" for name in numbers),
            *(f"width_{w:g}" for w in self.widths),
            *(f"height_{h:g}" for h in self.heights),
        )

    def to_dict(self) -> dict[str, list[float | list[float]]]:
        """Return plain values, for a checkpoint."""
        return {k: [list(v) if isinstance(v, tuple) else v for v in vs] for k, vs in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence]) -> "Metadata":
        """Read what `to_dict` gave.

        Raises:
            ValueError: it is something else.
        """
        if any(len(shape) != 4 for shape in values["shapes"]):
            raise ValueError("its metadata have a shape that is not of four numbers")
        mean, std, widths, heights = (
            tuple(float(v) for v in values[k]) for k in ("mean", "std", "widths", "heights")
        )
        shapes = tuple((float(w), float(h), float(m), float(s)) for w, h, m, s in values["shapes"])
        made = cls(mean, std, widths, heights, shapes)
        many = max(len(widths), len(heights), len(shapes))
        forms = (len(FACTS), len(FACTS) + len(MICRO))
        if len(mean) not in forms or len(std) != len(mean) or many > MOST_SHAPES:
            raise ValueError("its metadata are of other facts than this program knows")
        every = [*made.mean, *made.std, *made.widths, *made.heights, *(v for s in made.shapes for v in s)]
        if not np.isfinite(every).all():
            raise ValueError("its metadata are not finite numbers")
        if min(*made.std, *(s[3] for s in made.shapes)) <= 0:
            raise ValueError("its metadata have a standard deviation that is not above 0")
        return made


def _compute_spread(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation; 0 and 1 of nothing, 1 where all are alike."""
    if not len(values):
        return 0.0, 1.0
    mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return mean, std if std > 1e-6 * max(1.0, abs(mean)) else 1.0
