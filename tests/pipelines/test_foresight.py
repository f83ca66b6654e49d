"""What would stop a recipe is in its plan, and is said before anything runs."""

import json
from pathlib import Path

import pytest

from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from jungle.config.recipe import Stage
from jungle.errors import UserError
from jungle.pipelines import foresight, recipe_files, subprocesses
from jungle.pipelines.stages import Job, compose_recipe
from jungle.sample import library


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch, tmp_path) -> list[list[str]]:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocesses, "run", lambda words: ran.append(words) or 9)
    monkeypatch.chdir(tmp_path)
    return ran


def foreseen(*given: str, tiny: bool = False) -> tuple[str, ...]:
    file = config_dir() / "experiment" / "primatrix" / "micro.yaml"
    jobs, root, _ = compose_recipe(
        recipe_files.read_recipe(file), "primatrix/micro", list(given), tiny=tiny, configs=config_dir()
    )
    return tuple(map(str, foresight.foresee(jobs, root)))


def demo(root: Path, clips: int = 240) -> None:
    (root / "raw").mkdir(parents=True)
    numbers = {"version": library.VERSION, "clips": clips, "sites": 20, "seed": 0}
    (root / "sample.json").write_text(json.dumps(numbers))


def test_missing_clips_are_in_the_plan_and_stop_it_before_anything_runs(
    nothing_runs, capsys, tmp_path
) -> None:
    said = "data.root=data/micro: no such folder"
    assert main(["train", "experiment=primatrix/micro", "plan=true"]) == 0
    assert f"would stop it: {said}" in capsys.readouterr().err
    assert main(["train", "experiment=primatrix/micro"]) == 1
    assert f"error: experiment=primatrix/micro: {said}" in capsys.readouterr().err
    assert nothing_runs == []
    assert list(tmp_path.iterdir()) == []


def test_a_small_one_goes_beside_the_sample_of_the_demo(tmp_path) -> None:
    demo(tmp_path / "cache" / "sample")
    assert foreseen(tiny=True) == ()
    demo(tmp_path / "cache" / "sample_40", clips=24)
    (stop,) = foreseen(tiny=True)
    assert "cache/sample_40: holds a sample of 24 clips" in stop


def test_clips_without_their_labels(tmp_path) -> None:
    (tmp_path / "data" / "micro").mkdir(parents=True)
    assert "no table of labels" in foreseen()[0]
    (tmp_path / "data" / "train_labels.csv").touch()
    assert foreseen() == ()
    stops = foreseen("data.sites=gone.csv", "data.labels=lost.csv")
    assert stops == ("data.labels=lost.csv: no such file. data.sites=gone.csv: no such file.",)


def test_weights_that_cannot_be_had_would_stop_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def stops(*args: str) -> tuple[str, ...]:
        cfg = overrides.compose("train", [f"paths.cache={tmp_path}", *args], config_dir())
        stage = Stage(name="a", verb="train")
        return tuple(map(str, foresight.foresee([Job(stage, tmp_path / "a", [], cfg)], tmp_path / "recipe")))

    assert stops() == ()  # lite0's come with the program
    (stop,) = stops("model=resnet152_frozen")
    assert "model.backbone=resnet152" in stop
    assert stops("model=resnet152_frozen", "model.pretrained=false") == ()


def test_a_look_at_the_folder_of_a_sample_writes_nothing(tmp_path) -> None:
    library.check_room(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())
    demo(tmp_path / "s")
    library.check_room(tmp_path / "s")
    with pytest.raises(UserError, match="not of 40 clips"):
        library.check_room(tmp_path / "s", clips=40)
    (tmp_path / "mine" / "raw").mkdir(parents=True)
    (tmp_path / "mine" / "raw" / "a.mp4").touch()
    with pytest.raises(UserError, match="not the sample's"):
        library.check_room(tmp_path / "mine")
