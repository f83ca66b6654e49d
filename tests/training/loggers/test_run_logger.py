"""Which module a logger needs."""

import subprocess
import sys
from typing import get_args

from jungle.config.train import TrainConfig
from jungle.training.loggers.run_logger import TRACKERS


def test_the_config_takes_the_loggers_that_there_are() -> None:
    logger = TrainConfig.model_fields["logger"].annotation
    assert logger is not None
    assert set(get_args(logger.model_fields["name"].annotation)) == set(TRACKERS)


def test_loggers_that_are_not_chosen_are_not_imported() -> None:
    code = "import sys; import jungle.training.loggers.run_logger; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "jungle.training.loggers.run_logger" in modules
    assert not {"wandb", "tensorboard"} & set(modules)
