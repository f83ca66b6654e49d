"""A run that was stopped and resumed equals one that never was: every number of its state, to the bit."""

import copy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import pytorch_lightning as pl_lightning
import torch
from torch import nn

from jungle.data.clip_reader import VideoReader
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.errors import Stopped
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.module import EPOCH_LOSS, ClipClassifier
from jungle.models.training_plan import Training
from jungle.training.callbacks import StepSeed
from jungle.training.checkpointing import Last
from jungle.video import Clip, ClipSpec, Frames

COUNTS = {"blank": 9, "hog": 4, "lion": 2}
SIDE = 32
CLIPS = sum(COUNTS.values())


class DrawnFrames:
    """Stands for the decoding processes: the frames of a clip are noise of its path and the job's seed."""

    def map(self, jobs, ahead):
        for job in jobs:
            rng = np.random.default_rng([job.seed, int(job.path)])
            frames = rng.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
            yield job, Clip(frames, np.arange(2, dtype=np.float32), "ok", "", "pyav", SIDE, SIDE, 1.0, 2.0)

    def close(self) -> None:
        pass


def reader() -> VideoReader:
    paths = [str(n) for n in range(CLIPS + 4)]
    made = VideoReader(paths, ClipSpec(Frames("random", 2), size=(SIDE, SIDE)), 0, 60.0)
    made._pool = DrawnFrames()  # type: ignore[assignment]
    return made


def clip_data(sampler: str) -> ClipData:
    names = [c for c, n in COUNTS.items() for _ in range(n)]
    names += [*COUNTS, "hog"]  # of val
    columns: dict[str, Any] = {"clip": [f"{i}.mp4" for i in range(len(names))]}
    columns["path"] = columns["clip"]
    columns["split"] = ["train"] * CLIPS + ["val"] * 4
    columns |= {c: [int(c == n) for n in names] for c in COUNTS}
    clips = Clips(pl.DataFrame(columns), tuple(COUNTS))
    return ClipData(
        clips, read_train=reader(), read_eval=reader(), key="frames_BTHWC", batch_size=4, sampler=sampler
    )


class StopAt(pl_lightning.Callback):
    """Tell a run to stop, as a signal would, after a step of an epoch; None: after the epoch's last one."""

    def __init__(self, last: Last, epoch: int, step: int | None) -> None:
        self.last, self.at = last, (epoch, step)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if self.at == (trainer.current_epoch, batch_idx):
            self.last._signal = signal.SIGTERM

    def on_train_epoch_end(self, trainer, module) -> None:
        if self.at == (trainer.current_epoch, None):
            self.last._signal = signal.SIGTERM


class Seen(pl_lightning.Callback):
    """Keep the training loss that each epoch says, and which BatchNorm layers move."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.moving: list[int] = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        if batch_idx == 0:
            norms = [m for m in module.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            self.moving.append(sum(m.training for m in norms))

    def on_train_epoch_end(self, trainer, module) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))


def fit(
    file: Path, unfreeze: dict[int, str], sampler: str, stop: tuple[int, int | None] | None = None
) -> tuple[dict[str, torch.Tensor], Seen]:
    """Train three epochs of four steps, or until `stop`, from `file` where it is there; return the state."""
    torch.manual_seed(0)
    backbone = Backbone(BackboneSpec("test_resnet", pretrained=False, size=(SIDE, SIDE)))
    head = {"name": "attention", "hidden": 4, "dropout": 0.3}
    plan = Training(lr=0.01, unfreeze=unfreeze)
    about = {"clip": {}, "priors": {}, "weights_hash": "0"}
    model = ClipClassifier(backbone, head, tuple(COUNTS), "exclusive", "finetune", about, plan)
    last, seen = Last(file, None), Seen()
    watching = [StepSeed(0), seen, *([StopAt(last, *stop)] if stop else []), last]
    trainer = pl_lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=watching,
    )
    start = str(file) if file.is_file() else None
    try:
        trainer.fit(model, datamodule=clip_data(sampler), ckpt_path=start, weights_only=True)
    except Stopped:
        assert stop is not None
    state = {**model.state_dict()}
    for i, (_, own) in enumerate(sorted(trainer.optimizers[0].state_dict()["state"].items())):
        state |= {f"optimizer {i} {k}": torch.as_tensor(v) for k, v in own.items()}
    return copy.deepcopy(state), seen


STAGED = {0: "head", 1: "all"}


@pytest.mark.parametrize(
    ("unfreeze", "sampler", "stop"),
    [
        pytest.param(STAGED, "natural", (0, None), id="staged, at an epoch's end"),
        pytest.param({0: "last_2", 1: "all"}, "natural", (1, 1), id="staged, within an epoch"),
        pytest.param({0: "all"}, "mixed", (1, 1), id="clips that come several times"),
        pytest.param(STAGED, "balanced", (2, 2), id="both"),
    ],
)
def test_a_resumed_run_equals_a_straight_one(
    unfreeze: dict[int, str], sampler: str, stop: tuple[int, int | None], tmp_path: Path
) -> None:
    straight, seen = fit(tmp_path / "straight.ckpt", unfreeze, sampler)
    fit(tmp_path / "cut.ckpt", unfreeze, sampler, stop)
    resumed, since = fit(tmp_path / "cut.ckpt", unfreeze, sampler)
    assert [k for k in straight if not torch.equal(straight[k], resumed[k])] == []
    assert straight.keys() == resumed.keys()
    assert seen.losses[-len(since.losses) :] == since.losses  # of the whole epoch, also of one cut in two


def test_batchnorm_moves_from_the_epoch_on_in_which_its_layer_is_trained(tmp_path: Path) -> None:
    state, seen = fit(tmp_path / "last.ckpt", STAGED, "natural")
    norms = sum(k.endswith("running_mean") for k in state)
    assert seen.moving == [0, norms, norms]
    moved = [k for k, v in state.items() if k.endswith("running_mean") and v.any()]
    assert len(moved) == norms
    plan = {0: "all", 1: "head"}  # and back again
    assert fit(tmp_path / "back.ckpt", plan, "natural")[1].moving == [norms, 0, 0]


def test_old_checkpoints_say_nothing_of_the_loss_so_far(tmp_path: Path) -> None:
    fit(tmp_path / "cut.ckpt", STAGED, "natural", (1, 1))
    saved = torch.load(tmp_path / "cut.ckpt", weights_only=True)
    assert saved.pop(EPOCH_LOSS)["steps"] == 2
    torch.save(saved, tmp_path / "cut.ckpt")
    assert len(fit(tmp_path / "cut.ckpt", STAGED, "natural")[1].losses) == 2
