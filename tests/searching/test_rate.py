from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jungle.searching import rate

RATES = list(np.geomspace(rate.LOW, rate.HIGH, rate.STEPS))


def curve(fall: float, rise: float, noise: float = 0.1) -> list[float]:
    """Losses that fall from 2 to 0.5 about the rate `fall`, and run away from `rise` on."""
    at = np.log10(RATES)
    clean = 0.5 + 1.5 / (1 + np.exp(4 * (at - np.log10(fall)))) + np.exp(4 * (at - np.log10(rise)))
    return list(clean + noise * np.random.default_rng(0).standard_normal(len(clean)))


@pytest.mark.parametrize("fall", [1e-4, 1e-3, 1e-2])
def test_the_steepest_fall_is_chosen(fall: float) -> None:
    found = rate.suggested(RATES, curve(fall, 30 * fall))
    assert found is not None
    assert abs(np.log10(found / fall)) < 0.5


def test_a_fall_after_the_loss_ran_away_is_no_fall() -> None:
    losses = curve(1e-4, 3e-3)
    losses[-20:] = list(np.linspace(losses[-21], 0.6, 20))  # all is overwritten, and the loss falls again
    found = rate.suggested(RATES, losses)
    assert found is not None
    assert found < 1e-3


def test_losses_that_are_no_number_are_passed_over() -> None:
    losses = curve(1e-3, 3e-2)
    losses[-10:] = [float("nan")] * 10
    found = rate.suggested(RATES, losses)
    assert found is not None
    assert 3e-4 < found < 3e-3


@pytest.mark.parametrize("losses", [list(np.linspace(1, 9, 120)), [1.0] * 5, [float("nan")] * 120])
def test_without_a_fall_there_is_no_rate(losses: list[float]) -> None:
    assert rate.suggested(RATES[: len(losses)], losses) is None


def test_every_group_keeps_its_share_and_a_loss_that_ran_away_ends_it() -> None:
    layers = [torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)]
    optimizer = torch.optim.SGD(
        [{"params": m.parameters(), "lr": s} for m, s in zip(layers, (1, 0.1), strict=True)]
    )
    trainer: Any = SimpleNamespace(optimizers=[optimizer], global_step=0, should_stop=False)
    test: Any = rate.RangeTest()
    test.on_train_start(trainer, None)
    for step in range(rate.STEPS):
        trainer.global_step = step
        test.on_train_batch_start(trainer, None, None, step)
        first, second = (g["lr"] for g in optimizer.param_groups)
        assert first == pytest.approx(RATES[step])
        assert second == pytest.approx(0.1 * first)
        test.on_train_batch_end(trainer, None, {"loss": torch.tensor(9.0 if step >= 50 else 1.0)}, None, step)
        assert trainer.should_stop == (step >= 51)  # the mean of three
    test.on_train_batch_end(trainer, None, {"loss": torch.tensor(float("nan"))}, None, 0)
    assert trainer.should_stop
