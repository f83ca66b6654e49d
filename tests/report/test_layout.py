"""What a page shows of many classes, and on a small screen."""

import re

import polars as pl

from jungle.report import write_report
from tests.report.report_cases import said


def page_of(tmp_path, classes, truth, probs) -> str:
    clips = pl.DataFrame(
        {
            "clip": [f"c{i}.avi" for i in range(len(truth))],
            "path": ["x"] * len(truth),
            "split": ["test"] * len(truth),
            **{c: [int(c in t) for t in truth] for c in classes},
        }
    )
    path = write_report(
        tmp_path,
        title="x",
        predictions={"test": said(probs, classes=classes)},
        classes=classes,
        task="multilabel",
        clips=clips,
    )
    return path.read_text(encoding="utf-8")


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def rows(page: str, table: str) -> list[str]:
    body = re.search(rf'<table class="{table}".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body is not None
    return re.findall(r'<th scope="row">(.*?)</th>', body[1])


CLASSES = ("blank", "hog", "lion", "pangolin", "zorilla")


def test_classes_without_a_clip_stand_behind_a_line(tmp_path) -> None:
    sure = [[0.9, 0.1, 0.0, 0.0, 0.0], [0.1, 0.2, 0.0, 0.7, 0.0]]
    page = page_of(tmp_path, CLASSES, [{"blank"}, {"hog"}], sure)
    assert rows(page, "matrix") == ["blank", "hog"]
    assert rows(page, "classes") == ["blank", "hog"]
    heads = re.findall(r'<th scope="col"><span>(.*?)</span>', page)
    assert heads == ["blank", "hog", "pangolin"]  # one that no clip has, but one was taken for
    assert "3 classes have no clip here" in words(page)
    assert "lion, pangolin, zorilla." in words(page)
    assert 'title="1 of 1 hog clips mistaken for pangolin"' in page


def test_one_class_without_a_clip_is_one_class(tmp_path) -> None:
    page = page_of(tmp_path, CLASSES[:3], [{"blank"}, {"hog"}], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert "1 class has no clip here" in words(page)


def test_nothing_is_said_where_every_class_has_clips(tmp_path) -> None:
    page = page_of(tmp_path, CLASSES[:2], [{"blank"}, {"hog"}], [[0.9, 0.1], [0.1, 0.9]])
    assert "no clip here" not in page


def test_wide_tables_show_that_they_scroll(tmp_path) -> None:
    page = page_of(tmp_path, CLASSES, [{c} for c in CLASSES], [[0.5] * 5] * 5)
    assert page.count('<div class="scroll"') == 2
    assert "Scroll sideways for all columns." in page
    assert ".scroll::after" in page  # fades what is cut off
    assert "position: sticky; left: 0" in page  # names stay
