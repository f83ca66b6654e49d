"""What a run is called where its numbers go, and which runs it is shown with."""

import os
from dataclasses import dataclass
from pathlib import Path

from jungle import runs
from jungle.config import TrainConfig

LONGEST = 128  # letters, as W&B allows


@dataclass(frozen=True)
class Names:
    """Name, group and kind of a run; None: W&B's own variable of the environment says it."""

    name: str | None
    group: str | None
    job_type: str | None

    @classmethod
    def of(cls, cfg: TrainConfig, folder: Path) -> "Names":
        """Name a run by its settings, as they were given, and its folder.

        Trials of a sweep are a group, and so are the folds of one command. What is given goes first, then
        what `WANDB_NAME`, `WANDB_RUN_GROUP` and `WANDB_JOB_TYPE` say.
        """
        plain = cfg.name or f"{cfg.model.backbone} {cfg.model.mode} {cfg.head.name}"
        fold = None if cfg.data.fold is None else f"fold {cfg.data.fold}"
        trial = f"trial {folder.name}" if (folder / runs.TRIAL).is_file() else None
        name = ", ".join(part for part in (plain, fold, trial) if part)
        group, kind = None, "train"
        if trial:
            group, kind = f"sweep {folder.parent.name}", "trial"
        elif fold:
            group, kind = f"{plain[:90]}, {cfg.data.folds} folds, {_of_all_folds(cfg)}", "fold"
        return cls(
            None if cfg.name is None and "WANDB_NAME" in os.environ else name[:LONGEST],
            cfg.logger.group or free(group, "WANDB_RUN_GROUP"),
            cfg.logger.job_type or free(kind, "WANDB_JOB_TYPE"),
        )


def free(found: str | None, variable: str) -> str | None:
    """Return what was found, None where a variable of the environment says something else."""
    return None if os.environ.get(variable) else found


def _of_all_folds(cfg: TrainConfig) -> str:
    data = cfg.data.model_copy(update={"fold": 0})
    return cfg.model_copy(update={"data": data}).fingerprint()[:8]
