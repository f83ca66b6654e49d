"""The picture of `jungle bench decode`: clips a second for each way of reading, one panel a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jungle.bench.decode_table import speed
from jungle.bench.reading import CODEC
from jungle.files import replacing

COLOURS = {"ffmpeg": "#8c8c8c", "pyav": "#2a7f4f", "decord": "#c98a1b", "torchcodec": "#3b6fb6"}


def plot(rows: list[dict[str, Any]], path: Path, frames: int) -> None:
    """Draw clips a second on one core, longer is faster, and write a PNG."""
    from matplotlib import ticker
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    files = list(dict.fromkeys(row["file"] for row in rows))
    longest = max(sum(row["file"] == file for row in rows) for file in files)
    # Not pyplot, whose choice of a backend is that of the notebook this may run in.
    figure = Figure(figsize=(9, 0.8 + (0.6 + 0.19 * longest) * len(files)), layout="constrained")
    panels = figure.subplots(len(files), 1, squeeze=False)
    for panel, file in zip(panels[:, 0], files, strict=True):
        here = [row for row in rows if row["file"] == file]
        least = {row["asked"]: row["clips_s"] for row in here if row["decoder"] == CODEC}
        shown = [row for row in here if row["decoder"] != CODEC][::-1]
        bars = panel.barh(
            [f"{row['decoder']}, {row['asked']}" for row in shown],
            [row["clips_s"] for row in shown],
            color=[COLOURS[row["decoder"]] for row in shown],
        )
        for bar, row in zip(bars, shown, strict=True):
            middle, limit = bar.get_y() + bar.get_height() / 2, least.get(row["asked"])
            if limit:
                panel.plot([limit] * 2, [middle - 0.4, middle + 0.4], color="black", lw=1.5)
            # The text stands beside its bar, or where that would hide the mark, beside the mark.
            end = limit if limit and row["clips_s"] / 1.1 < limit < 2.2 * row["clips_s"] else row["clips_s"]
            panel.annotate(
                speed(row), (end, middle), (6, 0), textcoords="offset points", va="center", fontsize=8
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        speeds = [row["clips_s"] for row in here]
        panel.set_xlim(min(speeds) / 1.5, max(speeds) * 2.5)
        panel.set_title(file, loc="left", fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel(
        f"clips a second on one core (log), up to {frames} frames a clip (times faster than the first bar)"
    )
    mark = Line2D(
        [],
        [],
        color="black",
        marker="|",
        ls="",
        ms=10,
        mew=1.5,
        label="the codec's own work for these frames",
    )
    figure.legend(handles=[mark], loc="outside upper right", fontsize=8, frameon=False)
    with replacing(path) as part:
        figure.savefig(part, dpi=110)
