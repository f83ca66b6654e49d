"""Checkpoints of a run that is going on: how they are written, when, and the way out when told to stop."""

import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from jungle.errors import Stopped
from jungle.files import replace_atomically


class AtomicIO(TorchCheckpointIO):
    """Writes a checkpoint beside its name, syncs it and renames it.

    Lightning's own goes through the system's temporary folder, from where it is copied, not renamed, into a
    run folder on another disk: a kill in that moment would leave half of the only checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path` in one step.

        Raises:
            OSError: no room (torch writing to a path makes that a RuntimeError without the reason).
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with replace_atomically(path) as part:
            part.write_bytes(buffer.getbuffer())


class Best(ModelCheckpoint):
    """Keeps `best.ckpt`; a run folder that was moved keeps its best score.

    Attributes:
        on_first: called once, by the first process, when `best.ckpt` is there.
    """

    on_first: Callable[[], None] | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch if it is the best."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.on_first is not None and trainer.is_global_zero and self.best_model_path:
            self.on_first()
            self.on_first = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of `last.ckpt`, with the folder of today in its paths."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        moved = {k: here(v) for k, v in state_dict.items() if k.endswith("_path")}
        best_k = {here(k): v for k, v in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best_k, "dirpath": self.dirpath})


class Last(Checkpoint):
    """Keeps `last.ckpt`, from which the same command goes on.

    It is written at the end of every epoch, within an epoch every `every_n_minutes`, and when the process is
    told to stop (SIGTERM, Ctrl-C): then after the step at hand, on every device the same one. Order of clips,
    random frames and dropout hang on epoch and step alone, so nothing of them is in it.

    A checkpoint of an epoch's last step, before its validation, would make Lightning pass over that
    validation; so the step before is kept, and a stop during validation is obeyed at once.
    """

    def __init__(self, path: Path, every_n_minutes: float | None) -> None:
        self.path = path
        self.every_s = float("inf") if every_n_minutes is None else every_n_minutes * 60
        self._told = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals; Lightning's own handler starts a collective in the midst of whatever runs."""
        self._saved = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._tell)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._told:
            raise KeyboardInterrupt  # asked twice
        self._told = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where the time has come, or where a device was told to stop."""
        loop = trainer.fit_loop
        steps_left = loop.max_batches - batch_idx - 1
        if loop._should_accumulate() or steps_left == 0:
            return  # half a step cannot be kept
        due = self.every_s / 10 if steps_left <= trainer.accumulate_grad_batches else self.every_s
        wanted = bool(self._told) or time.monotonic() - self._saved >= due
        if not trainer.strategy.reduce_boolean_decision(wanted, all=False):
            return
        self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(self._told), all=False):
            raise Stopped(
                self._told or signal.SIGTERM,
                f"saved at epoch {trainer.current_epoch}, step {trainer.global_step}",
            )

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Obey at once: what is lost is one step, or a tenth of the interval."""
        if self._told:
            raise Stopped(self._told, "during validation, which will be done again")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch, after the callbacks that watch its scores."""
        self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(self._told), all=False):
            raise Stopped(self._told or signal.SIGTERM, f"saved after epoch {trainer.current_epoch}")

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def has_ended(saved: dict[str, Any], max_epochs: int) -> bool:
    """Tell whether the run of a `last.ckpt` had come to the end of its training."""
    stops = [v for k, v in saved.get("callbacks", {}).items() if k.startswith("EarlyStopping")]
    waited = bool(stops) and stops[0]["wait_count"] >= stops[0]["patience"]
    done = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    rounds = saved.get("callbacks", {}).get("Rounds", {})
    through = rounds.get("first") is not None and done >= rounds["first"] + rounds["rounds"]
    return waited or through or done >= max_epochs
