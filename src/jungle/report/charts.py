"""Charts of the report pages as Vega-Lite specifications, and their drawing as SVG."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from jungle.console import log
from jungle.files import write_text
from jungle.metrics.reliability import Reliability

if TYPE_CHECKING:
    from jungle.metrics.threshold_fits import BlankPoint  # which would import SciPy

Spec = dict[str, object]
"""A Vega-Lite specification. Names from elsewhere stand in its data, never in its field names."""

COLOURS = ("var(--leaf)", "var(--clay)", "var(--sky)")  # of the page's style sheet, for light and dark
FILE_COLOURS = {"leaf": "#2f6f4a", "clay": "#bd5a2a", "sky": "#3c6e97"}
FILE_COLOURS |= {"line": "#e0dccd", "soft": "#67716a", "sheet": "#fffefa"}
"""The colours of the style sheet for a chart that is a file of its own."""
MOST_POINTS = 200  # of a series, with a mark each
TIMEOUT_S = 60
PANELS = (
    ("Training loss", {"train/loss": "training"}),
    ("Validation log loss", {"val/log_loss": "log loss"}),
    ("Validation scores", {"val/accuracy": "accuracy", "val/macro_f1": "macro F1", "val/map": "mAP"}),
)
# vl_convert draws with a JavaScript engine that aborts its process where the address space is limited
# (ulimit -v) and must not be forked, so it never runs in the process of a training run.
DRAW = """import json, sys, vl_convert
json.dump([vl_convert.vegalite_to_svg(spec) for spec in json.load(sys.stdin)], sys.stdout)"""


@dataclass(frozen=True, slots=True)
class Chart:
    """Chart to draw."""

    title: str
    spec: Spec
    series: tuple[str, ...] = ()
    """Names for the legend, in the order of `COLOURS`."""
    note: str = ""
    """Text in place of a legend."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Drawn chart; `svg` is None where it could not be drawn."""

    chart: Chart
    svg: Markup | None


def make_learning_curves(history: Sequence[Mapping[str, object]]) -> list[Chart]:
    """Return charts of the scores by epoch; series and charts without numbers are left out."""
    losses = [(y, x) for x, y in _collect_points(history, "val/log_loss")]
    best = min(losses)[1] if losses else None
    charts = []
    for title, names in PANELS:
        series = {label: _collect_points(history, key) for key, label in names.items()}
        series = {label: points for label, points in series.items() if points}
        if series:
            charts.append(Chart(title, _make_line_spec(title, series, best), tuple(series)))
    return charts


def _collect_points(history: Sequence[Mapping[str, object]], key: str) -> list[tuple[float, float]]:
    points = [(_to_number(row.get("epoch"), i), _to_number(row.get(key))) for i, row in enumerate(history)]
    return [(x, y) for x, y in points if x is not None and y is not None]


def _to_number(value: object, default: float | None = None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return float(value)


def _make_line_spec(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], best: float | None
) -> Spec:
    epochs = [x for points in series.values() for x, _ in points]
    x_scale = {"domain": [min(epochs), max(epochs)], "nice": False}
    rows = [
        {"x": x, "y": y, "series": name, "text": f"{name}, epoch {x:.0f}: {y:.4g}"}
        for name, points in series.items()
        for x, y in points
    ]
    x_axis = {"format": "d", "tickMinStep": 1, "tickCount": 5, "grid": False}
    few = max(map(len, series.values())) <= MOST_POINTS
    points = {"filled": True, "size": 16 if len(rows) > len(series) else 40, "opacity": 1} if few else False
    lines = {
        "mark": {"type": "line", "point": points, "strokeWidth": 2, "strokeJoin": "round"},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "scale": x_scale, "axis": x_axis},
            "y": {
                "field": "y",
                "type": "quantitative",
                "scale": {"zero": False},
                "axis": {"tickCount": 4, "format": "~g"},
            },
            "color": {
                "field": "series",
                "scale": {"domain": list(series), "range": list(COLOURS)},
                "legend": None,
            },
            "description": {"field": "text"},
        },
        "data": {"values": rows},
    }
    layers = [lines]
    if best is not None and min(epochs) <= best <= max(epochs):
        rule = {"type": "rule", "color": "var(--soft)", "strokeDash": [3, 3], "aria": False}
        place = {"field": "x", "type": "quantitative", "scale": x_scale, "axis": x_axis}
        layers.insert(0, {"mark": rule, "encoding": {"x": place}, "data": {"values": [{"x": best}]}})
    return _make_base_spec(f"{title} by epoch", 320, 190) | {"layer": layers}


def make_reliability_diagram(name: str, found: Reliability) -> Chart:
    """Return a reliability diagram: stated probability against observed frequency, a dot per bin."""
    rows = [
        {
            "x": 100 * stated,
            "y": 100 * happened,
            "n": n,
            "text": f"{n} answers: stated {stated:.0%} on average, true {happened:.0%} of the time",
        }
        for stated, happened, n in zip(found.stated, found.happened, found.counts, strict=True)
        if n
    ]

    def place(field: str, title: str) -> Spec:
        axis = {"values": [0, 25, 50, 75, 100], "title": title}
        return {"field": field, "type": "quantitative", "scale": {"domain": [0, 100]}, "axis": axis}

    x, y = place("x", "stated probability, %"), place("y", "observed frequency, %")
    most = max((row["n"] for row in rows), default=1)
    diagonal = {
        "mark": {"type": "line", "color": "var(--soft)", "strokeDash": [4, 4], "strokeWidth": 1.2},
        "encoding": {"x": x, "y": y},
        "data": {"values": [{"x": 0, "y": 0}, {"x": 100, "y": 100}]},
    }
    dots = {
        "mark": {"type": "circle", "color": COLOURS[0], "opacity": 0.8, "stroke": "var(--sheet)"},
        "encoding": {
            "x": x,
            "y": y,
            "size": {
                "field": "n",
                "type": "quantitative",
                "scale": {"domain": [0, most], "range": [30, 340]},
                "legend": None,
            },
            "description": {"field": "text"},
        },
        "data": {"values": rows},
    }
    spec = _make_base_spec(f"Reliability diagram, {name}", 280, 270) | {"layer": [diagonal, dots]}
    return Chart(name, spec, note=f"expected calibration error {found.error:.3f}")


def make_blank_curve(curve: Sequence[BlankPoint], chosen: BlankPoint | None) -> Chart:
    """Return a chart of the share of blanks removed against that of animals lost, a dot at the chosen one."""

    def place(point: BlankPoint) -> dict[str, float]:
        return {
            "x": 100 * point.missed.value,
            "y": 100 * point.removed.value,
            "low": 100 * point.missed.low,
            "high": 100 * point.missed.high,
        }

    def axis(field: str, title: str) -> Spec:
        domain = {"domain": [0, 100]} if field == "y" else {"zero": True}
        return {"field": field, "type": "quantitative", "scale": domain, "axis": {"title": title}}

    x, y = axis("x", "animals lost, %, with 95 % interval"), axis("y", "blanks removed, %")
    rows = [p for p in map(place, curve) if all(map(math.isfinite, p.values()))]
    band = {
        "mark": {"type": "rule", "color": COLOURS[0], "opacity": 0.25, "strokeWidth": 2},
        "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
        "data": {"values": rows},
    }
    line = {
        "mark": {"type": "line", "color": COLOURS[0], "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "order": {"field": "y"}},
        "data": {"values": rows},
    }
    layers = [band, line]
    note = ""
    if chosen is not None:
        dot = {"type": "circle", "color": COLOURS[1], "size": 90, "opacity": 1}
        layers.append({"mark": dot, "encoding": {"x": x, "y": y}, "data": {"values": [place(chosen)]}})
        note = f"the dot: threshold {chosen.threshold:.4g}"
    return Chart("Blank removal", _make_base_spec("Blank removal", 420, 280) | {"layer": layers}, note=note)


def _make_base_spec(description: str, width: int, height: int) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": description,
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 4,
        "config": {
            "background": None,
            "view": {"stroke": None},
            "axis": {
                **{"domain": False, "ticks": False, "title": None, "labelPadding": 6, "labelFontSize": 10},
                **{"gridColor": "var(--line)", "labelColor": "var(--soft)", "titleColor": "var(--soft)"},
                **{"titleFontSize": 10, "titleFontWeight": "normal", "titlePadding": 8},
            },
        },
    }


def draw(charts: Mapping[str, Chart], timeout_s: float = TIMEOUT_S) -> dict[str, Drawing]:
    """Draw charts as SVG in a process of its own; one that fails costs the charts, not the report."""
    if not charts:
        return {}
    svgs: list[Markup] | list[None]
    try:
        specs = json.dumps([chart.spec for chart in charts.values()], allow_nan=False)
        done = subprocess.run(
            [sys.executable, "-P", "-c", DRAW],  # -P: a file of the working folder is not imported
            input=specs,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
        svgs = [_add_titles(svg) for svg in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, ElementTree.ParseError) as e:
        said = str(getattr(e, "stderr", "") or e).strip().splitlines()
        log.warning(f"the report has no charts: {said[-1] if said else e}")
        svgs = [None] * len(charts)
    return {key: Drawing(chart, svg) for (key, chart), svg in zip(charts.items(), svgs, strict=True)}


def draw_file(chart: Chart, path: Path) -> None:
    """Draw one chart as an SVG file of its own; one that fails costs the chart, not the command."""
    svg = draw({"chart": chart})["chart"].svg
    if svg is None:
        return
    text = str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff" ', 1)
    for name, colour in FILE_COLOURS.items():
        text = text.replace(f"var(--{name})", colour)
    write_text(path, text + "\n")


def _add_titles(svg: str) -> Markup:
    """Return the SVG for an HTML page: without namespaces, each mark's label as its title for the pointer."""
    root = ElementTree.fromstring(svg)
    root.set("role", "img")
    for mark in list(root.iter()):
        mark.tag = mark.tag.rpartition("}")[2]
        if mark.tag == "path" and (label := mark.get("aria-label")):
            ElementTree.SubElement(mark, "title").text = label
    return Markup(ElementTree.tostring(root, encoding="unicode"))
