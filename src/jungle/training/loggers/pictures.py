"""Pictures for loggers: validation clips as strips of frames."""

import base64
import io

import numpy as np
import polars as pl
from PIL import Image

from jungle.console import log
from jungle.errors import UserError
from jungle.report import selection, strips
from jungle.report.evaluation import Outcome
from jungle.report.strips import Strip, StripRequest
from jungle.training.loggers.results import ShownClip
from jungle.video import ClipSpec

CELL = 160  # pixels: the width of one frame
GAP, MARK = 2, 4  # pixels between frames, and of the line under the frame that was looked at most
MARKED = (255, 170, 0)
BUDGET_S = 30.0  # for reading all clips


def draw_clips(
    outcome: Outcome,
    *,
    table: pl.DataFrame,
    clips: pl.DataFrame,
    classes: tuple[str, ...],
    spec: ClipSpec,
    most: int,
) -> list[ShownClip]:
    """Return validation clips with a few frames each: half of them wrong, the most confident mistakes first.

    Args:
        outcome: predictions and true labels.
        table: the same predictions, with the frames' times and attention.
        clips: the clips table, which says where the files are.
        classes: names.
        spec: how the model read the clips.
        most: how many clips.
    """
    wrong = selection.select_errors(outcome, max(most - int(outcome.right_N.sum()), (most + 1) // 2))
    rows = [*wrong, *selection.select_correct(outcome, most - len(wrong))]
    names = [outcome.clips[row] for row in rows]
    strips_by_clip = _draw_strips(names, table, clips, spec)
    found = []
    for row, name in zip(rows, names, strict=True):
        strip = strips_by_clip.get(name, Strip([], "its file is not known"))
        found.append(
            ShownClip(
                clip=name,
                picture_HWC=join_frames(strip),
                truth=tuple(classes[c] for c in np.flatnonzero(outcome.targets_NC[row] == 1)),
                top=classes[int(outcome.top_N[row])],
                right=bool(outcome.right_N[row]),
                probs_C=outcome.probs_NC[row],
                reason=strip.reason,
            )
        )
    return found


def _draw_strips(
    names: list[str], table: pl.DataFrame, clips: pl.DataFrame, spec: ClipSpec
) -> dict[str, Strip]:
    rows = table.filter(pl.col("clip").is_in(names)).join(clips.select("clip", "path"), on="clip")
    wanted = [
        StripRequest(clip, path, times or (), attention or ())
        for clip, path, times, attention in rows.select("clip", "path", "times", "attention").iter_rows()
        if path is not None
    ]
    if not wanted:
        return {}
    try:
        return strips.draw_strips(wanted, spec, budget_s=BUDGET_S)
    except UserError as e:
        log.warning(f"warning: no pictures of clips are logged: {e}")
        return {w.clip: Strip([], str(e)) for w in wanted}


def join_frames(strip: Strip) -> np.ndarray | None:
    """Put the frames of a strip side by side; None where it has none.

    A coloured line is under the frame that the model looked at most.
    """
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
