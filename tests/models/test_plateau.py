"""Learning rates on a plateau: Keras' of 2017, and PyTorch's."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from jungle.models.plateau import KERAS, Plateau, PlateauSchedule


def rates_of(plateau: Plateau, values: list[float], lr: float = 1e-3) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    schedule = PlateauSchedule(optimizer, "min", plateau)
    rates = []
    for value in values:
        schedule.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def keras_rates(values: list[float], lr: float = 1e-3) -> list[float]:
    """Rates after each epoch, as Keras 2.1 computes them: it compares, and only then counts the epoch."""
    best, wait, rates = float("inf"), 0, []
    for value in values:
        if value < best - 1e-4:
            best, wait = value, 0
        else:
            if wait >= 2 and lr > 1e-4:
                lr, wait = max(lr * 0.7, 1e-4), 0
            wait += 1
        rates.append(lr)
    return rates


@pytest.mark.parametrize("seed", range(5))
def test_the_rule_of_the_third_place_is_that_of_keras(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = list(0.02 + 0.01 * np.exp(-np.arange(60) / 9) + rng.normal(0, 1.5e-4, 60))
    assert rates_of(KERAS, values) == pytest.approx(keras_rates(values))


def test_the_first_fall_waits_longer_than_the_next() -> None:
    rates = [1e-3, *rates_of(KERAS, [1.0] * 8)]
    assert [epoch for epoch, (before, now) in enumerate(pairwise(rates)) if now < before] == [3, 5, 7]


def test_an_improvement_is_absolute_or_a_share_of_the_best_value() -> None:
    values = [0.02, 0.01995, 0.0199, 0.0199]  # each by 5e-5, a quarter of a percent
    assert rates_of(Plateau(), values) == [1e-3] * 4
    assert rates_of(Plateau(threshold=9e-5), values)[2:] == [1e-3, 1e-3]
    assert rates_of(Plateau(threshold=2e-4), values)[2:] == [5e-4, 5e-4]


def test_a_resumed_schedule_continues_its_count() -> None:
    values = [1.0] * 9
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    first = PlateauSchedule(optimizer, "min", KERAS)
    for value in values[:5]:
        first.step(value)
    resumed = PlateauSchedule(optimizer, "min", KERAS)
    resumed.load_state_dict(first.state_dict())
    for value in values[5:]:
        resumed.step(value)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(keras_rates(values)[-1])
