"""From a checked config to the objects of the rooms below."""

import sys
from pathlib import Path
from typing import Any

from jungle.config import TrainConfig
from jungle.data.clips import Clips
from jungle.models.backbone import Backbone, BackboneSpec
from jungle.models.module import ClipClassifier, Training
from jungle.video import ClipSpec, Frames


def backbone_spec(cfg: TrainConfig) -> BackboneSpec:
    """Return which backbone the config asks for."""
    weights = str(cfg.model.weights) if cfg.model.weights else None
    return BackboneSpec(
        cfg.model.backbone, cfg.model.pretrained, weights, cfg.model.size, tuple(cfg.model.taps)
    )


def clip_specs(cfg: TrainConfig, backbone: Backbone) -> tuple[ClipSpec, ClipSpec]:
    """Return how clips become frames in training and in evaluation; the latter never draws at random."""

    def spec(kind: str) -> ClipSpec:
        return ClipSpec(
            frames=Frames(kind=kind, count=cfg.frames.count, fps=cfg.frames.fps),
            size=backbone.size,
            crop_bottom=cfg.decoder.crop_bottom,
            decoder=cfg.decoder.name,
            interpolation=backbone.interpolation,
        )

    return spec(cfg.frames.kind), spec("uniform" if cfg.frames.kind == "random" else cfg.frames.kind)


def task_of(cfg: TrainConfig, clips: Clips) -> str:
    """Return `exclusive` where every labelled clip has exactly one class, else `multilabel`, unless told.

    Raises:
        UsageError: exclusive classes are asked for and a clip has none or several.
    """
    from jungle.errors import UsageError

    labelled = clips.where(clips.labelled())
    counts = labelled.labels().sum(1)
    single = bool(len(counts)) and bool((counts == 1).all()) and bool((labelled.targets() >= 0).all())
    if cfg.task == "exclusive" and not single:
        at = int((counts != 1).argmax())
        raise UsageError(
            f"task=exclusive: clip {labelled.table['clip'][at]} has {counts[at]} classes, "
            f"{int((counts != 1).sum())} clips in all have none or several; use task=multilabel"
        )
    if cfg.task != "auto":
        return cfg.task
    if cfg.loss.name != "auto":
        return {"bce": "multilabel", "ce": "exclusive"}[cfg.loss.name]
    return "exclusive" if single else "multilabel"


def model_of(
    cfg: TrainConfig, backbone: Backbone, clips: Clips, task: str, about: dict[str, Any]
) -> ClipClassifier:
    """Build the model; its last bias starts at the class shares of the training clips."""
    import torch

    training = Training(
        cfg.optim.name,
        cfg.lr,
        cfg.optim.weight_decay,
        cfg.optim.schedule,
        cfg.optim.warmup,
        cfg.loss.label_smoothing,
    )
    head = cfg.head.model_dump()
    model = ClipClassifier(backbone, head, clips.classes, task, cfg.model.mode, about, training)
    model.start_from_priors(torch.from_numpy(clips.of("train").targets()))
    return model


def devices_of(cfg: TrainConfig) -> list[str]:
    """Return the torch devices of this machine that the trainer will use."""
    import torch

    asked = cfg.trainer.devices
    if cfg.trainer.accelerator == "cpu" or (
        cfg.trainer.accelerator == "auto" and not torch.cuda.is_available()
    ):
        return ["cpu"] * (asked if isinstance(asked, int) and asked > 0 else 1)
    if isinstance(asked, list):
        return [f"cuda:{i}" for i in asked]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count() if asked == -1 else asked)]


def trainer_of(cfg: TrainConfig, folder: Path, logger: Any) -> Any:
    """Build the Lightning trainer with its callbacks.

    Raises:
        UsageError: devices or precision that this machine does not have.
    """
    import pytorch_lightning as pl
    import torch
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from jungle.callbacks import callbacks_of
    from jungle.checkpoints import AtomicIO
    from jungle.errors import UsageError

    on_gpu = devices_of(cfg)[0].startswith("cuda")
    precision = cfg.trainer.precision
    if precision == "auto":
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    asked = cfg.trainer.model_dump(exclude={"precision", "max_epochs", "max_steps"})
    asked["enable_progress_bar"] = asked["enable_progress_bar"] and sys.stderr.isatty()
    if not on_gpu and asked["devices"] == -1:
        asked["devices"] = 1
    try:
        return pl.Trainer(
            **asked,
            precision=precision,
            max_epochs=cfg.max_epochs,
            max_steps=cfg.trainer.max_steps,
            default_root_dir=folder,
            logger=logger,
            callbacks=callbacks_of(cfg, folder),
            plugins=[AtomicIO()],
            use_distributed_sampler=False,  # the loader deals the clips out itself
            num_sanity_val_steps=0,
            enable_model_summary=False,
            benchmark=on_gpu and not cfg.trainer.deterministic,
        )
    except (MisconfigurationException, ValueError) as e:
        raise UsageError(f"trainer: {str(e).splitlines()[0]}") from None
