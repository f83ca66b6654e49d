"""Events: clips of one site within a gap of the clip before, logits averaged, clips counted."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction
from jungle.postprocessing.events import Events, find_events
from jungle.postprocessing.seen import find_seen

CLASSES = ("blank", "lion")
Clip = tuple[str | None, str | None, float | None, tuple[float, float] | None]


def make(*clips: Clip) -> pl.DataFrame:
    rows = [
        ClipPrediction.failure("damaged") if p is None else ClipPrediction(probs=np.array(p, np.float32))
        for *_, p in clips
    ]
    return predictions.make_table([f"{i}.mp4" for i in range(len(rows))], rows, CLASSES).with_columns(
        site=pl.Series([c[0] for c in clips], dtype=pl.String),
        time=pl.Series(
            [None if c[1] is None else datetime.fromisoformat(f"2024-05-01 {c[1]}") for c in clips],
            dtype=pl.Datetime("us"),
        ),
        duration=pl.Series([c[2] for c in clips], dtype=pl.Float64),
    )


def find(frame: pl.DataFrame, gap_min: float = 30, task: str = "exclusive") -> Events:
    return find_events(frame, CLASSES, task=task, gap_min=gap_min)


P = (0.5, 0.5)


def test_the_gap_is_measured_from_the_clip_before() -> None:
    """Not from the first of the event: each of these is 30 minutes after the one before."""
    found = find(
        make(("a", "10:00", 0, P), ("a", "11:00", 0, P), ("a", "10:30", 0, P), ("a", "11:30:01", 0, P))
    )
    assert found.number_N.tolist() == [0, 0, 0, 1]
    assert found.table["clips"].to_list() == [3, 1]
    assert found.alone == 0


def test_the_gap_begins_where_the_clip_before_has_ended() -> None:
    assert find(make(("a", "10:00", 60, P), ("a", "10:31", 5, P))).number_N.tolist() == [0, 0]
    assert find(make(("a", "10:00", 59, P), ("a", "10:31", 5, P))).number_N.tolist() == [0, 1]
    assert find(make(("a", "10:00", None, P), ("a", "10:31", 5, P))).number_N.tolist() == [0, 1]


def test_a_long_clip_reaches_over_a_short_one() -> None:
    found = find(make(("a", "10:00", 3600, P), ("a", "10:10", 5, P), ("a", "11:20", 5, P)))
    assert found.number_N.tolist() == [0, 0, 0]
    assert found.table["end"][0] == datetime(2024, 5, 1, 11, 20, 5)


def test_sites_are_apart_and_in_order() -> None:
    found = find(make(("b", "10:00", 0, P), ("a", "10:01", 0, P), ("b", "10:02", 0, P)))
    assert found.number_N.tolist() == [1, 0, 1]
    assert found.table["site"].to_list() == ["a", "b"]
    assert found.table["start"].to_list()[1] == datetime(2024, 5, 1, 10)


def test_a_clip_without_site_or_time_is_an_event_of_its_own() -> None:
    found = find(make((None, "10:00", 0, P), ("a", "10:00", 0, P), (None, "10:01", 0, P), ("a", None, 0, P)))
    assert found.alone == 3
    assert found.number_N[1] == 0
    assert len(set(found.number_N.tolist())) == 4
    nowhere = find(make((None, None, None, P), (None, None, None, P)))
    assert nowhere.number_N.tolist() == [0, 1]


def test_no_clip_at_all_is_no_event() -> None:
    assert len(find(make()).table) == 0


@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
def test_logits_are_averaged_over_the_clips_that_were_read(task: str) -> None:
    frame = make(("a", "10:00", 0, (0.2, 0.8)), ("a", "10:01", 0, (0.6, 0.4)), ("a", "10:02", 0, None))
    found = find(frame, task=task)
    if task == "exclusive":
        product = np.sqrt([0.2 * 0.6, 0.8 * 0.4])
        expected = product / product.sum()
    else:
        odds = np.sqrt([0.2 / 0.8 * 0.6 / 0.4, 0.8 / 0.2 * 0.4 / 0.6])
        expected = odds / (1 + odds)
    assert found.probs_EC[0] == pytest.approx(expected, rel=1e-5)
    assert (found.table["clips"][0], found.table["unread"][0]) == (3, 1)


def test_an_event_of_which_nothing_was_read_has_no_probability() -> None:
    assert np.isnan(find(make(("a", "10:00", 0, None))).probs_EC).all()


def test_clips_with_a_class_are_counted() -> None:
    frame = make(
        ("a", "10:00", 0, (0.1, 0.9)), ("a", "10:01", 0, (0.4, 0.6)), ("a", "10:02", 0, (0.7, 0.3)),
        ("b", "10:00", 0, (0.8, 0.2)),
    )  # fmt: skip
    seen = find_seen(frame, CLASSES, task="exclusive", threshold=0.5)
    counted = find(frame).count_clips_with(seen)
    assert list(counted.iter_rows()) == [
        (0, "lion", 2, pytest.approx(0.9)),
        (0, "blank", 1, pytest.approx(0.7)),
        (1, "blank", 1, pytest.approx(0.8)),
    ]
