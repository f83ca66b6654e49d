"""Largest batch that a GPU holds in one step of fine-tuning: `data.batch_size=auto`.

Lightning's `scale_batch_size` decodes clips for every trial, needs a loader with a data set, which ours does
not have, and returns its upper limit untried. Here the frames are noise that is made on the device.
"""

import gc
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.memory import is_oom_error

from jungle.config import TrainConfig
from jungle.console import log
from jungle.data.batch import Batch
from jungle.data.metadata import FACTS
from jungle.errors import UserError
from jungle.models.module import ClipClassifier
from jungle.training import build
from jungle.training.hardware import resolve_hardware
from jungle.training.tuning.trial import ModelFactory
from jungle.video import ClipSpec

SHARE = 0.9  # of the free memory: it becomes fragmented, and later steps take more
STEPS_PER_EPOCH = 10  # at least: with half the clips in a batch the weights would move twice an epoch


def find(cfg: TrainConfig, make: ModelFactory, specs: tuple[ClipSpec, ClipSpec], clips: int) -> int:
    """Return the largest power of two that fits the GPU and leaves `STEPS_PER_EPOCH` steps.

    Raises:
        UserError: not even one clip fits.
    """
    device = resolve_hardware(cfg).device

    def fits(size: int) -> bool:
        return fits_memory(device, lambda: run_trial(cfg, make(cfg), specs, size, device))

    found = find_largest(fits, clips // (STEPS_PER_EPOCH * cfg.trainer.accumulate_grad_batches))
    if not found:
        raise UserError(
            "data.batch_size=auto: one clip does not fit the GPU: give fewer frames (frames.count), "
            "smaller ones (model.size), or model.grad_checkpointing=true"
        )
    return found


def find_largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two up to `most` (at least 1) that fits, 0 where 1 does not."""
    size = 0
    while (wanted := max(1, 2 * size)) <= max(1, most) and fits(wanted):
        size = wanted
    return size


def fits_memory(device: str, task: Callable[[], None]) -> bool:
    """Tell whether `task` takes at most `SHARE` of the GPU's free memory."""
    room = _free(device)
    try:
        task()
    except RuntimeError as e:
        if not is_oom_error(e):
            raise
        return False
    finally:
        taken = _taken(device)
        gc.collect()
        _empty(device)
    log.info(f"data.batch_size=auto: {taken / 2**30:.1f} of {room / 2**30:.1f} GiB")
    return taken <= SHARE * room


def run_trial(
    cfg: TrainConfig, model: ClipClassifier, specs: tuple[ClipSpec, ClipSpec], size: int, device: str
) -> None:
    """Take two training steps (the first one creates the optimizer's state) and one of evaluation."""
    train, evaluate = (make_noise_batch(model, spec, size, device) for spec in specs)
    steps = 2
    trainer = build.build_short_trainer(cfg, steps, [_Evaluate(evaluate)])
    trainer.fit(model, repeat_batch(train, steps * cfg.trainer.accumulate_grad_batches))


def repeat_batch(batch: Batch, times: int) -> torch.utils.data.DataLoader[Batch]:
    """Return a loader that gives one batch `times` times."""
    return torch.utils.data.DataLoader([batch] * times, batch_size=None)  # type: ignore[arg-type]  # a list will do


class _Evaluate(pl.Callback):
    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.eval()
        with torch.inference_mode(), trainer.precision_plugin.forward_context():
            pl_module(self.batch)


def make_noise_batch(model: ClipClassifier, spec: ClipSpec, size: int, device: str) -> Batch:
    """Make a batch of `size` clips on the device, each with the most frames that a clip may have."""
    assert spec.size is not None
    shape = (size, spec.frames.count, *spec.size, 3)
    mask_BT = torch.ones(shape[:2], dtype=torch.bool, device=device)
    return {
        "frames_BTHWC": torch.randint(0, 256, shape, dtype=torch.uint8, device=device),
        "mask_BT": mask_BT,
        "real_N": torch.arange(mask_BT.numel(), device=device),
        "times_BT": torch.arange(shape[1], device=device).float().expand(shape[:2]).contiguous(),
        "number_B": torch.arange(size, device=device),
        "targets_BC": torch.eye(len(model.classes), device=device)[
            torch.arange(size, device=device) % len(model.classes)
        ],
        "weight_B": torch.ones(size, device=device),
        "status": ["ok"] * size,
        "reason": [""] * size,
        "facts_BF": torch.zeros(size, len(model.metadata.names if model.metadata else FACTS), device=device),
    }


def _free(device: str) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def _taken(device: str) -> int:
    return torch.cuda.max_memory_reserved(device)


def _empty(device: str) -> None:
    torch.cuda.empty_cache()
