"""The picture of `jungle bench decode`: clips a second for each way of reading, one panel a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jungle.bench.reading import LIMIT
from jungle.files import replacing

COLOURS = {"ffmpeg": "#8c8c8c", "pyav": "#2a7f4f", "decord": "#c98a1b", "torchcodec": "#3b6fb6"}


def plot(rows: list[dict[str, Any]], path: Path, frames: int) -> None:
    """Draw clips a second on one core, longer is faster, and write a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib import ticker

    files = list(dict.fromkeys(row["file"] for row in rows))
    figure, panels = plt.subplots(
        len(files), 1, figsize=(9, 0.5 + 2.6 * len(files)), layout="constrained", squeeze=False
    )
    for panel, file in zip(panels[:, 0], files, strict=True):
        shown = [row for row in rows if row["file"] == file and row["asked"] != LIMIT][::-1]
        bars = panel.barh(
            [f"{row['decoder']}, {row['asked']}" for row in shown],
            [row["clips_s"] for row in shown],
            color=[COLOURS[row["decoder"]] for row in shown],
        )
        panel.bar_label(
            bars, [f"{row['clips_s']:.2g}/s, {row['frames']} frames" for row in shown], padding=4, fontsize=8
        )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        panel.set_xlim(right=max(row["clips_s"] for row in shown) * 4)
        panel.set_title(file, loc="left", fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel(f"clips a second on one core, up to {frames} frames a clip")
    with replacing(path) as part:
        figure.savefig(part, dpi=110)
    plt.close(figure)
