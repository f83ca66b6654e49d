"""Callbacks of a training run: checkpoints, early stopping, history, the random state of each step."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    RichProgressBar,
)

from jungle import runs
from jungle.config import TrainConfig
from jungle.console import log
from jungle.data.datamodule import ClipData
from jungle.errors import UserError
from jungle.files import write_json
from jungle.training.checkpointing import Best, Last
from jungle.training.pseudo_label_rounds import Rounds

RATE = "lr-"  # Lightning's names of learning rates begin with it


class StepSeed(Callback):
    """Seeds of single steps: a resumed run draws what an uninterrupted run draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Seed dropout by the step's number; the loader seeds the order of clips."""
        step = (self.seed * 100_003 + trainer.current_epoch) * 1_000_003 + batch_idx
        torch.manual_seed((step * 1009 + trainer.global_rank) & 0x7FFF_FFFF_FFFF_FFFF)


class NoteUnread(Callback):
    """Record of damaged clips, written before each checkpoint, since a kill leaves no time for it.

    A run that resumes from the checkpoint was trained on them, and must know whether they were repaired.

    Args:
        note: takes the numbers of all damaged clips so far, on the first process.
    """

    def __init__(self, note: Callable[[set[int]], None]) -> None:
        self._note, self._noted = note, set[int]()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the clips of all devices, where there are new ones."""
        unread = ClipData.of(trainer).gather_unread()
        if trainer.is_global_zero and unread != self._noted:
            self._note(unread)
            self._noted = unread


def get_log_interval(trainer: pl.Trainer) -> int:
    """Return `log_every_n_steps`, which Lightning does not declare: a connector sets it."""
    return trainer.log_every_n_steps  # type: ignore[attr-defined]


class StopOnNan(Callback):
    """A stop with an error where the loss is nan or inf, before any checkpoint is written.

    Every step notes it on the device; only some steps read the note, since reading waits for the device.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Clear the note."""
        self._bad = torch.zeros((), dtype=torch.bool, device=pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        """Note the loss of the batch; read the note every few steps and at the last one before validation."""
        value = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._bad |= ~torch.isfinite(value.detach())
        every = get_log_interval(trainer)
        if (batch_idx + 1) % every == 0 or batch_idx + 1 == trainer.num_training_batches:
            self._check(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read the note before anything is written."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(bool(self._bad), all=False):
            raise UserError(
                f"the loss became nan or inf in epoch {trainer.current_epoch}: lower optim.lr, or set "
                "trainer.precision=32-true; the best checkpoint so far is undamaged"
            )


class History(Callback):
    """`history.json`: the scores of every epoch, also those from before a stop."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add an epoch."""
        numbers = {
            k: float(v)
            for k, v in trainer.callback_metrics.items()
            if "/" in k and torch.isfinite(v) and not k.startswith(RATE)
        }
        self.epochs = [e for e in self.epochs if e["epoch"] < trainer.current_epoch]
        self.epochs.append({"epoch": trainer.current_epoch, **numbers})
        if trainer.is_global_zero:
            write_json(self.file, self.epochs)

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs so far, for `last.ckpt`."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the epochs so far from `last.ckpt`."""
        self.epochs = list(state_dict["epochs"])


class LearningRates(LearningRateMonitor):
    """Learning rate of each group of weights, logged every few steps, or every epoch where it has fewer.

    In short epochs the training loss is logged too: Lightning would log it in some of the epochs alone.
    """

    def on_train_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Choose between steps and epochs."""
        short = trainer.num_training_batches < get_log_interval(trainer)
        self.logging_interval = "epoch" if short else "step"
        super().on_train_start(trainer, *args, **kwargs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the mean loss of the epoch."""
        if self.logging_interval == "epoch" and "train/loss" in trainer.callback_metrics:
            value = float(trainer.callback_metrics["train/loss"])
            for logger in trainer.loggers:
                logger.log_metrics({"train/loss": value}, step=trainer.global_step - 1)


def build_callbacks(cfg: TrainConfig, folder: Path, logs: bool = False) -> list[Callback]:
    """Return the callbacks of a training run that writes into `folder`; `logs`: it has a logger."""
    checkpoints = folder / "checkpoints"
    best = Best(
        dirpath=checkpoints,
        filename="best",
        monitor=cfg.callbacks.monitor,
        mode=cfg.callbacks.mode,
        save_weights_only=cfg.optim.ema is None,  # Lightning saves averaged weights with all the rest
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    if runs.has_latest(cfg.paths.runs, folder):
        best.on_first = lambda: runs.point_latest(folder)
    last = Last(checkpoints / "last.ckpt", cfg.checkpoint.every_n_minutes)
    found: list[Callback] = [StepSeed(cfg.seed), StopOnNan(), History(folder / "history.json")]
    if cfg.optim.ema is not None:
        found.append(EMAWeightAveraging(decay=cfg.optim.ema))
    if cfg.pseudo_rounds:  # they begin where training would end
        rounds = Rounds(
            epochs=cfg.epochs_before_rounds,
            rounds=cfg.pseudo_rounds,
            part=cfg.data.pseudo_part,
            weight=cfg.data.pseudo_weight,
            share=cfg.data.pseudo_share,
            seed=cfg.seed,
            monitor=cfg.callbacks.monitor,
            mode=cfg.callbacks.mode,
            patience=cfg.callbacks.patience,
        )
        found.append(rounds)
    elif (patience := cfg.callbacks.patience) is not None:
        found.append(EarlyStopping(cfg.callbacks.monitor, mode=cfg.callbacks.mode, patience=patience))
    if logs:
        found.append(LearningRates())
    if cfg.trainer.enable_progress_bar:
        found.append(RichProgressBar(leave=False) if sys.stderr.isatty() else EpochLines())
    return [*found, best, last]


class EpochLines(Callback):
    """One log line per epoch, where there is no terminal for a progress bar."""

    # Without these words the first two would look like one measure of two splits.
    SHOWN: ClassVar[dict[str, str]] = {
        "train/loss": " (what is minimised)",
        "val/log_loss": " (another measure: mean over clips and classes)",
        "val/accuracy": "",
    }

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the scores of the epoch."""
        if trainer.is_global_zero:
            numbers = [
                f"{name} {float(trainer.callback_metrics[name]):.4f}{what}"
                for name, what in self.SHOWN.items()
                if name in trainer.callback_metrics
            ]
            log.info(f"epoch {trainer.current_epoch}: {', '.join(numbers)}")
