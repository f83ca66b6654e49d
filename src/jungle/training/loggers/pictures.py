"""Pictures for loggers: validation clips as strips of frames, a confusion matrix."""

import base64
import io

import numpy as np
import polars as pl

from jungle.console import log
from jungle.errors import UserError
from jungle.report import selection, strips
from jungle.report.evaluation import Outcome
from jungle.report.strips import Strip, StripRequest
from jungle.training.loggers.results import Confusion, ShownClip
from jungle.video import ClipSpec

CELL = 160  # pixels: the width of one frame
GAP, MARK = 2, 4  # pixels between frames, and of the line under the frame that was looked at most
MARKED = (255, 170, 0)
BUDGET_S = 30.0  # for reading all clips
MOST_WRITTEN = 20  # classes: a larger confusion matrix has no numbers in its cells


def shown_clips(
    judged: Outcome,
    table: pl.DataFrame,
    clips: pl.DataFrame,
    classes: tuple[str, ...],
    spec: ClipSpec,
    most: int,
) -> list[ShownClip]:
    """Return validation clips with a few frames each: half of them wrong, the most confident mistakes first.

    Args:
        judged: predictions beside the truth.
        table: the same predictions, with the frames' times and attention.
        clips: the clips table, which says where the files are.
        classes: names.
        spec: how the model read the clips.
        most: how many clips.
    """
    wrong = selection.select_errors(judged, max(most - int(judged.right_N.sum()), (most + 1) // 2))
    rows = [*wrong, *selection.select_correct(judged, most - len(wrong))]
    names = [judged.clips[row] for row in rows]
    drawn = _drawn(names, table, clips, spec)
    found = []
    for row, name in zip(rows, names, strict=True):
        strip = drawn.get(name, Strip([], "its file is not known"))
        found.append(
            ShownClip(
                clip=name,
                picture_HWC=joined(strip),
                truth=tuple(classes[c] for c in np.flatnonzero(judged.targets_NC[row] == 1)),
                top=classes[int(judged.top_N[row])],
                right=bool(judged.right_N[row]),
                probs_C=judged.probs_NC[row],
                reason=strip.reason,
            )
        )
    return found


def _drawn(names: list[str], table: pl.DataFrame, clips: pl.DataFrame, spec: ClipSpec) -> dict[str, Strip]:
    said = table.filter(pl.col("clip").is_in(names)).join(clips.select("clip", "path"), on="clip")
    wanted = [
        StripRequest(clip, path, times or (), attention or ())
        for clip, path, times, attention in said.select("clip", "path", "times", "attention").iter_rows()
        if path is not None
    ]
    if not wanted:
        return {}
    try:
        return strips.draw_strips(wanted, spec, budget_s=BUDGET_S)
    except UserError as e:
        log.warning(f"warning: no pictures of clips are logged: {e}")
        return {w.clip: Strip([], str(e)) for w in wanted}


def joined(strip: Strip) -> np.ndarray | None:
    """Put the frames of a strip side by side; None where it has none.

    A coloured line is under the frame that the model looked at most.
    """
    from PIL import Image

    if not strip.cells:
        return None
    frames = []
    for cell in strip.cells:
        with Image.open(io.BytesIO(base64.b64decode(cell.image.partition(",")[2]))) as picture:
            height = max(1, round(picture.height * CELL / picture.width))
            frames.append(np.asarray(picture.convert("RGB").resize((CELL, height), Image.Resampling.LANCZOS)))
    height = max(f.shape[0] for f in frames)
    whole = np.full((height + MARK, len(frames) * (CELL + GAP) - GAP, 3), 255, np.uint8)
    for i, (frame, cell) in enumerate(zip(frames, strip.cells, strict=True)):
        left = i * (CELL + GAP)
        whole[: frame.shape[0], left : left + CELL] = frame
        if cell.peak:
            whole[height:, left : left + CELL] = MARKED
    return whole


def of_confusion(found: Confusion, title: str) -> np.ndarray:
    """Draw a confusion matrix, each row as shares of its clips; return uint8 `[H, W, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n = len(found.classes)
    side = min(3.5 + 0.35 * n, 20)
    figure = Figure(figsize=(side, side), layout="constrained", dpi=90)
    axes = figure.add_subplot()
    shares_CC = found.counts_CC / np.maximum(found.counts_CC.sum(1, keepdims=True), 1)
    axes.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n), found.classes, rotation=90, parse_math=False)
    axes.set_yticks(range(n), found.classes, parse_math=False)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    axes.set_title(title)
    for t, p in zip(*np.nonzero(found.counts_CC), strict=True) if n <= MOST_WRITTEN else ():
        dark = shares_CC[t, p] > 0.5
        axes.text(
            p, t, str(found.counts_CC[t, p]), ha="center", va="center", color="white" if dark else "black"
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
