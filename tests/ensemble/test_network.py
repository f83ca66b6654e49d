"""The third place's second level: its tenths, its falling rate, its floors and ceilings."""

from itertools import pairwise

import numpy as np
import pytest

from jungle.ensemble import network
from jungle.metrics import calibration_fits
from jungle.metrics.scores import log_loss
from jungle.models.plateau import PlateauSchedule
from tests.models.test_plateau import keras_rates


def test_every_tenth_has_its_share_of_each_class() -> None:
    rng = np.random.default_rng(0)
    targets_NC = np.zeros((1003, 4))
    targets_NC[np.arange(1003), rng.choice(4, 1003, p=[0.7, 0.2, 0.09, 0.01])] = 1
    targets_NC[:40, 0] = 1  # some clips have two
    targets_NC[50:70] = np.nan
    part_N = network.deal_stratified(targets_NC, 10, 0)
    assert np.ptp(np.bincount(part_N, minlength=10)) <= 1
    kinds = np.unique(np.nan_to_num(targets_NC, nan=-1), axis=0)
    for kind in kinds:
        found = (np.nan_to_num(targets_NC, nan=-1) == kind).all(1)
        assert np.ptp(np.bincount(part_N[found], minlength=10)) <= 1
    assert (part_N != network.deal_stratified(targets_NC, 10, 1)).any()


def test_the_rate_falls_on_a_plateau_to_a_tenth(monkeypatch) -> None:
    values: list[float] = []
    rates: list[float] = []

    class Noted(PlateauSchedule):
        def step(self, *args, **kwargs) -> None:
            super().step(*args, **kwargs)
            values.append(args[0])
            rates.append(self.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(network, "PlateauSchedule", Noted)
    monkeypatch.setattr(network, "WIDTH", 8)
    monkeypatch.setattr(network, "EPOCHS", 40)
    monkeypatch.setattr(network, "PATIENCE", 99)
    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(60, 3)).astype(np.float32)
    network.fit_networks(x_NF, (rng.random((60, 2)) > 0.5).astype(float), "multilabel", 0, networks=1)
    assert rates[0] == 1e-3
    assert len(rates) == 40
    assert {round(b / a, 6) for a, b in pairwise(rates)} <= {
        1.0,
        0.7,
        round(1e-4 / 1.17649e-4, 6),
    }
    assert min(rates) == 1e-4  # noise cannot be learnt
    assert rates == pytest.approx(keras_rates(values))


def test_floors_and_ceilings_are_the_best_of_the_third_places_grid() -> None:
    assert (len(calibration_fits.LOWEST), len(calibration_fits.HIGHEST)) == (9, 500)
    rng = np.random.default_rng(0)
    y_NC = (rng.random((700, 3)) < [0.5, 0.97, 0.01]).astype(float)
    p_NC = np.clip(y_NC * 0.9999 + rng.normal(0, 0.02, y_NC.shape), 0, 1)
    flipped = rng.random(y_NC.shape) < 0.004
    p_NC[flipped] = 1 - p_NC[flipped]
    y_NC[::7, 1] = np.nan
    found = calibration_fits.clip(p_NC, y_NC, "multilabel").describe()
    for c in range(3):
        known = np.isfinite(y_NC[:, c])
        p, y = p_NC[known, c], y_NC[known, c]
        for grid, bound, name in (
            (calibration_fits.LOWEST, np.maximum, "lowest"),
            (calibration_fits.HIGHEST, np.minimum, "highest"),
        ):
            losses = np.array([log_loss(bound(p, v)[:, None], y[:, None]) for v in grid])
            at = int(np.argmin(np.abs(grid - found[name][c])))
            assert losses[at] <= losses.min() + 1e-12
    assert 0.95 < found["highest"][0] < 0.9998  # within the grid, not at its ends
