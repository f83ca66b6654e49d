import numpy as np
import pytest
import torch

from jungle.metrics import scores
from jungle.metrics.running import RunningScores

CLASSES = ("a", "b", "c")


def test_log_loss_is_the_competitions() -> None:
    probs = np.array([[0.9, 0.2, 0.5], [0.1, 1.0, 0.0]])
    targets = np.array([[1, 0, 0], [0, 1, 0]])
    by_hand = -(np.log(0.9) + np.log(0.8) + np.log(0.5) + np.log(0.9) + 2 * np.log(1 - 1e-15)) / 6
    assert scores.log_loss(probs, targets) == pytest.approx(by_hand, rel=1e-12)
    assert scores.class_log_loss(probs, targets).mean() == pytest.approx(by_hand, rel=1e-12)
    assert scores.log_loss(np.full((4, 24), 0.5), np.zeros((4, 24))) == pytest.approx(0.6931, abs=1e-4)


def test_log_loss_clips_at_1e_15() -> None:
    wrong = scores.log_loss(np.array([[0.0]], np.float32), np.array([[1]]))
    assert wrong == pytest.approx(-np.log(1e-15), rel=1e-9)


def test_predicting_priors_scores_what_the_competition_page_says() -> None:
    counts = [
        122270,
        21601,
        20453,
        20034,
        5045,
        4650,
        2911,
        2386,
        1883,
        1085,
        569,
        372,
        273,
        224,
        209,
        175,
        174,
    ]
    p = np.array([*counts, 79, 63, 21, 10, 9, 8, 2]) / 204130
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p)).mean()
    assert entropy == pytest.approx(0.0912, abs=2e-4)


def test_top_k_counts_labelled_clips_only() -> None:
    probs = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    targets = np.array([[0, 1, 0], [1, 0, 0], [np.nan] * 3])
    assert scores.top_k(probs, targets, 1) == 0.5
    assert scores.top_k(probs, targets, 2) == 1.0
    assert np.isnan(scores.top_k(probs[2:], targets[2:]))


def test_macro_f1_is_over_classes_that_occur() -> None:
    probs = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    targets = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    f1 = scores.class_f1(probs, targets, "exclusive")
    assert f1[:2] == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan(f1[2])
    assert scores.compute_scores(probs, targets, CLASSES, "exclusive")["macro_f1"] == pytest.approx(2 / 3)


def test_average_precision() -> None:
    probs = np.array([[0.9], [0.8], [0.7], [0.6]])
    targets = np.array([[1], [0], [1], [np.nan]])
    assert scores.class_average_precision(probs, targets)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_a_clip_counts_once_over_devices() -> None:
    running = RunningScores(CLASSES, "exclusive")
    probs, targets = torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0, 0, 1.0]])
    running.update(torch.tensor([7, 3, 9]), probs, targets)
    running.update(torch.tensor([3]), probs[1:2], targets[1:2])  # as a padding sampler would
    found = running.compute()
    assert found["clips"] == 3
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_no_clips_is_no_error() -> None:
    running = RunningScores(CLASSES, "multilabel")
    running.update(torch.zeros(0), torch.zeros(0, 3), torch.zeros(0, 3))
    assert running.compute() == {"clips": 0.0}


def test_one_class_alone_is_not_always_right() -> None:
    """Its accuracy is that of p >= 0.5 over all labelled clips, with the class and without it."""
    probs, targets = np.array([[0.9], [0.4], [0.1], [0.7], [0.3]]), np.array([[1], [1], [0], [0], [np.nan]])
    found = scores.compute_scores(probs, targets, ("blank",), "multilabel")
    assert found["accuracy"] == 0.5
    assert "top3" not in found
