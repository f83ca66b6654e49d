"""Throughput of training steps: clips/s, and the share of a GPU's arithmetic peak that they use."""

from __future__ import annotations

import re
import time
from collections.abc import Sized
from typing import NotRequired, TypedDict

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from jungle.console import log
from jungle.data.batch import Batch, ClipTensors, get_tensor
from jungle.models.module import ClipClassifier
from jungle.wording import count

# Dense bf16 with fp32 sums in TFLOP/s, by the name that the driver gives. From NVIDIA's data sheets; figures
# "with sparsity" are halved. A part of a card (MIG) has no entry.
PEAK_TFLOPS = (
    (r"H200", 989.4),
    (r"H100 80GB HBM3", 989.4),
    (r"H100 NVL", 835.5),
    (r"H100 PCIe", 756.5),
    (r"A100[- ](SXM4|PCIE|PCIe)?[- ]?(40GB|80GB)( PCIe)?", 312.0),
    (r"L40S", 362.0),
    (r"L4", 121.0),
    (r"A40", 149.7),
    (r"A10", 125.0),
    (r"RTX A6000", 154.8),
    (r"GeForce RTX 4090", 165.2),
    (r"GeForce RTX 3090", 71.0),
)


class ThroughputRow(TypedDict):
    """Throughput of one measurement; the last two on a GPU only."""

    what: str
    clips_s: float
    clips: int
    seconds: float
    tflops: NotRequired[float]
    share_of_peak: NotRequired[float | None]


class ThroughputCounter(pl.Callback):
    """Count clips and seconds after `warmup` steps; the device is synchronised only at both ends."""

    def __init__(self, warmup: int, device: str | None = None) -> None:
        self.warmup, self.device = warmup, device
        self.clips, self.began, self.ended = 0, 0.0, 0.0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count a batch."""
        self.count(batch["mask_BT"], trainer.global_step, last=trainer.global_step == trainer.max_steps)

    def count(self, clips: Sized, step: int, *, last: bool = False) -> None:
        """Count the clips of `step`, the first of which is 1."""
        if self.began:
            self.clips += len(clips)
            self.ended = self._now() if last or self.device is None else 0.0
        elif step >= self.warmup:
            self.began = self._now()

    def _now(self) -> float:
        if self.device is not None:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def row(self, what: str) -> ThroughputRow:
        """Return the counts under a name."""
        seconds = self.ended - self.began
        log.info(f"{what}: {count(self.clips, 'clip')} in {seconds:.1f} s")
        return {"what": what, "clips_s": self.clips / seconds, "clips": self.clips, "seconds": seconds}


def peak_tflops(name: str) -> float | None:
    """Return the dense bf16 peak of a card by its name, None for an unknown card."""
    return next((peak for card, peak in PEAK_TFLOPS if re.fullmatch(rf"(NVIDIA )?{card}", name)), None)


def count_flops_per_clip(model: ClipClassifier, batch: Batch) -> float:
    """Count the floating-point operations of a training step, forward and backward, per clip of a batch.

    Counted on the first clip and scaled to the mean number of frames of the batch. Only matrix products and
    convolutions count, two operations per multiplication and sum (`torch.utils.flop_counter`); what gradient
    checkpointing computes twice counts twice.
    """
    first: ClipTensors = {
        "frames_BTHWC": get_tensor(batch, "frames_BTHWC")[:1],
        "mask_BT": batch["mask_BT"][:1],
        "times_BT": batch["times_BT"][:1],
    }
    if "facts_BF" in batch:
        first["facts_BF"] = batch["facts_BF"][:1]
    model.train()
    with FlopCounterMode(display=False) as counter:
        model(first).logits_BC.float().sum().backward()
    model.zero_grad(set_to_none=True)
    mask_BT = batch["mask_BT"]
    return counter.get_total_flops() * float(mask_BT.sum() / len(mask_BT) / mask_BT[0].sum())
