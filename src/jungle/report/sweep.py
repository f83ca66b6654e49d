"""Chart of a sweep: one line per trial, the best on top, each with its settings and score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLD = "data.fold"
MOST = 40  # lines; the rest are counted
GREEN, INK, SOFT, PALE = "#2f6f4a", "#1c2620", "#6b746d", "#b9bcae"


@dataclass(frozen=True)
class Line:
    """Trials of the same settings: one, or one a fold."""

    label: str
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their score; the mean over folds."""
        return sum(self.scores) / len(self.scores)


def group_trials(trials: pl.DataFrame, settings: Sequence[str], score: str, best_is: str) -> list[Line]:
    """Return the lines of a sweep, the best first; trials that differ in their fold alone are one.

    Args:
        trials: one row a trial; a column for each of `settings`, as text, and one for `score`.
        settings: what was swept.
        score: a column; trials without one are left out.
        best_is: `min` or `max`.
    """
    kept = [s for s in settings if s != FOLD]
    found: dict[str, list[float]] = {}
    for row in trials.iter_rows(named=True):
        if row[score] is None or not math.isfinite(row[score]):
            continue
        label = "\n".join(f"{s}={_shorten(row[s])}" for s in kept)
        if not label:
            label = "mean of the folds" if FOLD in settings else "the trial"
        found.setdefault(label, []).append(float(row[score]))
    lines = [Line(label, tuple(scores)) for label, scores in found.items()]
    return sorted(lines, key=lambda x: x.mean, reverse=best_is == "max")


def draw_sweep(trials: pl.DataFrame, settings: Sequence[str], score: str, best_is: str, out: Path) -> None:
    """Draw finished trials as dots over one axis; see `group_trials`.

    Args:
        trials: one row a trial.
        settings: what was swept.
        score: the column that the trials are compared by.
        best_is: `min` or `max`.
        out: a PNG file.
    """
    from matplotlib.figure import Figure

    every = group_trials(trials, settings, score, best_is)
    lines = every[:MOST]
    folds = max((len(x.scores) for x in lines), default=0)
    rows = [1.0 + 0.62 * x.label.count("\n") for x in lines]
    figure = Figure(figsize=(8, 1.6 + 0.34 * sum(rows)), layout="constrained")
    axes = figure.add_subplot()
    y, heights = 0.0, []
    for row in rows:
        heights.append(y + row / 2)
        y += row
    for i, (line, height) in enumerate(zip(lines, heights, strict=True)):
        colour = GREEN if i == 0 else SOFT
        if len(line.scores) > 1:
            axes.plot([min(line.scores), max(line.scores)], [height] * 2, color=PALE, lw=1.5, zorder=1)
            axes.plot(line.scores, [height] * len(line.scores), "o", color=PALE, ms=5, zorder=2)
        axes.plot([line.mean], [height], "o", color=colour, ms=9, zorder=3)
        said = f"{line.mean:.4f}" + ("  best" if i == 0 and len(lines) > 1 else "")
        if len(line.scores) < folds:  # a mean of other clips than those of the other lines
            said += f"  ({len(line.scores)} of {folds} folds)"
        end = max(line.scores)
        axes.annotate(
            said,
            (end, height),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour if i == 0 else INK,
            weight="bold" if i == 0 else "normal",
        )
    axes.set_yticks(heights, [x.label for x in lines], fontsize=9, color=INK)
    axes.set_ylim(max(y, 1.0), 0)
    _format_axes(axes, [s for x in lines for s in x.scores])
    better = "lower is better" if best_is == "min" else "higher is better"
    axes.set_xlabel(f"{score} ({better})", color=INK)
    figure.suptitle(
        _make_title(len(trials), lines, every, folds > 1), x=0.02, ha="left", fontsize=11, color=INK
    )
    figure.savefig(out, dpi=150)


def _make_title(trials: int, lines: Sequence[Line], every: Sequence[Line], over_folds: bool) -> str:
    if not every:
        return f"Sweep of {trials} trials: none has a score"
    title = f"Sweep of {trials} trials, the best on top" if len(every) > 1 else f"Sweep of {trials} trials"
    if over_folds:
        title += "; pale dots are folds, the dark one is their mean"
    if len(every) > len(lines):
        title += f"; {len(every) - len(lines)} more in sweep_results.csv"
    return title


def _format_axes(axes: Axes, scores: Sequence[float]) -> None:
    """Leave the one axis that is read, and room behind the last dot for its number."""
    from matplotlib.ticker import MaxNLocator

    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    span = (high - low) or abs(high) * 0.1 or 1.0
    axes.set_xlim(low - 0.06 * span, high + 0.24 * span)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=SOFT)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _shorten(value: object, most: int = 40) -> str:
    """Return a setting that leaves room for the picture."""
    text = "null" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
