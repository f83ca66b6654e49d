"""What counts as seen in a clip: decisions first, then the threshold."""

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction
from jungle.postprocessing.seen import find_seen, find_task

CLASSES = ("blank", "hog", "lion")


def table(*probs: tuple[float, ...] | None) -> pl.DataFrame:
    rows = [
        ClipPrediction.failure("damaged") if p is None else ClipPrediction(probs=np.array(p, np.float32))
        for p in probs
    ]
    return predictions.make_table([f"{i}.mp4" for i in range(len(rows))], rows, CLASSES)


def seen(frame: pl.DataFrame, task: str, threshold: float = 0.5) -> list[tuple[int, str]]:
    found = find_seen(frame, CLASSES, task=task, threshold=threshold)
    return list(found.select("row", "name").iter_rows())


def test_of_exclusive_classes_only_the_most_probable_one_counts() -> None:
    frame = table((0.1, 0.2, 0.7), None, (0.4, 0.3, 0.3))
    assert seen(frame, "exclusive") == [(0, "lion")]
    assert seen(frame, "exclusive", 0.3) == [(0, "lion"), (2, "blank")]
    assert seen(frame, "exclusive", 0) == [(0, "lion"), (2, "blank")]  # a clip that failed has none at all


def test_of_other_classes_several_count_and_blank_only_alone() -> None:
    frame = table((0.1, 0.6, 0.7), (0.9, 0.2, 0.6), (0.9, 0.2, 0.1), (0.1, 0.1, 0.1))
    assert seen(frame, "multilabel") == [(0, "hog"), (0, "lion"), (1, "lion"), (2, "blank")]


def test_probabilities_that_add_up_to_one_are_of_exclusive_classes() -> None:
    assert find_task(table((0.1, 0.2, 0.7), None), CLASSES) == "exclusive"
    assert find_task(table((0.1, 0.6, 0.7), (0.1, 0.2, 0.7)), CLASSES) == "multilabel"
    assert find_task(table(None), CLASSES) == "multilabel"


def test_further_classes_of_a_decision_count_too() -> None:
    frame = table((0.1, 0.6, 0.7), (0.9, 0.2, 0.1))
    decisions = pl.DataFrame(
        {
            "clip": ["1.mp4", "0.mp4"],
            "decision": ["blank", "lion"],
            "probability": [0.8, 0.7],
            "also": [None, "hog"],
        }
    )
    found = find_seen(frame, CLASSES, task="multilabel", threshold=0.5, decisions=decisions)
    assert found.select("row", "name").rows() == [(0, "lion"), (0, "hog"), (1, "blank")]
    assert found["probability"].to_list() == pytest.approx([0.7, 0.6, 0.8])


@pytest.mark.parametrize("known", [True, False])
def test_a_decision_is_the_last_word(known: bool) -> None:
    frame = table((0.1, 0.2, 0.7), (0.8, 0.1, 0.1), None, (0.1, 0.5, 0.4), (0.1, 0.2, 0.7))
    decisions = pl.DataFrame(
        {
            "clip": frame["clip"],
            "decision": ["hog", "unsure", "lion", "mammal", None],
            "probability": [0.3] * 5,
        }
    )
    if not known:
        decisions = decisions.drop("probability")
    found = find_seen(frame, CLASSES, task="exclusive", threshold=0.5, decisions=decisions)
    assert found["name"].to_list() == ["hog", "mammal"]  # the clip that failed has none, whatever is decided
    assert found["row"].to_list() == [0, 3]
    assert found["probability"].to_list() == pytest.approx([0.3, 0.3] if known else [0.2, None])
