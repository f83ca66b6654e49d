"""The logger of a run: opened, given the results, closed. The module of a tracker is imported when chosen."""

from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

from pytorch_lightning.loggers import CSVLogger, Logger

from jungle import system
from jungle.config import TrainConfig
from jungle.console import log
from jungle.errors import shorten_error
from jungle.training.loggers.results import Results
from jungle.training.loggers.run_names import RunNames


class Tracker(Protocol):
    """The functions of a module that connects runs to an experiment tracker."""

    def open_run(self, cfg: TrainConfig, folder: Path, names: RunNames) -> Logger | Literal[False]:
        """Return Lightning's logger, its run begun; False where the tracker cannot be used at all."""
        ...

    def log_results(self, logger: Logger, cfg: TrainConfig, results: Results) -> None:
        """Log what the tracker can show in addition to scores: charts, tables, pictures of clips."""
        ...

    def close_run(self) -> None:
        """Close the run, so that the next one of this process gets its own."""
        ...


TRACKERS = {"none": None, "csv": None, "tensorboard": "tensorboard_run", "wandb": "wandb_run"}
"""The choices of `logger.name`, and the module in this folder of each tracker that shows more than curves."""


def _load_tracker(cfg: TrainConfig) -> Tracker | None:
    name = TRACKERS[cfg.logger.name]
    return None if name is None else cast(Tracker, import_module(f"{__package__}.{name}"))


def check(cfg: TrainConfig) -> None:
    """Refuse `logger.mode=online` where W&B cannot be reached or refuses the key, before anything is read.

    Raises:
        UserError: which of these, and what to give instead.
    """
    if cfg.logger.name == "wandb" and cfg.logger.mode == "online" and system.get_rank() == 0:
        from jungle.training.loggers import wandb_run  # here: other loggers do without W&B

        wandb_run.check_online()


def make_logger(cfg: TrainConfig, folder: Path, names: RunNames) -> Logger | Literal[False]:
    """Return the Lightning logger that `logger=` asks for, False for none.

    Raises:
        UserError: `logger.mode=online`, and W&B refuses the run.
    """
    if cfg.logger.name == "csv":
        return CSVLogger(folder, name="", version="csv")
    tracker = _load_tracker(cfg)
    return tracker is not None and tracker.open_run(cfg, folder, names)


def log_results(logger: Logger, cfg: TrainConfig, results: Results) -> None:
    """Log how the best checkpoint did: scores and, where the tracker shows them, charts and clips.

    A failure ends no run: the run's folder has the same results.
    """
    try:
        logger.log_metrics({f"best_{name}": value for name, value in results.headline.items()})
        if (tracker := _load_tracker(cfg)) is not None:
            tracker.log_results(logger, cfg, results)
    except Exception as e:
        log.warning(
            f"warning: the results could not be logged ({shorten_error(e, 200).rstrip('. ')}); metrics.json "
            "and the tables of predictions have them"
        )


def close(cfg: TrainConfig, logger: Logger | Literal[False] | None) -> None:
    """Close the logger's run, so that the next one gets its own."""
    if logger and (tracker := _load_tracker(cfg)) is not None:
        tracker.close_run()
