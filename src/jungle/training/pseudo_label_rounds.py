"""Rounds of pseudo-labels: the model labels clips that have no label, and learns from them for an epoch."""

import copy
import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging

from jungle.console import log
from jungle.data.pseudo_labels import SoftLabels
from jungle.data.samplers import Mix
from jungle.errors import UserError
from jungle.models.inference import predict_batches
from jungle.wording import count


class Rounds(Callback):
    """Train until early stopping or the last epoch; then add rounds from the best epoch's weights on.

    The third place's of Pri-matrix Factorization (2017). A round is one pass over the labelled clips, with
    soft labels among them that the model gives at its start to a part of the clips without a label. The part
    is drawn once, by the seed. What a round needs travels in `last.ckpt`, so that a run which goes on equals
    one that was never stopped.

    Args:
        epochs: most of them before the rounds.
        rounds: how many.
        part: of the clips without a label, from 0 to 1; None: as many as a round takes, and a batch more.
        weight: of such a clip in the loss.
        share: of each batch.
        seed: of the part.
        monitor: what is watched.
        mode: `min` or `max`: which of its values are better.
        patience: epochs without a better value before the rounds begin; None: all epochs are trained.
    """

    def __init__(
        self,
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
        self.first: int | None = None  # the epoch of the first round, when it is known
        self._best, self._waited = math.inf, 0
        self._kept: dict[str, Any] | None = None  # of the best epoch, until the rounds begin

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tell the module over how many steps its schedule goes, whichever of them are left.

        Raises:
            UserError: no clip is there to label.
        """
        data, world = _data(trainer), trainer.world_size
        if not len(data.free_numbers):
            raise UserError("data.pseudo=self: no clip without a label is left that can be read")
        batches = len(data.loader_of(data.numbers("train", labelled=True), 0, world, train=True))
        longer = len(data.loader_of(data.numbers("train", labelled=True), 0, world, True, self._mix(data)))
        every = trainer.accumulate_grad_batches
        steps = self.epochs * math.ceil(batches / every) + self.rounds * math.ceil(longer / every)
        most: int = trainer.max_steps
        module: Any = pl_module
        module.steps_in_all = steps if most < 0 else min(steps, most)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse what version 0.1 began: its rounds were others.

        Raises:
            UserError: the run has no best epoch to start rounds from.
        """
        if self.state_key not in checkpoint.get("callbacks", {}):
            raise UserError(
                "this run was begun by version 0.1, whose rounds of data.pseudo=self were others: give "
                "resume=never to train a new one"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that goes on may have no start of its epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the soft labels of this epoch, unless they came with the checkpoint."""
        epoch, data = trainer.current_epoch, _data(trainer)
        if self.first is None or epoch < self.first or data.soft_epoch == epoch:
            return
        if self._kept is not None:
            self._go_back(trainer, pl_module)
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau:  # theirs forgot what came before at each round, so that none fell
                falls: Any = config.scheduler
                falls.best, falls.num_bad_epochs = falls.mode_worse, 0
        soft = self._predicted(trainer, pl_module, data, data.part)
        if trainer.is_global_zero:
            free = count(len(data.free_numbers), "clip")
            log.info(f"round {epoch - self.first + 1}: soft labels for {len(soft)} of {free}")
        data.label_part(soft, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the best epoch; find out whether the rounds begin, or end, behind this one."""
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
        tired = self.patience is not None and self._waited >= self.patience
        if tired or epoch + 1 >= self.epochs:
            self.first = epoch + 1
            data = _data(trainer)
            data.begin_rounds(self._part(data), self.share)

    def state_dict(self) -> dict[str, Any]:
        """For `last.ckpt`: until the rounds begin, the best epoch's weights and optimizer too."""
        now = {"first": self.first, "rounds": self.rounds, "best": self._best, "waited": self._waited}
        return {**now, "kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From `last.ckpt`."""
        self.first, self._best = state_dict["first"], state_dict["best"]
        self._waited, self._kept = state_dict["waited"], state_dict["kept"]

    def _mix(self, data: Any) -> Mix:
        return Mix(self._part(data), self.share)

    def _part(self, data: Any) -> np.ndarray:
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

    def _keep(self, trainer: pl.Trainer, model: Any, epoch: int) -> dict[str, Any]:
        """Copy the weights that are trained and the optimizers' state, to the memory of the CPU."""
        frozen = "backbone." if model.is_frozen else None
        trained = {k: v for k, v in model.state_dict().items() if frozen is None or not k.startswith(frozen)}
        averages = [a.state_dict() for a in _averages(trainer)]
        optimizers = [o.state_dict() for o in trainer.optimizers]
        return _on_cpu({"epoch": epoch, "model": trained, "optimizers": optimizers, "averages": averages})

    def _go_back(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        kept = self._kept
        assert kept is not None
        model.load_state_dict(kept["model"], strict=False)  # a frozen backbone is as it was
        for average, state in zip(_averages(trainer), kept["averages"], strict=True):
            average.load_state_dict(state)
        plateau = any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs)
        for optimizer, state in zip(trainer.optimizers, kept["optimizers"], strict=True):
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(copy.deepcopy(state))
            if not plateau:  # a schedule by steps goes on from where it is
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate
        if trainer.is_global_zero:
            log.info(f"rounds of soft labels start from epoch {kept['epoch']}, the best so far")
        self._kept = None

    def _predicted(self, trainer: pl.Trainer, model: Any, data: Any, chosen: np.ndarray) -> SoftLabels:
        """Predict the clips over all devices; each gets all of them, in the order of their numbers."""
        was = {m: m.training for m in model.modules()}
        loader = data.loader_of(chosen, trainer.global_rank, trainer.world_size)
        bf16 = "bf16" in str(trainer.precision) and not model.is_frozen
        device, dtype = str(trainer.strategy.root_device), "bfloat16" if bf16 else "float32"
        rows = predict_batches(model, loader, device, dtype)
        parts: list[Any] = [{row.number: row.probs for row in rows}]
        for module, training in was.items():
            module.training = training
        if trainer.world_size > 1:
            own, parts = parts[0], [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, own)
        probs = {n: p for part in parts for n, p in part.items()}
        numbers = np.array(sorted(probs), np.int64)
        probs_PC = np.array([probs[n] for n in numbers.tolist()], np.float32).reshape(-1, len(model.classes))
        return SoftLabels(numbers, probs_PC, np.full(len(numbers), self.weight, np.float32))


def _data(trainer: pl.Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, untyped


def _averages(trainer: pl.Trainer) -> list[Any]:
    """Return the moving averages of weights (`optim.ema`): Lightning shows them nowhere."""
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
