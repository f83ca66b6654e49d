"""From a checked config to the objects of the rooms below."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import Logger

from jungle import runs
from jungle.config import ClipsConfig, TrainConfig
from jungle.config.groups import Also, Model
from jungle.config.losses import TASK_OF
from jungle.data.clips import Clips
from jungle.data.samplers import Sampler
from jungle.errors import UsageError, shorten_error
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.timm_factory import BackboneSpec
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.models.losses import DrawRatios, LossPlan, class_weights
from jungle.models.module import ClipClassifier
from jungle.models.plateau import Plateau
from jungle.models.training_plan import Training
from jungle.models.warm_start import warm_start
from jungle.training.callbacks import build_callbacks
from jungle.training.checkpointing import AtomicIO
from jungle.training.hardware import resolve_hardware
from jungle.video import ClipSpec, Frames
from jungle.wording import count


def make_backbone_spec(cfg: ClipsConfig) -> BackboneSpec:
    """Return which backbone the config asks for, with those that are joined to it."""

    def make(part: Model | Also, also: tuple[BackboneSpec, ...] = ()) -> BackboneSpec:
        weights = str(part.weights) if part.weights else None
        taps = tuple(part.taps)
        return BackboneSpec(
            part.backbone, cfg.model.pretrained, weights, cfg.model.size, taps, part.pool, also
        )

    return make(cfg.model, tuple(map(make, cfg.model.also)))


def make_clip_specs(cfg: ClipsConfig, backbone: Backbone) -> tuple[ClipSpec, ClipSpec]:
    """Return how clips become frames in training and in evaluation; the latter never draws at random."""

    def spec(kind: str, count: int) -> ClipSpec:
        return ClipSpec(
            frames=Frames(kind, count, cfg.frames.fps, cfg.frames.first_s if kind == "random" else None),
            size=backbone.size,
            crop_bottom=cfg.decoder.crop_bottom or 0,
            decoder=cfg.decoder.name,
            interpolation=backbone.interpolation,
            focus=cfg.frames.focus,
        )

    kind, count = cfg.frames.kind, cfg.frames.count
    return spec(kind, count), spec(
        cfg.frames.eval_kind if kind == "random" else kind, cfg.frames.eval_count or count
    )


def resolve_task(cfg: TrainConfig, clips: Clips) -> str:
    """Return `exclusive` where every clip to train or choose on has exactly one class, else `multilabel`.

    Unless the config says which. Labels of test clips are not looked at.

    Raises:
        UsageError: task=exclusive, and a clip has no class or several.
    """
    learnt = clips.where(clips.labelled() & (clips.splits() != "test").fill_null(True))
    single = learnt.single()
    if cfg.task == "exclusive" and not single.all():
        at = int((~single).argmax())
        has = count(int(learnt.labels()[at].sum()), "class")
        raise UsageError(
            f"task=exclusive: {learnt.table['clip'][at]} has {has}, and {int((~single).sum())} of "
            f"{count(len(learnt), 'clip')} do not have exactly one; use task=multilabel"
        )
    if cfg.task != "auto":
        return cfg.task
    if cfg.loss.name in TASK_OF:
        return TASK_OF[cfg.loss.name]
    return "exclusive" if len(learnt) and single.all() else "multilabel"


def build_model(
    cfg: TrainConfig, backbone: Backbone, clips: Clips, task: str, about: CheckpointMetadata
) -> ClipClassifier:
    """Build the model; its last bias starts at the class shares of the training clips as drawn."""
    train = clips.of("train")
    train = train.where(train.labelled())
    targets, weight = torch.from_numpy(train.targets()), torch.from_numpy(train.weights())
    draws = torch.ones(len(targets))
    if cfg.sampler != "natural":
        draws = torch.from_numpy(Sampler(targets.numpy(), cfg.sampler).draws(np.arange(len(targets)))).float()
    training = Training(
        cfg.optim.name,
        cfg.lr,
        cfg.optim.weight_decay,
        cfg.optim.schedule,
        cfg.optim.warmup,
        plan_loss(cfg, targets, draws * weight),
        mixup=cfg.augment.mixup,
        cutmix=cfg.augment.cutmix,
        backbone_lr=cfg.optim.backbone_lr,
        layer_decay=cfg.optim.layer_decay,
        unfreeze=cfg.model.unfreeze,
        norm_stats=cfg.model.norm_stats,
        monitor=(cfg.callbacks.monitor, cfg.callbacks.mode),
        plateau=Plateau(**cfg.optim.plateau.model_dump()) if cfg.optim.plateau else Plateau(),
        stages={stage.epoch: (stage.name, stage.lr) for stage in cfg.optim.stages or ()},
        head_l1=cfg.optim.head_l1 or 0.0,
    )
    if cfg.sampler != "natural":
        if cfg.data.pseudo is not None:  # drawn as they are, and taken to be like the labelled ones
            share = cfg.data.pseudo_share
            draws = (1 - share) * draws + share * cfg.data.pseudo_weight
        ratios = DrawRatios.of(targets, draws, weight)
        shift_C = ratios.mean_shift(targets, task, weight)
        about = {**about, "prior_shift": dict(zip(clips.classes, shift_C.tolist(), strict=True))}
        if task == "multilabel":
            by_class = dict(zip(clips.classes, ratios.classes, strict=True))
            about["draw_ratios"] = {"classes": by_class, "none": ratios.none}
    head = cfg.head.model_dump()
    model = ClipClassifier(backbone, head, clips.classes, task, cfg.model.mode, about, training)
    if cfg.model.grad_checkpointing:
        backbone.save_memory()
    if cfg.model.warm_start:
        warm_start(model, runs.resolve_checkpoint(cfg.model.warm_start, "model.warm_start"))
    else:
        model.start_from_priors(targets, draws * weight)
    if cfg.trainer.compile:
        backbone.compile_model()
    return model


def plan_loss(cfg: TrainConfig, targets_NC: torch.Tensor, counted_N: torch.Tensor | None = None) -> LossPlan:
    """Return the loss that the config asks for; class weights are of the training clips `targets_NC`.

    `counted_N`: as how many clips each counts, as it is drawn; 1 if not given.
    """
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[cfg.loss.class_weights]
    values = cfg.loss.model_dump(exclude={"class_weights"})
    return LossPlan(**values, class_weights=class_weights(targets_NC, power, counted_N) if power else None)


def build_trainer(
    cfg: TrainConfig, folder: Path, logger: Logger | Literal[False], *, more: Sequence[pl.Callback] = ()
) -> pl.Trainer:
    """Build the Lightning trainer with its callbacks, and `more` before them.

    Raises:
        UsageError: devices or precision that this machine does not have.
    """
    hardware = resolve_hardware(cfg)
    options = cfg.trainer.model_dump(exclude={"precision", "max_epochs", "compile"})
    options["enable_progress_bar"] = options["enable_progress_bar"] and sys.stderr.isatty()
    if len(cfg.model.unfreeze) > 1 and hardware.processes > 1:
        # A layer that waits for its epoch has no gradient.
        options["strategy"] = "ddp_find_unused_parameters_true"
    if not hardware.is_gpu and options["devices"] == -1:
        options["devices"] = 1
    if cfg.pseudo_rounds:  # a round has more batches than the epochs before
        options["reload_dataloaders_every_n_epochs"] = 1
    return _make_trainer(
        cfg,
        **options,
        max_epochs=cfg.max_epochs,
        default_root_dir=folder,
        logger=logger,
        callbacks=[*more, *build_callbacks(cfg, folder, logs=bool(logger))],
        plugins=[AtomicIO()],
    )


def build_short_trainer(cfg: TrainConfig, steps: int, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """Build a trainer for some steps on the first device, which keeps nothing; else as `build_trainer`.

    Raises:
        UsageError: as `build_trainer`.
    """
    kept = {
        "accelerator",
        "accumulate_grad_batches",
        "gradient_clip_val",
        "deterministic",
        "log_every_n_steps",
    }
    devices = cfg.trainer.devices
    return _make_trainer(
        cfg,
        **cfg.trainer.model_dump(include=kept),
        devices=devices[:1] if isinstance(devices, list) else 1,
        max_epochs=-1,
        max_steps=steps,
        limit_val_batches=0,
        logger=False,
        callbacks=[*callbacks],
        enable_checkpointing=False,
        enable_progress_bar=False,
    )


def _make_trainer(cfg: TrainConfig, **options: Any) -> pl.Trainer:
    hardware = resolve_hardware(cfg)
    try:
        return pl.Trainer(
            **options,
            precision=hardware.precision,  # type: ignore[arg-type]  # one of its words: the config checks it
            use_distributed_sampler=False,  # the loader deals the clips out itself
            num_sanity_val_steps=0,
            enable_model_summary=False,
            benchmark=hardware.is_gpu and not cfg.trainer.deterministic,
        )
    except (MisconfigurationException, ValueError) as e:
        raise UsageError(f"trainer: {shorten_error(e)}") from None
