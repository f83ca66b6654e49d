"""The blend whose log loss is the least is the blend that is applied."""

import numpy as np
import pytest

from jungle.ensemble.blend import BLENDS, average, weighted
from jungle.ensemble.prediction_matrix import StackerInput
from jungle.metrics.scores import log_loss


def answers(task: str) -> tuple[StackerInput, np.ndarray]:
    """Return three members of unequal worth, one of which knows a single class, and the labels."""
    rng = np.random.default_rng(1)
    label = rng.choice(3, 300, p=[0.5, 0.3, 0.2])
    targets = np.eye(3, dtype=np.float32)[label]
    probs = []
    for noise in (2.0, 1.2, 0.9):
        z = 2.5 * targets + rng.normal(scale=noise, size=targets.shape)
        e = np.exp(z - z.max(1, keepdims=True))
        probs.append(e / e.sum(1, keepdims=True))
    probs_MNC = np.stack(probs).astype(np.float32)
    probs_MNC[0, :, 1:] = np.nan  # blank or not
    return StackerInput(probs_MNC, np.zeros((len(targets), 0), np.float32), task), targets


@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
def test_no_other_weights_give_a_better_mean(task: str) -> None:
    given, targets = answers(task)
    blend, about = weighted(given, targets)
    fitted = log_loss(blend(given), targets)
    steps = np.linspace(0, 1, 21)
    others = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1]
    best = min(log_loss(average(given, w), targets) for w in others)
    assert fitted <= best + 1e-5
    assert sum(about["weights"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", list(BLENDS))
def test_every_blend_gives_whole_probabilities(name: str) -> None:
    given, targets = answers("exclusive")
    blend, _ = BLENDS[name](given, targets)
    np.testing.assert_allclose(blend(given).sum(1), 1, atol=1e-6)
