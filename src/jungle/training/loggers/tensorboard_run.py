"""TensorBoard: curves, confusion matrices, scores of classes and clips of a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from jungle.config import TrainConfig
from jungle.training.loggers.results import CLASS_COLUMNS, Confusion, Results, count_confusions
from jungle.training.loggers.run_names import RunNames

MAX_WRITTEN = 20  # classes: a larger confusion matrix has no numbers in its cells


def open_run(cfg: TrainConfig, folder: Path, names: RunNames) -> Logger:
    """Return Lightning's logger for TensorBoard."""
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def close_run() -> None:
    """Leave the end of the run to Lightning."""


def log_results(logger: Logger, cfg: TrainConfig, results: Results) -> None:
    """Write confusion matrices, precision-recall curves, scores of classes, clips, and the settings."""
    assert isinstance(logger, TensorBoardLogger)
    writer, step = logger.experiment, results.epoch or 0
    for split, outcome in results.splits.items():
        confusions = count_confusions(outcome, results.classes)
        if confusions is not None:
            picture = draw_confusion(confusions, f"{split}: clips by true and most probable class")
            writer.add_image(f"best_{split}/confusion", picture, step, dataformats="HWC")
        for c, name in enumerate(results.classes):
            labelled = np.isfinite(outcome.targets_NC[:, c])
            if (outcome.targets_NC[labelled, c] == 1).any():
                tag = f"best_{split}/precision_recall/{name}"
                writer.add_pr_curve(tag, outcome.targets_NC[labelled, c], outcome.probs_NC[labelled, c], step)
        rows = results.class_rows(split)
        writer.add_text(f"best_{split}/classes", _format_table(CLASS_COLUMNS, rows), step)
    for i, clip in enumerate(results.clips):
        if clip.picture_HWC is not None:
            writer.add_image(f"best_val/examples/{i:03d}", clip.picture_HWC, step, dataformats="HWC")
    if results.clips:
        rows = [
            [f"{i:03d}", s.clip, ", ".join(s.truth), s.top, float(s.probs_C.max()), s.reason]
            for i, s in enumerate(results.clips)
        ]
        columns = ("picture", "clip", "truth", "most probable", "probability", "why no picture")
        writer.add_text("best_val/examples", _format_table(columns, rows), step)
    settings = cfg.model_dump(mode="json", exclude={"paths"})
    logger.log_hyperparams(settings, {f"best_{name}": v for name, v in results.headline.items()})
    writer.flush()


def draw_confusion(confusion: Confusion, title: str) -> np.ndarray:
    """Draw a confusion matrix, each row as shares of its clips; return uint8 `[H, W, 3]`."""
    n = len(confusion.classes)
    side = min(3.5 + 0.35 * n, 20)
    figure = Figure(figsize=(side, side), layout="constrained", dpi=90)
    axes = figure.add_subplot()
    shares_CC = confusion.counts_CC / np.maximum(confusion.counts_CC.sum(1, keepdims=True), 1)
    axes.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n), confusion.classes, rotation=90, parse_math=False)
    axes.set_yticks(range(n), confusion.classes, parse_math=False)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    axes.set_title(title)
    for t, p in zip(*np.nonzero(confusion.counts_CC), strict=True) if n <= MAX_WRITTEN else ():
        colour = "white" if shares_CC[t, p] > 0.5 else "black"
        axes.text(p, t, str(confusion.counts_CC[t, p]), ha="center", va="center", color=colour)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _format_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown."""

    def cell(value: object) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)
