"""Labels that are the same throughout are said before training, not learnt as a constant."""

import polars as pl
import pytest

from jungle.data.clips import Clips
from jungle.data.contrast import check_contrast
from jungle.data.validation import check
from jungle.data.validation_report import Problems
from jungle.errors import UserError


def clips(classes: tuple[str, ...], *rows: tuple[str, tuple[str, ...] | None]) -> Clips:
    """Rows are a split and the class names in a clip; None = not labelled."""
    names = [f"{i}.mp4" for i in range(len(rows))]
    frame = {"clip": names, "path": names, "split": [split for split, _ in rows]}
    labels = {c: [None if seen is None else int(c in seen) for _, seen in rows] for c in classes}
    return Clips(pl.DataFrame({**frame, **labels}, schema_overrides=dict.fromkeys(classes, pl.Int8)), classes)


def said(table: Clips) -> tuple[list[str], list[str]]:
    problems, warnings = Problems(), []
    check_contrast(table, problems, warnings)
    return problems.kinds, warnings


LEOPARD, HOG = ("leopard",), ("hog",)


def test_one_class_alone_is_an_error_with_the_fix(tmp_path) -> None:
    table = clips(("leopard",), *[("train", LEOPARD)] * 14, *[("val", LEOPARD)] * 4)
    for i in range(18):
        (tmp_path / f"{i}.mp4").touch()
    table = table.with_columns(path=pl.Series([f"{tmp_path}/{i}.mp4" for i in range(18)]))
    with pytest.raises(UserError, match=r"All 14 training clips are leopard: .* Add blank clips"):
        check(table, where="labels.csv")


@pytest.mark.parametrize(
    ("classes", "rows", "says"),
    [
        (("leopard",), [("train", LEOPARD)], "The only training clip is leopard"),
        (("leopard", "hog"), [*[("train", LEOPARD)] * 5, ("val", HOG)], "All 5 training clips are leopard:"),
        (
            ("leopard", "hog"),
            [("train", ("leopard", "hog"))] * 3,
            "leopard and hog: there is nothing to tell them",
        ),
        (("leopard",), [*[("train", ())] * 3, ("val", LEOPARD)], "No training clip (of 3) has leopard"),
        (
            ("leopard", "hog"),
            [*[("train", LEOPARD)] * 2, ("train", None)],
            "All 2 training clips are leopard",
        ),
    ],
)
def test_what_is_constant_is_an_error(classes, rows, says) -> None:
    (problem,), warnings = said(clips(classes, *rows))
    assert says in problem
    assert not warnings


def test_a_class_in_every_clip_beside_others_is_a_warning() -> None:
    rows = [("train", ("leopard", "night")), ("train", ("hog", "night")), ("val", ("hog",))]
    problems, (warning,) = said(clips(("leopard", "hog", "night"), *rows))
    assert not problems
    assert "each of the 2 training clips has the class night" in warning


def test_classes_that_only_occur_together_are_a_warning() -> None:
    rows = [("train", ("mother", "young")), ("train", ("blank",)), ("train", ("mother", "young"))]
    classes = ("blank", "mother", "young", "unseen")
    problems, (warning,) = said(clips(classes, *rows))
    assert not problems
    assert "classes mother and young are in the same training clips" in warning
    assert said(clips(classes, *rows, ("train", ("young",)))) == ([], [])


def test_labels_that_differ_are_passed_over() -> None:
    assert said(clips(("leopard", "hog"), ("train", LEOPARD), ("train", HOG))) == ([], [])
    assert said(clips(("blank",), ("train", ("blank",)), ("train", ()))) == ([], [])
    assert said(clips(("leopard",), ("test", LEOPARD))) == ([], [])  # no training clip: told elsewhere


def test_clips_that_are_not_on_disk_do_not_count(tmp_path) -> None:
    """What is left without them is of one class."""
    table = clips(("leopard", "hog"), *[("train", LEOPARD)] * 3, ("train", HOG), *[("val", LEOPARD)] * 2)
    for i in (0, 1, 2, 4, 5):
        (tmp_path / f"{i}.mp4").touch()
    table = table.with_columns(path=pl.Series([f"{tmp_path}/{i}.mp4" for i in range(6)]))
    with pytest.raises(UserError, match="All 3 training clips are leopard"):
        check(table, missing="skip")
