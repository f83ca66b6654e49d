"""A command composes its config once; what then runs is what Hydra would have composed and run."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import Hydra  # pyright: ignore[reportPrivateImportUsage]
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from jungle.cli import entry as cli_main
from jungle.cli import overrides
from jungle.commands import train as fit
from jungle.config.folder import config_dir
from jungle.errors import UsageError

CHILD = ["hydra.run.dir='runs/x'", 'hydra.run.dir="runs/x"', "hydra.job.name=train_ddp_process_1"]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of each composition that Hydra has made."""
    found: list[list[str]] = []
    compose = Hydra.compose_config

    def counting(self: Any, config_name: Any, overrides: list[str], *args: Any, **kwargs: Any) -> Any:
        found.append(list(overrides))
        return compose(self, config_name, overrides, *args, **kwargs)

    monkeypatch.setattr(Hydra, "compose_config", counting)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run `train.py` up to where it would train; return what training is given, and what is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_main, "_check_machine", lambda cfg: None)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    seen: dict[str, Any] = {}

    def main(raw: Any) -> None:
        logging.getLogger("jungle").info("training")
        whole = HydraConfig.instance().cfg
        folder = Path(HydraConfig.get().runtime.output_dir)
        seen.update(
            raw=OmegaConf.to_yaml(raw), hydra=OmegaConf.to_yaml(whole), struct=OmegaConf.is_struct(raw)
        )
        seen.update(argv=cli_main.sys.argv[1:], log=sorted(type(h).__name__ for h in root.handlers))
        seen["files"] = {str(f.relative_to(folder)): f.read_text() for f in folder.glob(".hydra/*")}
        seen["logs"] = sorted(f.name for f in folder.glob("*.log"))

    monkeypatch.setattr(fit, "main", main)

    def run(*argv: str) -> dict[str, Any]:
        seen.clear()
        code = cli_main.run("train", list(argv))
        return {**seen, "code": code}

    yield run
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("argv", "times"),
    [
        (["hydra.run.dir=runs/x"], 1),
        (["--run", "paths.runs=it's", "seed=3", "resume=never"], 1),
        (["hydra.verbose=jungle", "hydra.run.dir=runs/x"], 3),  # Hydra's own runner does that
        (["--config-dir=own", "experiment=mine", "hydra.run.dir=runs/x"], 2),  # with that folder and without
    ],
)
def test_a_run_is_composed_once(
    run: Callable[..., dict[str, Any]], counted: list[list[str]], argv: list[str], times: int
) -> None:
    strangers_config()
    assert run(*argv)["code"] == 0
    assert len(counted) == times


@pytest.mark.parametrize(
    "argv",
    [
        ["hydra.run.dir=runs/x", "seed=3", "name='${now:%Y}'"],
        ["head=mean", *CHILD, "hydra.output_subdir=null"],
        ["--config-dir=own", "experiment=mine", "hydra.run.dir='runs/${seed}'"],
        ["sweep=heads", "head=max", "hydra.run.dir=runs/x"],  # a trial of a sweep
    ],
)
def test_what_runs_is_what_hydra_would_run(
    run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    strangers_config()
    if CHILD[0] in argv:
        monkeypatch.setenv("LOCAL_RANK", "1")
    ours = run(*argv)
    assert ours["argv"]
    monkeypatch.setattr(overrides, "_is_simple", lambda *_: False)
    assert run(*argv) == ours
    assert ours["code"] == 0
    assert len(ours["files"]) == (0 if CHILD[0] in argv else 3)
    assert len(ours["logs"]) == 1


def test_what_the_task_raises_comes_out(
    run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(raw: Any) -> None:
        raise KeyError("a fault of the program")

    monkeypatch.setattr(fit, "main", broken)
    with pytest.raises(KeyError, match="a fault of the program"):
        run("hydra.run.dir=runs/x")
    assert HydraConfig.instance().cfg is None


@pytest.mark.parametrize(
    "argv", [[], ["name=été", "model=finetune"], ["--config-dir=own", "experiment=mine"]]
)
def test_settings_are_shown_as_hydra_shows_them(
    run: Callable[..., dict[str, Any]],
    counted: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    strangers_config()
    assert run("--cfg=job", *argv)["code"] == 0
    assert len(counted) == (2 if "--config-dir=own" in argv else 1)
    ours = capsys.readouterr().out
    assert run("--cfg=job", "--package=_global_", *argv)["code"] == 0  # which Hydra does
    assert capsys.readouterr().out == ours
    assert "\nseed: " in ours


@pytest.mark.parametrize(
    ("word", "says", "times"),
    [
        ("trainr.devices=2", "Nearest: trainer.devices", 1),
        ("model.unfreeze=last_3", "model.unfreeze belongs to model=finetune", 2),
        ("head=mx", "no such head", 0),
        (f"{'x' * 300}=1", "there is no setting named xxx", 1),
        (
            "hydra.job.env_copy=[NOT_THERE]",
            "hydra.job.env_copy: the environment has no variable 'NOT_THERE'",
            1,
        ),
        ("model.taps.0=x", "there is no setting named model.taps.0", 1),
    ],
)
def test_a_wrong_name_costs_no_more_than_finding_the_nearest(
    counted: list[list[str]], word: str, says: str, times: int
) -> None:
    with pytest.raises(UsageError, match=says):
        overrides.prepare("train", [word], config_dir())
    assert len(counted) == times


def strangers_config() -> None:
    """Write `own`, a folder of configs, beside the runs."""
    file = Path("own/experiment/mine.yaml")
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nseed: 7\n")
