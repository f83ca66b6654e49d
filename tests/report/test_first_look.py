"""What a page says to somebody who sees one for the first time."""

import polars as pl
import pytest

from jungle.report import write_report
from jungle.report.summary import summarise
from tests.report.report_cases import CLASSES, said
from tests.report.test_page import Page


def words_of(folder, **given) -> str:
    path = write_report(folder, **{"title": "x", "classes": CLASSES, "task": "multilabel", **given})
    return Page(path.read_text(encoding="utf-8")).words


def test_only_what_was_found_is_called_confident(tmp_path):
    probs = [[0.1, 0.9, 0.1], [0.2, 0.1, 0.37], [0.3, 0.8, 0.1], *[[0.1, 0.2, 0.3]] * 9]
    words = words_of(tmp_path, predictions={"all": said(probs)})
    certain = words[words.index("Confident predictions") : words.index("Uncertain predictions")]
    assert "c0.avi" in certain
    assert "c1.avi" not in certain
    exclusive = words_of(tmp_path, predictions={"all": said([[0.3, 0.37, 0.33]])}, task="exclusive")
    assert "Confident predictions" in exclusive  # there the most probable class is what was found


@pytest.mark.parametrize("name", ["leer", "Vide", "vacío", "vuoto", "no animal", "false_trigger"])
def test_a_blank_class_of_another_language_is_counted_and_named(tmp_path, name):
    classes = (name, "leopard")
    table = said([[0.9, 0.1], [0.1, 0.9]], classes=classes)
    found = summarise(table, classes, "exclusive")
    assert (found.blank, found.blank_classes) == (1, [name])
    words = words_of(tmp_path, predictions={"all": table}, classes=classes, task="exclusive")
    assert f"1 of them is called {name}." in words
    assert f"1 clip without an animal, as far as the model can tell: class {name}" in words


def test_where_no_class_is_blank_the_page_says_so(tmp_path):
    classes = ("duiker", "leopard")
    words = words_of(tmp_path, predictions={"all": said([[0.9, 0.1]], classes=classes)}, classes=classes)
    assert "No class is called blank, empty or the like, so clips without an animal are not counted" in words


def test_a_wrong_clip_below_a_half_is_not_called_sure(tmp_path, clips, table):
    clips = clips.drop("path")  # so that no video is read
    words = words_of(tmp_path, predictions={"test": table}, clips=clips, task="exclusive")
    assert "Confident errors" in words
    assert "Uncertain errors" not in words  # both wrong clips have a half or more
    less = table.with_columns(
        blank=pl.when(pl.col("clip") == "c1.avi").then(0.43).otherwise("blank").cast(pl.Float32),
        leopard=pl.when(pl.col("clip") == "c1.avi").then(0.2).otherwise("leopard").cast(pl.Float32),
    )
    less = less.with_columns(
        blank=pl.when(pl.col("clip") == "c4.avi").then(0.45).otherwise("blank").cast(pl.Float32)
    )
    words = words_of(tmp_path, predictions={"test": less}, clips=clips, task="exclusive")
    assert "Confident errors" not in words
    assert "c4.avi" in words[words.index("Uncertain errors") : words.index("Correct predictions The")]
    for key in ("true class", "most probable, but wrong", "other classes"):
        assert key in words  # what the colours mean


def test_the_model_stands_below_the_heading(tmp_path, clips, table):
    words = words_of(
        tmp_path, predictions={"test": table}, clips=clips.drop("path"), about="lite0, frozen, gru head"
    )
    assert "lite0, frozen, gru head · 3 classes" in words
