"""Settings that a program wrote with dashes: the agents of W&B's sweeps, and the sweep of docs/."""

from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps import utils as agents

from jungle.cli import entry, overrides
from jungle.config import options
from jungle.config.folder import config_dir
from jungle.pipelines import recipe_files
from tests.conftest import ROOT

SWEEP = yaml.safe_load((ROOT / "docs" / "wandb-sweep.yaml").read_text())


def command_of(chosen: dict[str, object], form: str = "${args}") -> list[str]:
    """Return what W&B's agent types behind train.py for chosen parameters."""
    args = agents.create_sweep_command_args({"args": {k: {"value": v} for k, v in chosen.items()}})
    words: list[str] = []
    for part in agents.create_sweep_command([form if w == "${args}" else w for w in SWEEP["command"]]):
        name = part[2:-1]
        words += [] if name in ("env", "interpreter", "program") else args.get(name, [part])
    return words


@pytest.mark.parametrize("form", ["${args}", "${args_no_hyphens}"])
def test_the_words_of_an_agent_are_understood(form: str) -> None:
    chosen = {
        "head": "gru",
        "optim.lr": 0.002,
        "report": False,
        "data.limit": None,
        "data.only": ["a b", "c"],
    }
    words = options.strip_dashes("train", command_of(chosen, form))
    cfg = overrides.compose("train", words, config_dir())
    assert (cfg.head.name, cfg.optim.lr, cfg.report, cfg.data.limit) == ("gru", 0.002, False, None)
    assert (cfg.data.only, cfg.data.format, cfg.logger.name) == (["a b", "c"], "csv", "wandb")


def test_the_sweep_of_the_docs_looks_for_the_best_of_a_run_on_ones_own_clips() -> None:
    assert SWEEP["metric"] == {"name": "best_val/log_loss", "goal": "minimize"}
    spread = {k: v.get("values") or (v["min"], v["max"]) for k, v in SWEEP["parameters"].items()}
    for at in (0, -1):
        words = options.strip_dashes("train", command_of({k: v[at] for k, v in spread.items()}))
        cfg = overrides.compose("train", words, config_dir())
        assert (cfg.head.name, cfg.optim.lr) == (spread["head"][at], spread["optim.lr"][at])
        assert str(cfg.data.root) == "/clips"


@pytest.mark.parametrize(
    ("verb", "typed", "meant"),
    [
        ("train", ["--seed=3", "--max-failed-fraction=0.1"], ["seed=3", "max_failed_fraction=0.1"]),
        ("train", ["--data.labels=a=b.csv"], ["data.labels=a=b.csv"]),
        ("train", ["--plan=true", "--scale=tiny"], ["plan=true", "scale=tiny"]),
        ("predict", ["--ckpt=a.ckpt"], ["ckpt=a.ckpt"]),
        ("train", ["--cfg=job", "--config-dir=/x", "--sed=1"], ["--cfg=job", "--config-dir=/x", "--sed=1"]),
        ("train", ["--seed", "3", "-seed=3", "-s=3"], ["--seed", "3", "-seed=3", "-s=3"]),
    ],
)
def test_only_settings_lose_their_dashes(verb: str, typed: list[str], meant: list[str]) -> None:
    assert options.strip_dashes(verb, typed, recipe_files.WORDS if verb == "train" else ()) == meant


def test_the_doors_take_them(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert entry.run("train", ["--trainer.devices=abc"]) == 2
    assert "trainer.devices=abc: " in capfd.readouterr().err
    assert entry.run("train", ["--sed=1"]) == 2
    assert "Nearest: seed" in capfd.readouterr().err
    words = ["--experiment=primatrix/micro", "--plan=true", f"--paths.runs={tmp_path}", "--scale=huge"]
    assert entry.run("train", words) == 2
    assert "scale is full or tiny" in capfd.readouterr().err
