"""Which module a logger needs."""

import subprocess
import sys
from typing import get_args

import pytest

from jungle.config.train import TrainConfig
from jungle.training.loggers.run_logger import TRACKERS


def test_the_config_takes_the_loggers_that_there_are() -> None:
    logger = TrainConfig.model_fields["logger"].annotation
    assert logger is not None
    assert set(get_args(logger.model_fields["name"].annotation)) == set(TRACKERS)


@pytest.mark.parametrize("library", ["wandb", "tensorboard"])
def test_a_logger_that_is_not_chosen_is_not_imported(library: str) -> None:
    code = f"import sys; import jungle.training.loggers.run_logger; assert {library!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
