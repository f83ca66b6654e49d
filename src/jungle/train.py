"""`jungle train`: from labelled clips to a checkpoint, its predictions and a report."""

import json
import logging
import os
import signal
import warnings
from pathlib import Path
from typing import Any

from jungle import runs
from jungle.config import TrainConfig, typed
from jungle.console import log, result, timed
from jungle.errors import UserError


def main(raw: Any) -> float | None:
    """Train as a composed config says; return the monitored score of the best checkpoint, for sweeps."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    cfg = typed(TrainConfig, raw)
    folder = Path(HydraConfig.get().runtime.output_dir)
    best = folder / "checkpoints" / "best.ckpt"
    lock = None
    if runs.rank() == 0:
        lock = runs.hold(folder)
        done = runs.state(folder)
        if done.get("state") == "finished" and best.is_file():
            log.info(f"{folder} is finished already")
            result(f"best checkpoint: {best}")
            return None
        from jungle.files import write_text

        if done:
            log.info(f"going on with the unfinished run in {folder}")
        runs.mark(folder, cfg.fingerprint(), "running")
        write_text(folder / "config.yaml", OmegaConf.to_yaml(raw, resolve=True))
        if folder.resolve().parent == (cfg.paths.runs / "train").resolve():  # not a job of a sweep
            runs.point_latest(folder)
    try:
        score = _train(cfg, folder)
    finally:
        if lock is not None:
            lock.release()
    if runs.rank() == 0:
        result(f"best checkpoint: {best}")
    return score


def _train(cfg: TrainConfig, folder: Path) -> float | None:
    with timed("imports"):
        import pytorch_lightning as pl

        from jungle import build, evaluate, inputs, loggers
        from jungle.data.checks import counts_table
        from jungle.models.backbone import Backbone

    quiet()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    inputs.check_decoder(cfg)
    clips, lost = inputs.labelled_clips(cfg)
    task = build.task_of(cfg, clips)
    if runs.rank() == 0:
        clips.write(folder / "clips.parquet")
        log.info(f"{len(clips)} clips, {len(clips.classes)} classes, task {task}\n{counts_table(clips)}")
    backbone = Backbone(build.backbone_spec(cfg))
    weights_hash = backbone.weights_hash()
    train_spec, eval_spec = inputs.settled(cfg, folder, clips, backbone, weights_hash)
    about = {
        "clip": eval_spec.to_dict(),
        "priors": inputs.priors(clips),
        "weights_hash": weights_hash,
    }
    if cfg.model.mode == "frozen":
        data, about["feature_dtype"] = inputs.stored_features(cfg, clips, backbone, eval_spec, weights_hash)
    else:
        data = inputs.videos(cfg, clips, train_spec, eval_spec)
    data.failures.update({int(i): reason for i, reason in lost.items()})
    data.left_out |= set(data.failures)
    inputs.check_left(clips, data, cfg.max_failed_fraction)
    name = cfg.name or f"{cfg.model.backbone} {cfg.model.mode} {cfg.head.name}"
    logger = loggers.make_logger(cfg, folder, name)
    trainer = build.trainer_of(cfg, folder, logger)
    model = build.model_of(cfg, backbone, clips, task, about)
    try:
        _fit(cfg, folder, trainer, model, data)
        evaluate.finish(cfg, folder, trainer, model, data, clips)
    finally:
        loggers.finish(logger)
        inputs.close(data)
    if not trainer.is_global_zero:
        return None
    runs.mark(folder, cfg.fingerprint(), "finished")
    return json.loads((folder / "metrics.json").read_text()).get(cfg.callbacks.monitor)


def _fit(cfg: TrainConfig, folder: Path, trainer: Any, model: Any, data: Any) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    ckpt = str(last) if last.is_file() else None
    if ckpt is not None and _has_stopped(last, cfg):
        log.info("training had ended; evaluating its best checkpoint")
        return
    try:
        with timed("training"):
            trainer.fit(model, datamodule=data, ckpt_path=ckpt, weights_only=True)
    except SystemExit as e:
        # Lightning leaves without a word on Ctrl-C, and with exit code 0 on SIGTERM (a job's time limit).
        if trainer.received_sigterm:
            log.warning("ended by SIGTERM: the same command goes on from here")
            raise SystemExit(128 + signal.SIGTERM) from e
        raise KeyboardInterrupt from e
    except OSError as e:
        raise UserError(
            f"training stopped: {e.strerror or e}. Make room, then give the same command again"
        ) from e
    if trainer.interrupted:
        raise KeyboardInterrupt


def _has_stopped(last: Path, cfg: TrainConfig) -> bool:
    """Tell whether the run of `last.ckpt` had come to its end before it was cut off."""
    import torch

    try:
        saved = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    except Exception as e:
        raise UserError(
            f"{last}: cannot be read ({str(e).splitlines()[0][:120]}); delete it to train anew"
        ) from None
    stops = [v for k, v in saved.get("callbacks", {}).items() if k.startswith("EarlyStopping")]
    waited = bool(stops) and stops[0]["wait_count"] >= stops[0]["patience"]
    return waited or saved["epoch"] + 1 >= cfg.max_epochs


def quiet() -> None:
    """Leave out what libraries say about themselves; their warnings that concern a user stay."""
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
        ".*is not supported for the `LightningDataModule`.*",
        ".*number of training batches.*is smaller than the logging interval.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*Experiment logs directory .* exists.*",
    ):
        warnings.filterwarnings("ignore", text)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
