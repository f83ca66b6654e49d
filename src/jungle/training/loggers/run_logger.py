"""The logger of a run: made, told the results, closed."""

from pathlib import Path
from typing import Any

from jungle.config import TrainConfig
from jungle.console import log
from jungle.training.loggers import tensorboard_run, wandb_run
from jungle.training.loggers.results import Results
from jungle.training.loggers.run_names import Names
from jungle.training.loggers.wandb_run import check, has_key

__all__ = ["Names", "Results", "check", "finish", "has_key", "make_logger", "tell"]


def make_logger(cfg: TrainConfig, folder: Path, names: Names) -> Any:
    """Return the Lightning logger that `logger=` asks for, False for none.

    Raises:
        UserError: `logger.mode=online`, and W&B refuses the run.
    """
    if cfg.logger.name == "none":
        return False
    if cfg.logger.name == "csv":
        from pytorch_lightning.loggers import CSVLogger

        return CSVLogger(folder, name="", version="csv")
    if cfg.logger.name == "tensorboard":
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
    return wandb_run.begin(cfg, folder, names)


def tell(logger: Any, cfg: TrainConfig, results: Results) -> None:
    """Tell a logger how the best checkpoint did: scores and, if it can show them, charts and clips.

    That it cannot be told ends no run: the same stands in the run's folder.
    """
    try:
        kind = type(logger).__name__
        logger.log_metrics({f"best_{name}": value for name, value in results.headline.items()})
        if kind == "WandbLogger":
            wandb_run.tell(logger, results, with_checkpoint=cfg.logger.checkpoint)
        elif kind == "TensorBoardLogger":
            tensorboard_run.tell(logger, cfg, results)
    except Exception as e:
        log.warning(
            f"warning: the results could not be logged ({wandb_run.gist(e)}); metrics.json and the "
            "tables of predictions have them"
        )


def finish(logger: Any) -> None:
    """Close the logger's run, so that the next one gets its own."""
    if type(logger).__name__ == "WandbLogger":
        wandb_run.finish()
