"""The picture of a sweep: one axis a setting, one line a trial, coloured by its score."""

import math
from pathlib import Path
from typing import Any

import polars as pl


def parallel_coordinates(trials: pl.DataFrame, settings: list[str], score: str, out: Path) -> None:
    """Draw finished trials as lines over an axis for each setting and one for the score (Inselberg, 1985).

    Args:
        trials: one row a trial; a column for each of `settings`, as text, and one for `score`.
        settings: numbers are spread by size (by logarithm where they span two decades), words evenly.
        score: the column that colours the lines.
        out: a PNG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = [*settings, score]
    figure = Figure(figsize=(2.2 * max(len(names), 2), 4), layout="constrained")
    axes = figure.add_subplot()
    shown = trials.filter(pl.col(score).is_not_null())
    columns = [_positions(shown[name].to_list()) for name in names]
    colour = matplotlib.colormaps["viridis"]
    for i in range(len(shown)):
        heights = [positions[i] for positions, _ in columns]
        axes.plot(range(len(names)), heights, marker="o", color=colour(heights[-1]), alpha=0.8)
    for x, (_, ticks) in enumerate(columns):
        axes.axvline(x, color="0.75", zorder=0)
        for height, text in ticks:
            axes.text(x + 0.04, height, text, va="center", fontsize=8, zorder=3)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.1, len(names) - 0.5)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.savefig(out, dpi=150)


def _positions(values: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return each value's height on its axis, from 0 to 1, and the axis's ticks."""
    try:
        numbers = [float(v) for v in values]
    except (TypeError, ValueError):
        words = sorted({str(v) for v in values})
        at = {w: i / max(len(words) - 1, 1) for i, w in enumerate(words)}
        return [at[str(v)] for v in values], [(h, w) for w, h in at.items()]
    if not numbers:
        return [], []
    scale = math.log10 if min(numbers) > 0 and max(numbers) >= 100 * min(numbers) else float
    low, high = scale(min(numbers)), scale(max(numbers))
    heights = [(scale(n) - low) / ((high - low) or 1) for n in numbers]
    ticks = {round(h, 2): f"{n:.4g}" for h, n in sorted(zip(heights, numbers, strict=True))}
    return heights, list(ticks.items())
