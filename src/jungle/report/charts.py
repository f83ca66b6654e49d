"""Geometry of the report's charts: numbers in, positions in a drawing box out; the template draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jungle.report.evaluation import Calibration

WIDTH, HEIGHT = 320.0, 190.0  # units of the drawing box; it is scaled to the page
LEFT, RIGHT, TOP, BOTTOM = 38.0, 12.0, 12.0, 26.0


@dataclass(frozen=True)
class Line:
    """One series."""

    name: str
    points: list[tuple[float, float, str]]
    """x, y, and what to say of the point."""

    @property
    def path(self) -> str:
        """SVG path data through the points."""
        return " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y, _) in enumerate(self.points))


@dataclass(frozen=True)
class Chart:
    """A small line chart."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    mark: float | None = None
    """x of the epoch whose weights were kept."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


PANELS = (
    ("Training loss", {"train/loss": "training"}),
    ("Validation log loss", {"val/log_loss": "log loss"}),
    ("Validation scores", {"val/accuracy": "accuracy", "val/macro_f1": "macro F1", "val/map": "mAP"}),
)


def curves(history: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draw the numbers of each epoch; series without numbers are left out, and charts without series."""
    losses = [(y, x) for x, y in _series(history, "val/log_loss")]
    best = min(losses)[1] if losses else None
    charts = []
    for title, names in PANELS:
        series = {label: _series(history, key) for key, label in names.items()}
        series = {label: points for label, points in series.items() if points}
        if series:
            charts.append(_chart(title, series, best))
    return charts


def _series(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    found = [(_epoch(row, i), _number(row.get(key))) for i, row in enumerate(history)]
    return [(x, y) for x, y in found if y is not None]


def _epoch(row: Mapping[str, Any], i: int) -> float:
    epoch = _number(row.get("epoch"))
    return float(i) if epoch is None else epoch


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _chart(title: str, series: Mapping[str, list[tuple[float, float]]], best: float | None) -> Chart:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = ticks(min(xs), max(xs), 5, whole=True), ticks(min(ys), max(ys), 4)
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def at_x(x: float) -> float:
        if x_high == x_low:
            return (LEFT + WIDTH - RIGHT) / 2
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def at_y(y: float) -> float:
        span = (y_high - y_low) or 1.0
        return HEIGHT - BOTTOM - (y - y_low) / span * (HEIGHT - TOP - BOTTOM)

    lines = [
        Line(name, [(at_x(x), at_y(y), f"{name}, epoch {x:.0f}: {y:.4g}") for x, y in points])
        for name, points in series.items()
    ]
    mark = at_x(best) if best is not None and x_low <= best <= x_high else None
    x_shown = [(at_x(t), f"{t:.0f}") for t in x_ticks if x_low <= t <= x_high]
    y_shown = [(at_y(t), f"{t:g}") for t in y_ticks]
    return Chart(title, lines, x_shown, y_shown, mark)


def ticks(low: float, high: float, about: int, whole: bool = False) -> list[float]:
    """Round numbers from at most `low` to at least `high`, 1, 2 or 5 times a power of ten apart."""
    if high - low < 1e-12:
        pad = 1.0 if whole else abs(high) * 0.1 or 0.1
        low, high = low - pad, high + pad
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: the stated probability rightwards, how often it came true upwards."""

    points: list[tuple[float, float, float, str]]
    """x, y, radius, what to say."""
    error: float
    size: float = 240.0
    left: float = 34.0
    bottom: float = 214.0
    top: float = 16.0
    right: float = 238.0
    ticks: list[float] = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])

    def x(self, p: float) -> float:
        """Position of a probability."""
        return self.left + p * (self.right - self.left)

    def y(self, p: float) -> float:
        """Position of a share."""
        return self.bottom - p * (self.bottom - self.top)


def reliability(found: Calibration) -> Reliability:
    """Draw a dot a bin, its area by the number of answers in it."""
    empty = Reliability([], found.error)
    most = max(found.counts, default=0) or 1
    points = [
        (
            empty.x(p),
            empty.y(share),
            3.0 + 8.0 * math.sqrt(n / most),
            f"{n} answers: stated {p:.0%} on average, true {share:.0%} of the time",
        )
        for p, share, n in zip(found.stated, found.happened, found.counts, strict=True)
        if n
    ]
    return Reliability(points, found.error)
