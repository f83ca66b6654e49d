"""A training run: labels are checked before torch, Lightning and timm are imported."""

import logging
import os
import warnings
from pathlib import Path

from jungle import system
from jungle.config import TrainConfig
from jungle.console import log_time
from jungle.training import clips as training_clips


def fit(cfg: TrainConfig, folder: Path) -> None:
    """Train as a config says, or resume the run in `folder`, which gets everything that is made."""
    silence_libraries()
    # An error in a table is reported before torch is imported, which takes seconds; a sample is rendered
    # last, since that takes a minute.
    loaded = None if cfg.data.format == "sample" else training_clips.load(cfg)
    with log_time("imports"):
        from jungle.models import large_libraries  # noqa: F401  # first: it leaves out what is not used
        from jungle.training import run  # here, since it imports torch, Lightning and timm
    silence_libraries()  # once more: Lightning sets its level when it is imported
    run.train(cfg, folder, loaded)


def silence_libraries() -> None:
    """Leave out log lines of libraries about themselves; warnings that concern a user stay."""
    logging.raiseExceptions = False  # a full disk is reported once, not at every line of train.log
    if system.get_rank() > 0:
        logging.getLogger().setLevel(logging.WARNING)  # the first process logs for all
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
        ".*resuming from a checkpoint that ended before the epoch ended.*",  # the loader skips what was taken
        ".*is not supported for the `LightningDataModule`.*",
        ".*number of training batches.*is smaller than the logging interval.*",
        ".*defined a `validation_step` but have no `val_dataloader`.*",  # short trials
        ".*isinstance.treespec, LeafSpec.*",
        ".*when logging on epoch level in distributed setting.*",  # scores are joined over devices
        ".*Experiment logs directory .* exists.*",
    ):
        warnings.filterwarnings("ignore", text)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
