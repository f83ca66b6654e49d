"""Rounds of pseudo-labels: the model labels unlabelled clips, then learns from them for an epoch."""

import copy
import math
from typing import Any, TypedDict

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from jungle.console import log
from jungle.data.datamodule import ClipData, gather_objects
from jungle.data.pseudo_labels import SoftLabels
from jungle.data.samplers import Mix
from jungle.errors import UserError
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier
from jungle.wording import count


class Kept(TypedDict):
    """Weights and optimizers of the best epoch, on the CPU."""

    epoch: int
    model: dict[str, torch.Tensor]
    optimizers: list[dict[str, Any]]
    averages: list[dict[str, Any]]


class Rounds(Callback):
    """Rounds that follow early stopping or the last epoch, and start from the best epoch's weights.

    As in the third place of Pri-matrix Factorization (2017). A round is one pass over the labelled clips,
    mixed with unlabelled clips that the model has labelled at the start of the round. These are a part of all
    unlabelled clips, drawn once, by the seed. `last.ckpt` holds what a round needs, so that a resumed run
    equals one that was never stopped.

    Args:
        epochs: the most before the rounds.
        rounds: how many.
        part: share of the unlabelled clips, from 0 to 1; None: as many as a round takes, and a batch more.
        weight: of such a clip in the loss.
        share: of each batch.
        seed: of the part.
        monitor: score that tells which epoch is the best.
        mode: `min` or `max`: which of its values are better.
        patience: epochs without a better value before the rounds begin; None: all epochs are trained.
    """

    def __init__(
        self,
        *,
        epochs: int,
        rounds: int,
        part: float | None,
        weight: float,
        share: float,
        seed: int,
        monitor: str,
        mode: str,
        patience: int | None,
    ) -> None:
        self.epochs, self.rounds, self.part, self.weight, self.share = epochs, rounds, part, weight, share
        self.seed, self.monitor, self.patience = seed, monitor, patience
        self.sign = 1 if mode == "min" else -1
        self.first: int | None = None  # the epoch of the first round, once it is known
        self._best, self._waited = math.inf, 0
        self._kept: Kept | None = None  # of the best epoch, until the rounds begin

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Set the number of steps of the learning-rate schedule, rounds included.

        Raises:
            UserError: there is no unlabelled clip.
        """
        data, world = ClipData.of(trainer), trainer.world_size
        if not len(data.free_numbers):
            raise UserError("data.pseudo=self: no unlabelled clip can be read; leave data.pseudo out")
        batches = len(data.loader_of(data.numbers("train", labelled=True), 0, world, train=True))
        longer = len(data.loader_of(data.numbers("train", labelled=True), 0, world, True, self._mix(data)))
        every = trainer.accumulate_grad_batches
        steps = self.epochs * math.ceil(batches / every) + self.rounds * math.ceil(longer / every)
        most: int = trainer.max_steps
        assert isinstance(pl_module, ClipClassifier)
        pl_module.steps_in_all = steps if most < 0 else min(steps, most)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to resume a run of version 0.1, whose rounds were different.

        Raises:
            UserError: the run has no best epoch to start rounds from.
        """
        if self.state_key not in checkpoint.get("callbacks", {}):
            raise UserError(
                "this run was started by version 0.1, whose rounds of data.pseudo=self were different: "
                "resume=never trains a new one"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Label at once: Lightning does not announce the start of a resumed epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute the soft labels of this epoch, unless the checkpoint had them."""
        epoch, data = trainer.current_epoch, ClipData.of(trainer)
        if self.first is None or epoch < self.first or data.soft_epoch == epoch:
            return
        if self._kept is not None:
            self._restore_best(trainer, pl_module)
        for config in trainer.lr_scheduler_configs:
            if isinstance(schedule := config.scheduler, ReduceLROnPlateau):
                # The third place made a new one in each round, which then never lowered the rate.
                schedule.best, schedule.num_bad_epochs = schedule.mode_worse, 0
        soft = self._predict(trainer, pl_module, data, data.part)
        if trainer.is_global_zero:
            free = count(len(data.free_numbers), "clip")
            log.info(f"round {epoch - self.first + 1}: soft labels for {len(soft)} of {free}")
        data.label_part(soft, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the best epoch; decide whether the rounds begin, or end, after this one."""
        epoch = trainer.current_epoch
        if self.first is not None:
            if epoch + 1 >= self.first + self.rounds:
                trainer.should_stop = True
            return
        value = self.sign * float(trainer.callback_metrics[self.monitor])
        better = bool(trainer.strategy.broadcast(value < self._best))  # one answer on all devices
        if better:
            self._best, self._waited = value, 0
            self._kept = self._keep(trainer, pl_module, epoch)
        else:
            self._waited += 1
        has_stalled = self.patience is not None and self._waited >= self.patience
        if has_stalled or epoch + 1 >= self.epochs:
            self.first = epoch + 1
            data = ClipData.of(trainer)
            data.begin_rounds(self._draw_part(data), self.share)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `last.ckpt`; before the rounds with the weights of the best epoch."""
        now = {"first": self.first, "rounds": self.rounds, "best": self._best, "waited": self._waited}
        return {**now, "kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state from `last.ckpt`."""
        self.first, self._best = state_dict["first"], state_dict["best"]
        self._waited, self._kept = state_dict["waited"], state_dict["kept"]

    def _mix(self, data: ClipData) -> Mix:
        return Mix(self._draw_part(data), self.share)

    def _draw_part(self, data: ClipData) -> np.ndarray:
        """Draw the clips that all rounds label."""
        free = data.free_numbers
        if self.part is None:
            soft = round(self.share * data.batch_size)
            labelled = len(data.numbers("train", labelled=True))
            wanted = (math.ceil(labelled / max(data.batch_size - soft, 1)) + 1) * max(soft, 1)
        else:
            wanted = max(round(self.part * len(free)), 1)
        rng = np.random.default_rng([self.seed, 2])  # not the draws of the loader
        return np.sort(rng.choice(free, min(wanted, len(free)), replace=False))

    def _keep(self, trainer: pl.Trainer, model: pl.LightningModule, epoch: int) -> Kept:
        """Copy the weights that are trained and the optimizers' state, to the memory of the CPU."""
        assert isinstance(model, ClipClassifier)
        frozen = "backbone." if model.is_frozen else None
        trained = {k: v for k, v in model.state_dict().items() if frozen is None or not k.startswith(frozen)}
        averages = [a.state_dict() for a in _averages(trainer)]
        optimizers = [o.state_dict() for o in trainer.optimizers]
        return _on_cpu({"epoch": epoch, "model": trained, "optimizers": optimizers, "averages": averages})

    def _restore_best(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        kept = self._kept
        assert kept is not None
        model.load_state_dict(kept["model"], strict=False)  # a frozen backbone is as it was
        for average, state in zip(_averages(trainer), kept["averages"], strict=True):
            average.load_state_dict(state)
        plateau = any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs)
        for optimizer, state in zip(trainer.optimizers, kept["optimizers"], strict=True):
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(copy.deepcopy(state))
            if not plateau:  # a schedule by steps continues where it is
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate
        if trainer.is_global_zero:
            log.info(f"rounds of soft labels start from epoch {kept['epoch']}, the best so far")
        self._kept = None

    def _predict(
        self, trainer: pl.Trainer, model: pl.LightningModule, data: ClipData, chosen: np.ndarray
    ) -> SoftLabels:
        """Predict the clips over all devices; each gets all of them, in the order of their numbers."""
        assert isinstance(model, ClipClassifier)
        was = {m: m.training for m in model.modules()}
        loader = data.loader_of(chosen, trainer.global_rank, trainer.world_size)
        bf16 = "bf16" in str(trainer.precision) and not model.is_frozen
        device, dtype = str(trainer.strategy.root_device), "bfloat16" if bf16 else "float32"
        rows = predict_batches(model, loader, device, dtype)
        own = {row.number: row.probs for row in rows}
        for module, training in was.items():
            module.training = training
        probs = {n: p for part in gather_objects(own) for n, p in part.items()}
        numbers = np.array(sorted(probs), np.int64)
        probs_PC = np.array([probs[n] for n in numbers.tolist()], np.float32).reshape(-1, len(model.classes))
        return SoftLabels(numbers, probs_PC, np.full(len(numbers), self.weight, np.float32))


def _averages(trainer: pl.Trainer) -> list[AveragedModel]:
    """Return the moving averages of weights (`optim.ema`), which Lightning has no public name for."""
    found = [c._average_model for c in trainer.callbacks if isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    return [a for a in found if a is not None]


def _on_cpu(value: Any) -> Any:
    """Copy nested tensors to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {k: _on_cpu(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(v) for v in value)
    return value
