"""A learning rate from a range test (Smith 2017, Cyclical Learning Rates): `optim.lr=auto`.

The rate is a tenth of that at which the loss is lowest, as in fastai. Lightning runs the loop, but its
`lr_find` is not used: see docs/decisions.md.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from jungle.config import TrainConfig
from jungle.data.datamodule import ClipData
from jungle.errors import UserError
from jungle.files import replace_atomically
from jungle.training import build
from jungle.training.callbacks import StepSeed
from jungle.training.tuning.trial import ModelFactory

LOW, HIGH, STEPS = 1e-6, 10.0, 140
WINDOW = 15  # steps, three quarters of a power of ten: the loss of one batch says little
GROWN = 4.0  # the test ends at this many times the lowest loss


class RangeTest(pl.Callback):
    """A learning rate that rises step by step until the loss diverges.

    Each group of weights keeps its proportion: its rate is given for `optim.lr` 1.

    Attributes:
        rates, losses: of each batch.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._shares: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember each group's share."""
        self._shares = [group["lr"] for group in trainer.optimizers[0].param_groups]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Set the step's rate."""
        rate = LOW * (HIGH / LOW) ** (trainer.global_step / (STEPS - 1))
        self.rates.append(rate)
        for group, share in zip(trainer.optimizers[0].param_groups, self._shares, strict=True):
            group["lr"] = rate * share

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Note the loss; end where it is nan or has grown too far."""
        self.losses.append(float(outputs["loss"]))
        lowest = smooth(self.losses).min() if len(self.losses) >= WINDOW else np.inf
        # In this form a loss of nan ends the test too.
        trainer.should_stop = not np.mean(self.losses[-3:]) <= GROWN * lowest


def find(cfg: TrainConfig, folder: Path, make: ModelFactory, data: ClipData) -> float:
    """Run the test on the training batches of `data`, write `folder/lr_find.png` and return the rate.

    Raises:
        UserError: the loss falls at no rate.
    """
    flat = {"lr": 1.0, "schedule": "constant", "warmup": 0.0}
    trial = cfg.model_copy(update={"optim": cfg.optim.model_copy(update=flat)})
    test = RangeTest()
    trainer = build.build_short_trainer(trial, STEPS, [StepSeed(cfg.seed), test])
    trainer.fit(make(trial), datamodule=data)
    data.trainer = None  # the trainer of the run takes it over
    rate = suggest_rate(test.rates, test.losses)
    draw_test(test.rates, test.losses, rate, folder / "lr_find.png")
    if rate is None:
        raise UserError(
            f"optim.lr=auto: the loss falls at no rate from {LOW:g} to {HIGH:g} (see "
            f"{folder / 'lr_find.png'}): give a number, as optim.lr=3e-4"
        )
    return rate


def smooth(losses: list[float]) -> np.ndarray:
    """Return the centred moving mean over `WINDOW` losses, fewer at the ends."""
    ones = np.ones(WINDOW)
    return np.convolve(losses, ones, "same") / np.convolve(np.ones(len(losses)), ones, "same")


def suggest_rate(rates: list[float], losses: list[float]) -> float | None:
    """Return a tenth of the rate at which the smoothed loss is lowest.

    None where it may be chance: less than five standard errors below the mean of the first losses.
    """
    known = np.flatnonzero(np.isfinite(losses))
    if len(known) < WINDOW:
        return None
    found = np.take(losses, known)
    half, first = WINDOW // 2, found[:WINDOW]
    whole = smooth(list(found))[half : len(found) - half]  # means of fewer are lowest by chance
    lowest = half + int(whole.argmin())
    if whole.min() >= first.mean() - 5 * first.std(ddof=1) / WINDOW**0.5:
        return None
    return float(f"{rates[known[lowest]] / 10:.2g}")


def draw_test(rates: list[float], losses: list[float], rate: float | None, path: Path) -> None:
    """Draw the loss against the rate, and the chosen rate."""
    from matplotlib.figure import Figure  # here: few runs draw, and every run would import it

    finite = [x for x in losses if np.isfinite(x)]
    # Not pyplot, whose choice of a backend is that of the notebook this may run in.
    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    panel.plot(rates, losses, ".", color="#b5b5b5", ms=4, label="a batch")
    if finite:
        shown = [r for r, x in zip(rates, losses, strict=True) if np.isfinite(x)]
        smoothed = smooth(finite)
        panel.plot(shown, smoothed, color="#2a7f4f", lw=2, label=f"mean of {WINDOW}")
        panel.set_ylim(0, 2 * smoothed[0])  # where the loss runs away, it would flatten all the rest
    if rate is not None:
        panel.axvline(rate, color="#c98a1b", lw=1.5, label=f"chosen: {rate:.2g}")
    panel.set_xscale("log")
    panel.set_xlabel("learning rate (log)")
    panel.set_ylabel("training loss")
    panel.legend(frameon=False, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    with replace_atomically(path) as part:
        figure.savefig(part, dpi=110)
