"""Checkpoints of a running training: how and when they are written, and how a signal stops the run."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from jungle.errors import Stopped
from jungle.models.tensors import save_archive


class AtomicIO(TorchCheckpointIO):
    """Checkpoint files that are written next to their final name, synced and renamed.

    Lightning writes to the system's temporary folder and, where the run folder is on another disk, copies the
    file: a kill during the copy would leave half of the only checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, object], path: str | Path, storage_options: object = None
    ) -> None:
        """Write `checkpoint` to `path` in one step.

        Raises:
            OSError: the disk is full.
        """
        save_archive(checkpoint, path)


class Best(ModelCheckpoint):
    """`best.ckpt`, and its score, which a moved run folder keeps.

    Attributes:
        on_first: called once, by the first process, when `best.ckpt` is written for the first time.
    """

    on_first: Callable[[], None] | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch if it is the best."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.on_first is not None and trainer.is_global_zero and self.best_model_path:
            self.on_first()
            self.on_first = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of `last.ckpt`; its paths lead to the run's present folder."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        moved = {k: here(v) for k, v in state_dict.items() if k.endswith("_path")}
        best_k = {here(k): v for k, v in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best_k, "dirpath": self.dirpath})


class Last(Checkpoint):
    """`last.ckpt`, from which the same command resumes.

    It is written at the end of every epoch, within an epoch every `every_n_minutes`, and when the process
    gets SIGTERM or Ctrl-C: then after the current step, the same one on every device. The order of clips,
    random frames and dropout depend on epoch and step alone, so the file does not hold them.

    Lightning would skip the validation of an epoch whose last step was saved. So nothing is saved after the
    last step, and a signal during validation stops the run at once.
    """

    def __init__(self, path: Path, every_n_minutes: float | None) -> None:
        self.path = path
        self.every_s = float("inf") if every_n_minutes is None else every_n_minutes * 60
        self._signal = 0
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle signals here: Lightning's handler starts a collective operation at any moment."""
        self._saved = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal:
            raise KeyboardInterrupt  # pressed twice
        self._signal = number

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save where it is time to, or where a device got a signal."""
        batches_left = trainer.fit_loop.max_batches - batch_idx - 1
        if (batch_idx + 1) % trainer.accumulate_grad_batches or batches_left == 0:
            return  # a step of several batches is not complete
        due = self.every_s / 10 if batches_left <= trainer.accumulate_grad_batches else self.every_s
        wanted = bool(self._signal) or time.monotonic() - self._saved >= due
        if not trainer.strategy.reduce_boolean_decision(wanted, all=False):
            return
        self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False):
            raise Stopped(
                self._signal or signal.SIGTERM,
                f"saved at epoch {trainer.current_epoch}, step {trainer.global_step}",
            )

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop at once: one step is lost, or a tenth of the interval."""
        if self._signal:
            raise Stopped(self._signal, "during validation, which is repeated")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the epoch, after the callbacks that watch its scores."""
        self._save(trainer)
        if trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False):
            raise Stopped(self._signal or signal.SIGTERM, f"saved after epoch {trainer.current_epoch}")

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the signal handlers."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def has_ended(saved: dict[str, Any], max_epochs: int) -> bool:
    """Tell whether the training of a `last.ckpt` had reached its end."""
    stops = [v for k, v in saved.get("callbacks", {}).items() if k.startswith("EarlyStopping")]
    waited = bool(stops) and stops[0]["wait_count"] >= stops[0]["patience"]
    done = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    rounds = saved.get("callbacks", {}).get("Rounds", {})
    through = rounds.get("first") is not None and done >= rounds["first"] + rounds["rounds"]
    return waited or through or done >= max_epochs
