"""A training run, from labelled clips to a checkpoint, its predictions and a report."""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars
import pytorch_lightning as pl
import torch

from jungle import runs, system
from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.data.validation import describe_sites, format_counts
from jungle.errors import UserError
from jungle.models.backbones.concat import make_backbone
from jungle.models.compilation import check_compiler, explained
from jungle.models.module import ClipClassifier
from jungle.models.optimizer import check_groups
from jungle.models.tensors import load_archive
from jungle.prediction import metadata
from jungle.training import build, datamodules, evaluation
from jungle.training import clips as training_clips
from jungle.training.callbacks import NoteUnread
from jungle.training.checkpointing import has_ended
from jungle.training.datamodules import ClipExtras
from jungle.training.evaluation import TrainedRun
from jungle.training.hardware import check_hardware, resolve_hardware
from jungle.training.loggers import run_logger
from jungle.training.loggers.run_names import name_run
from jungle.training.run_inputs import RunInputs
from jungle.training.tuning import search
from jungle.wording import tally


def train(cfg: TrainConfig, folder: Path, loaded: tuple[Clips, dict[int, str]] | None = None) -> None:
    """Train as a config says, or resume the run in `folder`.

    Args:
        cfg: the settings.
        folder: of the run; gets everything that is made.
        loaded: the clips, and those that are not on disk, where they were loaded before.
    """
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    # Of the settings as given; searches turn some into numbers.
    fingerprint, names = cfg.fingerprint(), name_run(cfg, folder)
    check_hardware(cfg)
    search.check(cfg, folder)
    if cfg.trainer.compile:
        check_compiler(resolve_hardware(cfg).device)
    run_logger.check(cfg)
    backbone = make_backbone(build.make_backbone_spec(cfg))  # before the clips: its weights may not be had
    clips, missing = loaded or training_clips.load(cfg)
    task = build.resolve_task(cfg, clips)
    soft = training_clips.read_soft_labels(cfg, clips, task)
    if system.get_rank() == 0:
        there = clips.where(
            polars.Series([n not in missing for n in range(len(clips))], dtype=polars.Boolean)
        )
        kinds = tally(len(clips.classes), "classes")
        log.info(f"{tally(len(there), 'clips')}, {kinds}, task {task}\n{format_counts(there)}")
        if "site" in clips.table.columns:
            log.info(describe_sites(there))
    weights_hash = backbone.weights_hash()
    given = _keep_inputs(cfg, folder, clips, weights_hash) if system.get_rank() == 0 else None
    inputs = datamodules.resolve_model_inputs(cfg, folder, clips, backbone, weights_hash)
    about = datamodules.make_checkpoint_metadata(cfg, clips, inputs)

    def make_trial_model(trial: TrainConfig) -> ClipClassifier:
        return build.build_model(trial, copy.deepcopy(backbone), clips, task, about)

    trained_on = int(clips.of("train").labelled().sum())
    specs = (inputs.train_spec, inputs.eval_spec)
    cfg = search.resolve_batch_size(cfg, folder, make_trial_model, specs, trained_on)
    contents = () if given is None else given.contents
    extras = ClipExtras(missing=missing, soft=soft, contents=contents)
    data = datamodules.build_datamodule(cfg, clips, inputs, extras)
    if cfg.model.mode == "frozen":
        # A head's layers are small: on a CPU a thread a core spends more on waiting than it gains.
        torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    logger = False

    def note(unread: Collection[int]) -> None:
        if given is not None:
            given.note_damaged(folder, unread)

    try:
        note({*data.damaged, *data.failures})
        datamodules.check_left_out(clips, data, cfg.max_failed_fraction, missing)
        cfg = search.resolve_learning_rate(cfg, folder, make_trial_model, data)
        logger = run_logger.make_logger(cfg, folder, names)
        trainer = build.build_trainer(cfg, folder, logger, more=[NoteUnread(note)])
        model = build.build_model(cfg, backbone, clips, task, about)
        with explained():
            _fit(cfg, folder, trainer, model, data)
            run = TrainedRun(cfg, folder, clips, data, inputs.eval_spec, model)
            evaluation.evaluate(run, trainer)
    finally:
        note({*data.damaged, *data.failures})
        run_logger.close(cfg, logger)
        datamodules.close_datamodule(data)
    if trainer.is_global_zero:
        runs.mark(folder, fingerprint, "finished")


def _keep_inputs(cfg: TrainConfig, folder: Path, clips: Clips, weights_hash: str) -> RunInputs:
    """Write the inputs of the run into its folder, and return them.

    Raises:
        UsageError: the run was started with other inputs.
    """
    try:
        before = RunInputs.load(folder)
    except UserError as e:
        runs.check_unchanged(folder, [str(e)])
        raise
    now = RunInputs.gather(cfg, clips, before)
    now.digests["backbone"] = weights_hash
    now.digests["data.micro"] = "none" if metadata.micro_folder(cfg.data) is None else "some"
    if before is not None:
        runs.check_unchanged(folder, now.changes_since(before))
    now.save(folder)
    return now


def _fit(cfg: TrainConfig, folder: Path, trainer: pl.Trainer, model: ClipClassifier, data: ClipData) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    ckpt = str(last) if last.is_file() else None
    if ckpt is not None:
        saved = _load_last(last)
        if has_ended(saved, cfg.max_epochs):
            log.info("training had ended; evaluating its best checkpoint")
            return
        try:
            check_groups(saved, model.parameter_groups())
        except UserError as e:
            raise UserError(f"{last}: {e}") from None
    with log_time("training"):
        trainer.fit(model, datamodule=data, ckpt_path=ckpt, weights_only=True)


def _load_last(last: Path) -> dict[str, Any]:
    try:
        return load_archive(last)
    except UserError as e:
        raise UserError(f"{last}: {e}; delete it to train again from the beginning") from None
