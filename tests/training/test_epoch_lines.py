"""The line of an epoch says what its numbers are."""

from types import SimpleNamespace
from typing import Any

import pytest

from jungle.training.callbacks import EpochLines
from jungle.wording import format_seconds


def test_the_training_loss_and_the_validation_score_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    metrics = {"train/loss": 1.62, "val/log_loss": 0.2783, "val/accuracy": 0.5}
    trainer: Any = SimpleNamespace(is_global_zero=True, callback_metrics=metrics, current_epoch=3)
    with caplog.at_level("INFO", "jungle"):
        EpochLines().on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert caplog.messages == [
        "epoch 3: train/loss 1.6200 (what is minimised), "
        "val/log_loss 0.2783 (another measure: mean over clips and classes), val/accuracy 0.5000"
    ]


def test_a_span_of_time_has_a_unit_that_fits_it() -> None:
    spans = {0: "0 seconds", 1: "1 second", 42: "42 seconds", 119: "2 minutes", 5000: "83 minutes"}
    assert {s: format_seconds(s) for s in spans} == spans
    assert (format_seconds(5400), format_seconds(7_200_000)) == ("1.5 hours", "2,000.0 hours")
