"""A calibration travels in a checkpoint as plain values, which may be anybody's."""

import numpy as np
import pytest

from jungle.errors import UserError
from jungle.metrics.calibration import MAX_CLASS_KNOTS, Calibration
from jungle.metrics.calibration_fits import CALIBRATIONS
from jungle.metrics.logits import normalise

RNG = np.random.default_rng(0)
TARGETS = np.eye(3)[RNG.choice(3, 400)]
PROBS = normalise(np.clip(TARGETS * 0.5 + RNG.random((400, 3)) * 0.6, 1e-4, 1), "exclusive")


@pytest.mark.parametrize("method", CALIBRATIONS)
@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
def test_it_is_the_same_after_it_was_stored(method: str, task: str) -> None:
    fitted = CALIBRATIONS[method](PROBS, TARGETS, task)
    again = Calibration.from_dict(fitted.to_dict(), 3)
    assert again == fitted
    np.testing.assert_array_equal(again(PROBS), fitted(PROBS))
    assert np.isnan(again(np.full((1, 3), np.nan))).all()


def test_knots_are_few_and_rise() -> None:
    probs = np.sort(RNG.random((20_000, 1)), axis=0)
    fitted = CALIBRATIONS["isotonic"](probs, (RNG.random((20_000, 1)) < probs).astype(float), "multilabel")
    assert fitted.knots[0] is not None
    assert 2 <= len(fitted.knots[0][0]) <= MAX_CLASS_KNOTS
    assert (np.diff(fitted(probs)[:, 0]) >= 0).all()


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (["temperature"], "not a table"),
        ({"method": "magic", "task": "exclusive"}, "unknown method"),
        ({"method": "temperature", "task": "exclusive", "temperature": float("nan")}, "no fit gives"),
        ({"method": "temperature", "task": "exclusive", "temperature": 0}, "no fit gives"),
        ({"method": "temperature", "task": "exclusive", "temperature": "1"}, "no fit gives"),
        ({"method": "platt", "task": "exclusive", "slopes": [1, 1], "offsets": [0, 0, 0]}, "other classes"),
        ({"method": "platt", "task": "exclusive", "slopes": [-1, 1, 1], "offsets": [0, 0, 0]}, "no fit"),
        ({"method": "clip", "task": "exclusive", "lowest": [0, 0, 1], "highest": [1, 1, 0.5]}, "floor"),
        ({"method": "isotonic", "task": "exclusive"}, "no knots"),
        (
            {"method": "isotonic", "task": "exclusive", "stated": [[]] * 2, "happened": [[]] * 2},
            "other classes",
        ),
        (
            {
                "method": "isotonic",
                "task": "exclusive",
                "stated": [[0, 1], [], []],
                "happened": [[1, 0], [], []],
            },
            "decreases",
        ),
        (
            {"method": "isotonic", "task": "exclusive", "stated": [[0, 1]] * 3, "happened": [[0]] * 3},
            "in pairs",
        ),
        (
            {
                "method": "isotonic",
                "task": "exclusive",
                "stated": [[0.0] * 9000] * 3,
                "happened": [[0.0] * 9000] * 3,
            },
            "more than",
        ),
    ],
)
def test_values_that_no_fit_gives_are_refused(stored: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Calibration.from_dict(stored, 3)
