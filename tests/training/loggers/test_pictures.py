"""Which clips loggers show, and their pictures."""

import base64
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from jungle.report import strips
from jungle.report.evaluation import Outcome
from jungle.report.strips import Cell, Strip
from jungle.training.loggers import pictures
from jungle.training.loggers.results import Confusion
from jungle.training.loggers.tensorboard_run import draw_confusion
from jungle.video import ClipSpec, Frames

SPEC = ClipSpec(frames=Frames("uniform", 4))
NAMES = [f"{i}.mp4" for i in range(6)]


def test_half_of_the_clips_are_the_surest_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    targets = np.eye(2)[[1, 1, 1, 1, 1, 0]]
    table = pl.DataFrame({"clip": NAMES, "times": [[0.0]] * 6, "attention": [[1.0]] * 6})
    clips = pl.DataFrame({"clip": NAMES, "path": [f"/{n}" if n != "3.mp4" else None for n in NAMES]})
    asked: list[str] = []

    def draw(wanted, spec, budget_s):
        asked.extend(w.path for w in wanted)
        return {w.clip: Strip([], "broken") for w in wanted}

    monkeypatch.setattr(strips, "draw_strips", draw)

    def shown(most: int):
        return pictures.draw_clips(
            Outcome(NAMES, probs, targets), table=table, clips=clips, classes=("a", "b"), spec=SPEC, most=most
        )

    assert [s.clip for s in shown(3)] == ["0.mp4", "2.mp4", "4.mp4"]
    assert [s.clip for s in shown(5)] == ["0.mp4", "2.mp4", "5.mp4", "4.mp4", "3.mp4"]
    every = shown(200)
    assert len(every) == 6
    last = next(s for s in every if s.clip == "3.mp4")
    assert (last.truth, last.top, last.right, last.reason) == (("b",), "b", True, "its file is not known")
    assert every[0].reason == "broken"
    assert "/3.mp4" not in asked


def cell(colour: tuple[int, int, int], peak: bool = False) -> Cell:
    buffer = io.BytesIO()
    Image.new("RGB", (256, 128), colour).save(buffer, "JPEG")
    return Cell("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), 0.0, peak=peak)


def test_frames_stand_side_by_side_with_a_line_under_what_was_looked_at() -> None:
    picture = pictures.join_frames(Strip([cell((200, 0, 0)), cell((0, 0, 200), peak=True)]))
    assert picture is not None
    assert picture.shape == (80 + 4, 160 + 2 + 160, 3)
    assert picture[40, 80, 0] > 180 > 20 > picture[40, 80, 2]
    assert picture[40, 240, 2] > 180
    assert tuple(picture[-1, 240]) == pictures.MARKED
    assert tuple(picture[-1, 80]) == (255, 255, 255)
    assert pictures.join_frames(Strip([], "broken")) is None


def test_a_confusion_matrix_is_darkest_where_most_clips_are() -> None:
    names = ["blank", "$\\frac{$", "hog"]
    drawn = draw_confusion(Confusion(names, np.array([[9, 0, 1], [0, 1, 0], [5, 0, 0]])), "val")
    height, width, colours = drawn.shape
    assert colours == 3
    assert min(height, width) > 300
    blues = drawn.astype(int)
    dark = (blues[..., 2] - blues[..., 0] > 60).sum()
    assert dark > 0.02 * height * width
