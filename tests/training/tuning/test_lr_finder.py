from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jungle.training.tuning import lr_finder

RATES = list(np.geomspace(lr_finder.LOW, lr_finder.HIGH, lr_finder.STEPS))


def curve(lowest: float, noise: float = 0.1) -> list[float]:
    """Losses that fall from 2 to 0.5 up to the rate `lowest`, and run away behind it."""
    away = np.log10(RATES) - np.log10(lowest)
    clean = np.where(away < 0, 0.5 + 1.5 * np.clip(-away / 2, 0, 1), 0.5 + 5 * np.clip(away, 0, None) ** 2)
    return list(clean + noise * np.random.default_rng(0).standard_normal(len(clean)))


@pytest.mark.parametrize("lowest", [1e-3, 1e-2, 1e-1])
def test_a_tenth_of_the_rate_with_the_lowest_loss_is_chosen(lowest: float) -> None:
    found = lr_finder.suggest_rate(RATES, curve(lowest))
    assert found is not None
    assert abs(np.log10(found / lowest * 10)) < 0.3


def test_losses_that_are_no_number_are_passed_over() -> None:
    losses = curve(1e-2)
    whole = lr_finder.suggest_rate(RATES, losses)
    losses[-10:] = [float("nan")] * 10
    assert lr_finder.suggest_rate(RATES, losses) == whole


@pytest.mark.parametrize(
    "losses",
    [
        list(np.linspace(1, 9, lr_finder.STEPS)),
        list(2 + 0.3 * np.random.default_rng(1).standard_normal(lr_finder.STEPS)),
        [1.0] * 5,
        [float("nan")] * lr_finder.STEPS,
    ],
)
def test_without_a_fall_there_is_no_rate(losses: list[float]) -> None:
    assert lr_finder.suggest_rate(RATES[: len(losses)], losses) is None


def test_every_group_keeps_its_share_and_a_loss_that_ran_away_ends_it() -> None:
    layers = [torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)]
    optimizer = torch.optim.SGD(
        [{"params": m.parameters(), "lr": s} for m, s in zip(layers, (1, 0.1), strict=True)]
    )
    trainer: Any = SimpleNamespace(optimizers=[optimizer], global_step=0, should_stop=False)
    test: Any = lr_finder.RangeTest()
    test.on_train_start(trainer, None)
    for step in range(lr_finder.STEPS):
        trainer.global_step = step
        test.on_train_batch_start(trainer, None, None, step)
        first, second = (g["lr"] for g in optimizer.param_groups)
        assert first == pytest.approx(RATES[step])
        assert second == pytest.approx(0.1 * first)
        test.on_train_batch_end(trainer, None, {"loss": torch.tensor(9.0 if step >= 50 else 1.0)}, None, step)
        assert trainer.should_stop == (step >= 51)  # the mean of three
    test.on_train_batch_end(trainer, None, {"loss": torch.tensor(float("nan"))}, None, 0)
    assert trainer.should_stop
