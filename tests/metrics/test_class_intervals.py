"""What metrics.json says besides the scores: intervals, precision and recall of classes, sites."""

import numpy as np
import pytest

from jungle.metrics.class_intervals import _average_precision, compute_details
from jungle.metrics.scores import class_average_precision, class_f1, top_k

CLASSES = ("blank", "hog", "lion")
RNG = np.random.default_rng(0)
TARGETS = np.eye(3)[RNG.choice(3, 240, p=[0.5, 0.3, 0.2])]
PROBS = TARGETS * 0.4 + RNG.dirichlet(np.ones(3), 240) * 0.6
SITES = [f"s{i % 12}" for i in range(240)]


@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
def test_precision_and_recall_are_of_what_is_decided(task: str) -> None:
    found = compute_details(PROBS, TARGETS, SITES, CLASSES, task)
    said = np.eye(3, dtype=bool)[PROBS.argmax(1)] if task == "exclusive" else PROBS >= 0.5
    for c, name in enumerate(CLASSES):
        hit = (said[:, c] & (TARGETS[:, c] == 1)).sum()
        precision, recall = hit / said[:, c].sum(), hit / TARGETS[:, c].sum()
        assert found[f"class/{name}/precision"] == pytest.approx(precision)
        assert found[f"class/{name}/recall"] == pytest.approx(recall)
        f1 = class_f1(PROBS, TARGETS, task)[c]
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
        ap = class_average_precision(PROBS, TARGETS)[c]
        for kind, value in (("precision", precision), ("recall", recall), ("f1", f1), ("ap", ap)):
            low, high = found[f"class/{name}/{kind}/low"], found[f"class/{name}/{kind}/high"]
            assert low <= value <= high
            assert low < high


def test_average_precision_counts_a_clip_as_often_as_it_was_drawn() -> None:
    weights = RNG.integers(0, 3, 240)
    probs, true = PROBS[:, 1].round(1), TARGETS[:, 1] == 1  # ties
    again = class_average_precision(np.repeat(probs, weights)[:, None], np.repeat(true, weights)[:, None])
    assert _average_precision(probs, true, weights[None])[0] == pytest.approx(again[0], abs=1e-6)


def test_sites_have_scores_of_their_own_and_unknown_ones_none() -> None:
    sites = [None if s == "s3" else s for s in SITES]
    found = compute_details(PROBS, TARGETS, sites, CLASSES, "exclusive")
    here = np.array([s == "s4" for s in SITES])
    assert found["site/s4/clips"] == 20
    assert found["site/s4/accuracy"] == top_k(PROBS[here], TARGETS[here])
    assert {k for k in found if k.startswith("site/")} == {
        f"site/s{i}/{k}" for i in range(12) if i != 3 for k in ("clips", "log_loss", "accuracy")
    }
    assert compute_details(PROBS[:0], TARGETS[:0], [], CLASSES, "exclusive") == {}


def test_a_class_without_clips_is_left_out() -> None:
    targets = TARGETS.copy()
    targets[:, 2] = np.nan
    found = compute_details(PROBS, targets, SITES, CLASSES, "multilabel")
    assert not any("lion" in k for k in found)
    assert np.isfinite(list(found.values())).all()
