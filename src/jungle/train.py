"""`jungle train`: from labelled clips to a checkpoint, its predictions and a report."""

import copy
import logging
import os
import warnings
from pathlib import Path
from typing import Any

from jungle import runs
from jungle.config import TrainConfig, typed
from jungle.console import log, result, timed
from jungle.errors import UsageError, UserError, count


def main(raw: Any) -> None:
    """Train as a composed config says, or go on with the run in its folder."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from jungle.files import write_text

    cfg = typed(TrainConfig, raw)
    folder = Path(HydraConfig.get().runtime.output_dir)
    best = folder / "checkpoints" / "best.ckpt"
    runs.end_with_starter()
    if runs.rank() > 0:
        _train(cfg, folder)
        return
    with runs.hold(folder):
        done = runs.state(folder)
        if done.get("fingerprint", cfg.fingerprint()) != cfg.fingerprint():
            raise UsageError(
                f"{folder} holds a run of other settings (its config.yaml); choose another folder"
            )
        if done.get("state") == "finished" and best.is_file():
            log.info(f"{folder} is finished already")
        else:
            if done:
                log.info(f"going on with the unfinished run in {folder}")
            runs.mark(folder, cfg.fingerprint(), "running")
            write_text(folder / "config.yaml", OmegaConf.to_yaml(raw, resolve=True))
            before = None
            if folder.resolve().parent == (cfg.paths.runs / "train").resolve():  # not a job of a sweep
                before = runs.point_latest(folder)
            try:
                _train(cfg, folder)
            except Exception as e:
                if before is not None and not any((folder / "checkpoints").glob("*.ckpt")):
                    runs.point_latest(before)  # what came to nothing is not what `latest` is asked for
                why = (str(e).splitlines() or [type(e).__name__])[0]
                runs.mark(folder, cfg.fingerprint(), "running", why)
                raise
    result(f"best checkpoint: {best}")


def _train(cfg: TrainConfig, folder: Path) -> None:
    with timed("imports"):
        import pytorch_lightning as pl
        import torch

        from jungle import build, evaluate, facts, inputs, labelled, loggers, searching
        from jungle.data.checks import counts_table, sites_line
        from jungle.models.compiling import check_compiler, explained
        from jungle.models.joined import make_backbone

    quiet()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    fingerprint = cfg.fingerprint()  # of the settings as given; searches turn some into numbers
    inputs.check_decoder(cfg)
    searching.check(cfg, folder)
    if cfg.trainer.compile:
        check_compiler(build.devices_of(cfg)[0])
    clips, lost = labelled.load(cfg)
    task = build.task_of(cfg, clips)
    soft = labelled.soft_labels(cfg, clips, task)
    if runs.rank() == 0:
        clips.write(folder / "clips.parquet")
        log.info(
            f"{count(len(clips), 'clip')}, {count(len(clips.classes), 'class')}, task {task}\n"
            f"{counts_table(clips)}"
        )
        if "site" in clips.table.columns:
            log.info(sites_line(clips))
    backbone = make_backbone(build.backbone_spec(cfg))
    weights_hash = backbone.weights_hash()
    train_spec, eval_spec = inputs.settled(cfg, folder, clips, backbone, weights_hash)
    known = facts.of_training(cfg, clips)
    about = labelled.about(clips, eval_spec, weights_hash, known)

    def fresh(asked: TrainConfig) -> Any:
        return build.model_of(asked, copy.deepcopy(backbone), clips, task, about)

    trained_on = int(clips.of("train").labelled().sum())
    cfg = searching.with_batch_size(cfg, folder, fresh, (train_spec, eval_spec), trained_on)
    if cfg.model.mode == "frozen":
        data, about["feature_dtype"] = inputs.stored_features(cfg, clips, backbone, eval_spec, weights_hash)
        # A head's layers are small: on a CPU a thread a core spends more on waiting than it gains.
        torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    else:
        data = inputs.videos(cfg, clips, train_spec, eval_spec)
    data.facts = known
    data.failures.update({int(i): reason for i, reason in lost.items()})
    data.left_out |= set(data.failures)
    if soft is not None:
        data.learn_from(soft, cfg.data.pseudo_share)
    name, logger = cfg.name or f"{cfg.model.backbone} {cfg.model.mode} {cfg.head.name}", None
    try:
        inputs.check_left(clips, data, cfg.max_failed_fraction)
        cfg = searching.with_rate(cfg, folder, fresh, data)
        logger = loggers.make_logger(cfg, folder, name)
        trainer = build.trainer_of(cfg, folder, logger)
        model = build.model_of(cfg, backbone, clips, task, about)
        with explained():
            _fit(cfg, folder, trainer, model, data)
            evaluate.finish(cfg, folder, trainer, model, data, clips)
    finally:
        loggers.finish(logger)
        inputs.close(data)
    if trainer.is_global_zero:
        runs.mark(folder, fingerprint, "finished")


def _fit(cfg: TrainConfig, folder: Path, trainer: Any, model: Any, data: Any) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    ckpt = str(last) if last.is_file() else None
    if ckpt is not None and _has_ended(last, cfg):
        log.info("training had ended; evaluating its best checkpoint")
        return
    with timed("training"):
        trainer.fit(model, datamodule=data, ckpt_path=ckpt, weights_only=True)


def _has_ended(last: Path, cfg: TrainConfig) -> bool:
    import torch

    from jungle.checkpoints import has_ended

    try:
        saved = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    except Exception as e:
        raise UserError(
            f"{last}: cannot be read ({str(e).splitlines()[0][:120]}); delete it to train anew"
        ) from None
    return has_ended(saved, cfg.max_epochs)


def quiet() -> None:
    """Leave out what libraries say about themselves; their warnings that concern a user stay."""
    logging.raiseExceptions = False  # a full disk is said once, not at every line of train.log
    if runs.rank() > 0:
        logging.getLogger().setLevel(logging.WARNING)  # the first process speaks for all
    for name in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "pytorch_lightning.utilities.rank_zero",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*module.s. in eval mode at the start of training.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*resuming from a checkpoint that ended before the epoch ended.*",  # the loader knows where it was
        ".*is not supported for the `LightningDataModule`.*",
        ".*number of training batches.*is smaller than the logging interval.*",
        ".*defined a `validation_step` but have no `val_dataloader`.*",  # short trials
        ".*isinstance.treespec, LeafSpec.*",
        ".*when logging on epoch level in distributed setting.*",  # the scores are of all devices already
        ".*Experiment logs directory .* exists.*",
    ):
        warnings.filterwarnings("ignore", text)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
