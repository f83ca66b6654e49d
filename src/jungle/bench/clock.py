"""Clips a second of training steps, without the first ones."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch

from jungle.console import log
from jungle.wording import count


class Clock(pl.Callback):
    """Counts clips and seconds behind the first `warmup` steps; looks at the device only at both ends."""

    def __init__(self, warmup: int, device: str | None = None) -> None:
        self.warmup, self.device = warmup, device
        self.clips, self.began, self.ended = 0, 0.0, 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        self.count(len(batch["mask_BT"]), trainer.global_step, last=trainer.global_step == trainer.max_steps)

    def count(self, clips: int, step: int, last: bool = False) -> None:
        """Count `clips` as done at the end of `step`, the first of which is 1."""
        if self.began:
            self.clips += clips
            self.ended = self._now() if last or self.device is None else 0.0
        elif step >= self.warmup:
            self.began = self._now()

    def _now(self) -> float:
        if self.device is not None:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def row(self, what: str) -> dict[str, Any]:
        """Return what was counted."""
        seconds = self.ended - self.began
        log.info(f"{what}: {count(self.clips, 'clip')} in {seconds:.1f} s")
        return {"what": what, "clips_s": self.clips / seconds, "clips": self.clips, "seconds": seconds}
