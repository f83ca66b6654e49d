from importlib.util import find_spec

import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from tests.conftest import ROOT

GROUPS = (
    "data",
    "decoder",
    "frames",
    "augment",
    "model",
    "head",
    "loss",
    "optim",
    "trainer",
    "callbacks",
    "logger",
    "paths",
    "experiment",
    "sweep",
)
CHOICES = sorted(
    f"{group}={file.stem}"
    for group in GROUPS
    for file in (config_dir() / group).glob("*.yaml")
    if file.stem != "base" and (file.stem != "optuna" or find_spec("optuna"))  # an extra
)
NEEDED = {
    "data=csv": ["data.root=/clips", "data.labels=/labels.csv"],
    "data=folders": ["data.root=/clips"],
    "data=camtrap_dp": ["data.root=/package"],
    "data=megadetector": ["data.root=/clips", "data.labels=/md.json"],
    "frames=random": ["model=finetune"],
    "experiment=camtrap_finetune": ["data.root=/clips", "data.labels=/labels.csv"],
    **{f"augment={a}": ["model=finetune"] for a in ("light", "camera_trap", "strong")},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_is_valid(choice: str) -> None:
    overrides.compose("train", [choice, *NEEDED.get(choice, [])], config_dir())


def test_no_config_names_code_to_run() -> None:
    for file in config_dir().rglob("*.yaml"):
        assert "_target_" not in file.read_text(), file


def test_the_wheel_carries_the_configs() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'configs = "jungle/configs"' in text
