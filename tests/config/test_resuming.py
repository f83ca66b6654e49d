"""A run is gone on with where its settings are its own; clips and files may have been moved in between."""

import json
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from jungle import runs
from jungle.cli import entry, overrides
from jungle.commands import train
from jungle.config import TrainConfig, resuming
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.files import write_json
from jungle.pipelines import sweep
from jungle.training.run_inputs import gather_current
from tests.conftest import write_video

CLIPS = {"a/0.mp4": "hog", "a/1.mp4": "blank", "b/0.mp4": "hog", "b/1.mp4": "blank", "c/0.mp4": "hog"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for i, clip in enumerate(CLIPS):
        write_video(root / clip, None, i, frames=3)
    rows = [f"{clip},{label},{clip[0]}" for clip, label in CLIPS.items()]
    (root / "labels.csv").write_text("\n".join(["filepath,label,site", *rows]) + "\n")
    return root


def words(root: Path, *more: str) -> list[str]:
    return ["data=csv", f"data.root={root}", f"data.labels={root}/labels.csv", "data.val_fraction=0.4", *more]


@cache
def base() -> TrainConfig:
    return overrides.compose("train", words(Path("nowhere")), config_dir())


def config(root: Path, **more: object) -> TrainConfig:
    """Return what `words` of that folder compose to."""
    data = base().data.model_copy(update={"root": root, "labels": root / "labels.csv"})
    return base().model_copy(update={"data": data, **more})


def begin(folder: Path, cfg: TrainConfig, state: str = "running") -> Path:
    """Leave what a run leaves that was stopped in its training."""
    folder.mkdir(parents=True, exist_ok=True)
    resuming.save_settings(folder, cfg)
    gather_current(cfg).save(folder)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    runs.mark(folder, cfg.fingerprint(), state)
    return folder


def move(root: Path, to: str = "elsewhere") -> Path:
    elsewhere = root.with_name(to)
    shutil.copytree(root, elsewhere)
    shutil.rmtree(root)
    return elsewhere


def test_moved_clips_of_the_same_content_go_on(data: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", config(data))
    new = move(data)
    args = [f"resume={run}", f"data.root={new}", f"data.labels={new}/labels.csv"]
    settings = overrides.prepare_command("train", args, config_dir()).settings
    assert settings is not None
    assert settings["data"]["root"] == str(new)
    assert settings["data"]["val_fraction"] == 0.4


def test_moved_clips_of_other_content_are_refused(data: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", config(data))
    new = move(data)
    write_video(new / "b/1.mp4", None, 77, frames=3)
    args = [f"resume={run}", f"data.root={new}", f"data.labels={new}/labels.csv"]
    with pytest.raises(UsageError, match=r"files of clips were replaced: 1 \(b/1.mp4\)"):
        overrides.prepare_command("train", args, config_dir())


def test_a_moved_run_of_version_0_1_cannot_know_its_clips(data: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", config(data))
    (run / runs.CLIP_FILES).unlink()
    (run / "inputs.json").unlink()
    new = move(data)
    args = [f"resume={run}", f"data.root={new}", f"data.labels={new}/labels.csv"]
    with pytest.raises(UsageError, match=r"version 0\.1 kept nothing"):
        overrides.prepare_command("train", args, config_dir())


def test_other_settings_are_told(data: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", config(data))
    with pytest.raises(UsageError, match=r"had other settings \(seed was 0, is now 3\); give resume"):
        overrides.prepare_command("train", [f"resume={run}", "seed=3"], config_dir())
    pseudo = config(data).data.model_copy(update={"pseudo": "self"})
    sites = config(data).data.model_copy(update={"sites": Path("s")})
    for more, said in (
        ({"task": "exclusive"}, "task was auto, is now exclusive"),
        ({"name": "x"}, "name was null, is now x"),
        ({"data": pseudo}, "data.pseudo was null, is now self"),
        ({"data": sites}, "data.sites was null, is now s"),
    ):
        other = resuming.compare_settings(run, config(data, **more))
        assert str(other) == said
        assert other is not None
        assert not other.is_a_move


def test_settings_that_are_not_those_of_the_run_prove_no_move(data: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", config(data))
    saved = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps({**saved, "seed": 9}))
    now = config(move(data), seed=9)
    other = resuming.compare_settings(run, now)
    assert other is not None
    assert not other.is_a_move


def test_a_run_that_goes_on_with_moved_clips_keeps_their_new_place(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trained = begin(tmp_path / "run", config(data)), []
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: _hydra(run))
    monkeypatch.setattr(train, "fit", lambda cfg, folder: trained.append((cfg.data.root, folder)))
    new = move(data)
    train.main(_raw(config(new)))
    assert trained == [(new, run)]
    assert runs.state(run)["fingerprint"] == config(new).fingerprint()
    assert resuming.read_saved(run).settings["data"]["root"] == str(new)  # type: ignore[index]
    write_video(new / "b/1.mp4", None, 77, frames=3)
    begun = (run / "run.json").read_text()
    with pytest.raises(UsageError, match="files of clips were replaced"):
        train.main(_raw(config(move(new, "third"))))
    assert (run / "run.json").read_text() == begun
    with pytest.raises(UsageError, match=r"run of other settings \(seed was 0, is now 1\)"):
        train.main(_raw(config(new, seed=1)))


def test_a_trial_of_other_settings_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are the same, but lead to a file or a variable with another content."""
    begin(tmp_path / "0", config(data), "finished")
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: _hydra(tmp_path / "0"))
    write_json(tmp_path / "0" / "metrics.json", {"val/log_loss": 0.5})
    assert sweep.trial(_raw(config(data))) == 0.5
    with pytest.raises(UsageError, match=r"seed was 0, is now 4.*resume=never to start a new sweep"):
        sweep.trial(_raw(config(data, seed=4)))


def test_a_refused_trial_ends_its_sweep_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def refuse(raw: DictConfig, _: object) -> None:
        asked.append(raw.head.name)
        raise UsageError("a trial of other settings")

    monkeypatch.setattr(sweep, "trial", refuse)
    monkeypatch.chdir(tmp_path)
    assert entry.run("train", ["-m", "head=mean,max"]) == 2
    assert asked == ["mean"]
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "rror" in line] == ["error: a trial of other settings"]
    [folder] = (tmp_path / "runs" / "sweep").iterdir()
    assert runs.state(folder)["state"] == "running"


def test_a_trial_whose_settings_do_not_fit_together_is_a_failed_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: _hydra(tmp_path))
    raw = _raw(config(data))
    raw.trainer.compile = True
    assert sweep.trial(raw) is None
    assert "trainer.compile" in json.loads((tmp_path / "trial.json").read_text())["reason"]


def _raw(cfg: TrainConfig) -> DictConfig:
    return OmegaConf.create(cfg.model_dump(mode="json"))


def _hydra(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(
        runtime=SimpleNamespace(output_dir=str(folder)), overrides=SimpleNamespace(task=["head=mean"])
    )
