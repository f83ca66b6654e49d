"""Names of a run where its numbers go, and the group that it is shown with."""

import os
from dataclasses import dataclass
from pathlib import Path

from jungle import runs
from jungle.config import TrainConfig

MAX_LETTERS = 128  # as W&B allows


@dataclass(frozen=True, slots=True)
class RunNames:
    """Name, group and kind of a run; None leaves it to W&B's own variable of the environment."""

    name: str | None
    group: str | None
    job_type: str | None


def name_run(cfg: TrainConfig, folder: Path) -> RunNames:
    """Name a run by its settings, as they were given, and its folder.

    Trials of a sweep are a group, and so are the folds of one command. Settings go before `WANDB_NAME`,
    `WANDB_RUN_GROUP` and `WANDB_JOB_TYPE`, and these before names made here.
    """
    plain = cfg.name or f"{cfg.model.backbone} {cfg.model.mode} {cfg.head.name}"
    fold = None if cfg.data.fold is None else f"fold {cfg.data.fold}"
    trial = f"trial {folder.name}" if (folder / runs.TRIAL).is_file() else None
    name = ", ".join(part for part in (plain, fold, trial) if part)
    group, kind = None, "train"
    if trial:
        group, kind = f"sweep {folder.parent.name}", "trial"
    elif fold:
        group, kind = f"{plain[:90]}, {cfg.data.folds} folds, {_hash_folds(cfg)}", "fold"
    return RunNames(
        None if cfg.name is None and "WANDB_NAME" in os.environ else name[:MAX_LETTERS],
        cfg.logger.group or prefer_variable("WANDB_RUN_GROUP", group),
        cfg.logger.job_type or prefer_variable("WANDB_JOB_TYPE", kind),
    )


def prefer_variable(variable: str, default: str | None) -> str | None:
    """Return a default, or None where a variable of the environment gives the value."""
    return None if os.environ.get(variable) else default


def _hash_folds(cfg: TrainConfig) -> str:
    """Return the fingerprint that all folds of a command share."""
    data = cfg.data.model_copy(update={"fold": 0})
    return cfg.model_copy(update={"data": data}).fingerprint()[:8]
