"""Sweeps as a user starts them: two processes a trial, a trial that fails, a sweep that is killed."""

import json
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from tests.conftest import ROOT, SMALL_BACKBONE, Command, survey_args
from tests.test_end_to_end import kill_when, start


@pytest.mark.slow
def test_a_killed_sweep_on_two_processes_goes_on_and_records_what_failed(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    args = [*survey_args(survey), *SMALL_BACKBONE, "trainer=ddp_sim", "data.limit=18"]
    args.append("model.weights=null,nowhere.pth")
    sweeps = tmp_path / "runs" / "sweep"

    def first_is_done() -> bool:
        return any(json.loads(f.read_text())["state"] == "finished" for f in sweeps.glob("2*/0/run.json"))

    kill_when(start("train", ["-m", *args], tmp_path), first_is_done)
    time.sleep(2)  # the trial at hand notices within a second that its sweep is gone
    [folder] = sweeps.iterdir()
    written = (folder / "0" / "metrics.json").stat().st_mtime_ns
    done = command("train", "-m", *args, timeout=400)
    assert done.returncode == 3, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert list(sweeps.iterdir()) == [folder]
    assert sorted(f.name for f in folder.iterdir() if f.is_dir()) == ["0", "1"]  # each rank in its trial's
    assert (folder / "0" / "metrics.json").stat().st_mtime_ns == written
    table = pl.read_csv(folder / "sweep_results.csv")
    assert table["status"].to_list() == ["ok", "failed"]
    assert "nowhere.pth" in table["reason"][1]
    assert table["val/log_loss"][0] == pytest.approx(
        json.loads((folder / "0" / "metrics.json").read_text())["val/log_loss"]
    )
    assert (folder / "sweep.png").stat().st_size > 1000
    assert f"sweep results: runs/sweep/{folder.name}/sweep_results.csv" in done.stdout.splitlines()[-1]


def test_wandbs_sweep_file_speaks_hydras_syntax() -> None:
    sweep = yaml.safe_load((ROOT / "docs" / "wandb-sweep.yaml").read_text())
    assert sweep["command"][-1] == "${args}"  # which begin with dashes: tests/config/test_options.py
    given = [
        f"{key}={spec['values'][0] if 'values' in spec else spec['min']}"
        for key, spec in sweep["parameters"].items()
    ]
    cfg = overrides.compose("train", [*(a for a in sweep["command"] if "=" in a), *given], config_dir())
    assert sweep["metric"]["name"] == f"best_{cfg.callbacks.monitor}"


def test_a_sweep_is_one_by_flag_or_by_choice_and_a_trial_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for args in (["-m", "head=mean,max"], ["sweep=heads"]):
        prepared = overrides.prepare("train", args, config_dir())
        assert "-m" in prepared
        assert any(a.startswith("hydra.sweep.dir=") for a in prepared)
    trial = ["sweep=heads", "head=mean", "hydra.run.dir=x"]
    assert overrides.prepare("train", trial, config_dir()) == trial
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UsageError, match="torchrun"):
        overrides.prepare("train", ["sweep=heads"], config_dir())


def test_optuna_composes_where_it_is_installed() -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert overrides.compose("train", ["sweep=optuna"], config_dir()).head.name == "attention"
