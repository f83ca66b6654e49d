"""TensorBoard: what it can show of a run besides its curves."""

from typing import Any

import numpy as np

from jungle.config import TrainConfig
from jungle.training.loggers import pictures
from jungle.training.loggers.results import CLASS_COLUMNS, Results, confusion


def tell(logger: Any, cfg: TrainConfig, results: Results) -> None:
    """Write confusion matrices, precision-recall curves, scores of classes, clips, and the settings."""
    writer, step = logger.experiment, results.epoch or 0
    for split, judged in results.splits.items():
        found = confusion(judged, results.classes)
        if found is not None:
            picture = pictures.of_confusion(found, f"{split}: clips by true and most probable class")
            writer.add_image(f"best_{split}/confusion", picture, step, dataformats="HWC")
        for c, name in enumerate(results.classes):
            known = np.isfinite(judged.targets_NC[:, c])
            if (judged.targets_NC[known, c] == 1).any():
                tag = f"best_{split}/precision_recall/{name}"
                writer.add_pr_curve(tag, judged.targets_NC[known, c], judged.probs_NC[known, c], step)
        rows = results.class_rows(split)
        writer.add_text(f"best_{split}/classes", _table(CLASS_COLUMNS, rows), step)
    for i, shown in enumerate(results.shown):
        if shown.picture_HWC is not None:
            writer.add_image(f"best_val/examples/{i:03d}", shown.picture_HWC, step, dataformats="HWC")
    if results.shown:
        rows = [
            [f"{i:03d}", s.clip, ", ".join(s.truth), s.top, float(s.probs_C.max()), s.reason]
            for i, s in enumerate(results.shown)
        ]
        columns = ("picture", "clip", "truth", "most probable", "probability", "why no picture")
        writer.add_text("best_val/examples", _table(columns, rows), step)
    settings = cfg.model_dump(mode="json", exclude={"paths"})
    logger.log_hyperparams(settings, {f"best_{name}": v for name, v in results.headline.items()})
    writer.flush()


def _table(columns: Any, rows: Any) -> str:
    """Return a table in Markdown."""

    def cell(value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)
