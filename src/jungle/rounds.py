"""Rounds of pseudo-labels: the model labels clips that have no label, and learns from them for an epoch."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from jungle.console import log
from jungle.data.soft_labels import SoftLabels
from jungle.errors import UserError
from jungle.models.inference import answers
from jungle.wording import count


class Rounds(Callback):
    """Make soft labels at the start of each of the last epochs, of a random part of the unlabelled clips.

    The third place's of Pri-matrix Factorization (2017). The part hangs on seed and epoch, the labels on the
    weights at the epoch's start; both travel in `last.ckpt`, so that a run which goes on equals one that was
    never stopped.

    Args:
        first: the epoch from which on.
        part: of the clips without a label, for each round.
        weight: of such a clip in the loss.
        share: of each batch.
        seed: of the parts.
    """

    def __init__(self, first: int, part: float, weight: float, share: float, seed: int) -> None:
        self.first, self.part, self.weight, self.share, self.seed = first, part, weight, share, seed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that goes on may have no start of its epoch.

        Raises:
            UserError: no clip is there to label.
        """
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, untyped
        if not len(data.free_numbers):
            raise UserError("data.pseudo=self: no clip without a label is left that can be read")
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the soft labels of this epoch, unless they came with the checkpoint."""
        epoch = trainer.current_epoch
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # as above
        if epoch < self.first or data.soft_epoch == epoch:
            return
        free = data.free_numbers
        rng = np.random.default_rng([self.seed, epoch, 2])  # not the draws of the loader
        chosen = np.sort(rng.choice(free, max(round(self.part * len(free)), 1), replace=False))
        soft = self._predicted(trainer, pl_module, data, chosen)
        if trainer.is_global_zero:
            log.info(
                f"round {epoch - self.first + 1}: soft labels for {len(soft)} of {count(len(free), 'clip')}"
            )
        data.learn_from(soft, self.share, epoch)

    def _predicted(self, trainer: pl.Trainer, model: Any, data: Any, chosen: np.ndarray) -> SoftLabels:
        """Predict the clips over all devices; each gets all of them, in the order of their numbers."""
        was = {m: m.training for m in model.modules()}
        loader = data.loader_of(chosen, trainer.global_rank, trainer.world_size)
        bf16 = "bf16" in str(trainer.precision) and not model.is_frozen
        rows = answers(model, loader, str(trainer.strategy.root_device), "bfloat16" if bf16 else "float32")
        parts: list[Any] = [{row["number"]: row["probs"] for row in rows}]
        for module, training in was.items():
            module.training = training
        if trainer.world_size > 1:
            own, parts = parts[0], [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, own)
        probs = {n: p for part in parts for n, p in part.items()}
        numbers = np.array(sorted(probs), np.int64)
        probs_PC = np.array([probs[n] for n in numbers.tolist()], np.float32).reshape(-1, len(model.classes))
        return SoftLabels(numbers, probs_PC, np.full(len(numbers), self.weight, np.float32))
