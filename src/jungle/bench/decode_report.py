"""Tables and plot of `jungle bench decode`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jungle.bench.reading import CODEC
from jungle.files import replace_atomically

COLOURS = {"ffmpeg": "#8c8c8c", "pyav": "#2a7f4f", "decord": "#c98a1b", "torchcodec": "#3b6fb6"}
OTHER = "#7a5aa6"  # of decoders that were added later


class Measured(TypedDict):
    """Measurement of one decoder and frame selection on one clip."""

    frames: int
    cpu_s: float
    wall_s: float
    peak_mb: float


class Row(Measured):
    """Measurement with its clip and its ratio to the other rows of that clip."""

    file: str
    decoder: str
    asked: str
    clips_s: float
    times_faster: float | None
    times_codec: float | None


def format_tables(rows: Sequence[Row]) -> str:
    """Return Markdown tables of clips/s on one core and of peak memory, a column per clip."""
    speed = _format_table(rows, "clips/s (times faster)", format_speed)
    memory = _format_table(rows, "peak MB of the process", lambda row: f"{row['peak_mb']:.0f}")
    return "\n".join([*speed, "", *memory])


def _format_table(rows: Sequence[Row], heading: str, cell: Callable[[Row], str]) -> list[str]:
    files = list(dict.fromkeys(row["file"] for row in rows))
    lines = [f"| {heading} | {' | '.join(files)} |", "| --- |" + " --: |" * len(files)]
    for way in dict.fromkeys((row["decoder"], row["asked"]) for row in rows):
        cells = {row["file"]: cell(row) for row in rows if (row["decoder"], row["asked"]) == way}
        lines.append(f"| {', '.join(way)} | {' | '.join(cells.get(file, '-') for file in files)} |")
    return lines


def format_speed(row: Row) -> str:
    """Return clips/s, and in brackets how many times faster than the first row."""
    faster = f" ({_format_number(row['times_faster'])}x)" if row["times_faster"] else ""
    return _format_number(row["clips_s"]) + faster


def _format_number(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def plot_speed(rows: Sequence[Row], path: Path, frames: int) -> None:
    """Draw clips/s on one core, a panel per clip, and write a PNG."""
    files = list(dict.fromkeys(row["file"] for row in rows))
    longest = max(sum(row["file"] == file for row in rows) for file in files)
    # Not pyplot: it would switch the backend of a notebook.
    figure = Figure(figsize=(9, 0.8 + (0.6 + 0.19 * longest) * len(files)), layout="constrained")
    panels = figure.subplots(len(files), 1, squeeze=False)
    for panel, file in zip(panels[:, 0], files, strict=True):
        _draw_panel(panel, [row for row in rows if row["file"] == file])
        panel.set_title(file, loc="left", fontsize=10)
    panels[-1, 0].set_xlabel(
        f"clips a second on one core (log), up to {frames} frames a clip (times faster than the first bar)"
    )
    label = "the codec's own work for these frames"
    mark = Line2D([], [], color="black", marker="|", ls="", ms=10, mew=1.5, label=label)
    figure.legend(handles=[mark], loc="outside upper right", fontsize=8, frameon=False)
    with replace_atomically(path) as part:
        figure.savefig(part, dpi=110)


def _draw_panel(panel: Axes, rows: Sequence[Row]) -> None:
    limits = {row["asked"]: row["clips_s"] for row in rows if row["decoder"] == CODEC}
    drawn = [row for row in rows if row["decoder"] != CODEC][::-1]
    bars = panel.barh(
        [f"{row['decoder']}, {row['asked']}" for row in drawn],
        [row["clips_s"] for row in drawn],
        color=[COLOURS.get(row["decoder"], OTHER) for row in drawn],
    )
    for bar, row in zip(bars, drawn, strict=True):
        middle, limit, end = bar.get_y() + bar.get_height() / 2, limits.get(row["asked"]), row["clips_s"]
        if limit:
            panel.plot([limit] * 2, [middle - 0.4, middle + 0.4], color="black", lw=1.5)
            if end / 1.1 < limit < 2.2 * end:  # the text would cover the mark
                end = limit
        panel.annotate(
            format_speed(row), (end, middle), (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    panel.xaxis.set_minor_formatter(ticker.NullFormatter())
    speeds = [row["clips_s"] for row in rows]
    panel.set_xlim(min(speeds) / 1.5, max(speeds) * 2.5)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
