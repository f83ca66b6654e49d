"""Recipes: experiments of several stages, planned, run, stopped and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from jungle import runs
from jungle.cli.entry import main
from jungle.config import check
from jungle.config.folder import config_dir
from jungle.config.recipe import Recipe
from jungle.errors import UsageError
from jungle.pipelines import recipe, recipe_files
from jungle.pipelines.stages import compose_recipe
from jungle.sample import library
from jungle.training.run_inputs import gather_current
from tests.conftest import ROOT
from tests.pipelines.conftest import Staged

NAMES = sorted(f"primatrix/{f.stem}" for f in (config_dir() / "experiment" / "primatrix").glob("*.yaml"))


def plan(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    code = main(["train", "plan=true", *args])
    said = capsys.readouterr()
    return code, said.err + said.out


@pytest.mark.parametrize("scale", ["full", "tiny"])
@pytest.mark.parametrize("name", NAMES)
def test_every_stage_composes_and_is_planned(name: str, scale: str, tmp_path, capsys) -> None:
    code, said = plan(capsys, f"experiment={name}", f"scale={scale}", f"paths.runs={tmp_path / 'runs'}")
    assert code == 0, said
    found = recipe_files.read_recipe(config_dir() / "experiment" / f"{name}.yaml")
    stages = (found.small() if scale == "tiny" else found).stages
    assert all(stage.name in said for stage in stages)
    left_out = f"scale=tiny leaves out {', '.join(found.left_out)}"
    assert (left_out in said) == (scale == "tiny" and bool(found.left_out))
    assert "not measured" in said
    assert not (tmp_path / "runs").exists()  # a plan runs and writes nothing


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["experiment=primatrix/bst"], "Nearest: primatrix/best"),
        (["experiment=primatrix/best", "scale=tinny"], "scale is full or tiny"),
        (["experiment=primatrix/best", "stage=stak"], "Nearest: stack"),
        (["experiment=primatrix/best", "modle.size=64"], "model.size"),
        (["experiment=primatrix/best", "data.fold=1"], "chooses its folds itself"),
        (["experiment=primatrix/best", "-m"], "key=value"),
        (["experiment=primatrix/best", "hydra.run.dir=x"], "chooses its folders itself"),
        (["experiment=primatrix/best", "stage=stack", "plan=false"], "needs lite0 first"),
    ],
)
def test_a_wrong_word_is_answered_before_anything_runs(args, says, tmp_path, capsys) -> None:
    assert main(["train", *args, f"paths.runs={tmp_path}"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert says in said
    assert not list(tmp_path.rglob("run.json"))


LARGE = {"name": "a", "verb": "train", "full_only": True}


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([{"name": "a", "verb": "train"}, {"name": "a", "verb": "train"}], "two stages are named a"),
        ([{"name": "s", "verb": "ensemble_stack", "members": ["a"]}], "needs a, which is no stage before it"),
        ([{"name": "a", "verb": "train", "args": ["x={b}"]}], "needs b"),
        ([{"name": "s", "verb": "ensemble_stack"}], "an ensemble has members"),
        ([{"name": "a", "verb": "rm"}], "Valid: "),
        ([LARGE, {"name": "b", "verb": "train", "args": ["x={a}"]}], "needs a, which scale=tiny leaves out"),
        ([LARGE, {"name": "s", "verb": "ensemble_stack", "members": ["a"]}], "leaves out all of its members"),
        ([LARGE], "leave out every stage"),
    ],
)
def test_a_recipe_that_does_not_hold_together_is_refused(stages, says) -> None:
    with pytest.raises(UsageError, match=says):
        check(Recipe, {"about": "", "stages": stages})


def test_settings_name_the_folders(tmp_path) -> None:
    """Another setting is another folder: an old result is never taken for a new one."""
    file = config_dir() / "experiment" / "primatrix" / "best.yaml"

    def folders(*given: str, tiny: bool = False) -> list[Path]:
        args = [f"paths.runs={tmp_path}", *given]
        return [
            j.folder
            for j in compose_recipe(
                recipe_files.read_recipe(file), "primatrix/best", args, tiny=tiny, configs=config_dir()
            )[0]
        ]

    plain = folders()
    assert plain == folders()
    assert len(set(plain)) == 7 * 5 + 3
    for other in (folders("seed=1"), folders(tiny=True), folders("data=sample")):
        assert not set(plain) & set(other)


def test_help_says_what_a_recipe_is_and_takes(capsys) -> None:
    assert main(["train", "experiment=primatrix/best", "--help"]) == 0
    said = capsys.readouterr().out
    assert recipe_files.read_recipe(config_dir() / "experiment" / "primatrix" / "best.yaml").about in said
    assert all(f"    {word}=" in said for word in recipe_files.WORDS)
    assert "moving2" in said
    assert max(map(len, said.splitlines())) < 120
    assert main(["train", "experiment=primatrix/bst", "--help"]) == 2


def test_a_small_scale_needs_no_data(tmp_path) -> None:
    def data_of(*given: str, tiny: bool) -> tuple[str, int | None]:
        file = config_dir() / "experiment" / "primatrix" / "first_place.yaml"
        args = [f"paths.runs={tmp_path}", *given]
        job = compose_recipe(
            recipe_files.read_recipe(file), "primatrix/first_place", args, tiny=tiny, configs=config_dir()
        )[0][0]
        return job.config.data.format, job.config.data.sample_clips

    assert data_of(tiny=False)[0] == "primatrix"
    assert data_of(tiny=True) == ("sample", 40)
    assert data_of("data.sample_clips=60", tiny=True) == ("sample", 60)
    assert data_of("data.root=clips", tiny=True)[0] == "primatrix"
    assert data_of("data=csv", "data.root=clips", "data.labels=l.csv", tiny=True)[0] == "csv"


def args_of(name: str, tmp_path: Path, cache: Path) -> list[str]:
    return [
        *(f"experiment={name}", "scale=tiny"),
        *(f"paths.runs={tmp_path / 'runs'}", f"paths.cache={cache}", "trainer=cpu", "data.workers=1"),
    ]


@pytest.fixture(scope="module")
def cache(sample_40: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make demo` leaves it, with a sample of the usual size, and with the small one."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(sample_40, folder / "sample_40")
    demo = {"version": library.VERSION, "clips": 240, "sites": 20, "seed": 0}
    (folder / "sample" / "raw").mkdir(parents=True)
    (folder / "sample" / "sample.json").write_text(json.dumps(demo))
    return folder


def run(args: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    door = [sys.executable, str(ROOT / "train.py"), *args]
    return subprocess.run(door, cwd=cwd, text=True, capture_output=True, timeout=600, check=False)


def check_submission(done: subprocess.CompletedProcess[str], cache: Path, cwd: Path) -> None:
    assert done.returncode == 0, done.stderr[-3000:]
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    written = pl.read_csv(cwd / said["submission"])
    template = pl.read_csv(cache / "sample_40" / "submission_format.csv")
    assert written.columns == template.columns
    assert written["filename"].equals(template["filename"])
    probs = written.drop("filename").to_numpy()
    assert ((probs > 0) & (probs < 1)).all()
    assert (cwd / said["report"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n != "primatrix/micro"])
def test_a_tiny_one_ends_in_a_submission(name: str, tmp_path, cache, staged: Staged) -> None:
    check_submission(staged(args_of(name, tmp_path, cache)), cache, tmp_path)


@pytest.mark.slow
def test_a_killed_one_goes_on_and_a_second_is_refused_on_small_clips(tmp_path, cache, staged: Staged) -> None:
    """The competition's small clips: the sample in the place and form of the 64x64 set."""
    (tmp_path / "data" / "micro").mkdir(parents=True)
    for clip in (cache / "sample_40" / "raw").iterdir():
        os.link(clip, tmp_path / "data" / "micro" / clip.name)
    for table in ("train_labels.csv", "submission_format.csv"):
        (tmp_path / "data" / table).write_bytes((cache / "sample_40" / table).read_bytes())
    args = [*args_of("primatrix/micro", tmp_path, cache), "data.root=data/micro"]
    door = [sys.executable, str(ROOT / "train.py"), *args]
    members = tmp_path / "runs" / "recipes" / "primatrix_micro" / "members"

    def finished() -> list[Path]:
        return sorted(f for f in members.glob("*/*") if runs.state(f).get("state") == "finished")

    with open(tmp_path / "said", "w") as said, subprocess.Popen(door, cwd=tmp_path, stderr=said) as first:
        late = time.monotonic() + 300
        while not finished() and first.poll() is None and time.monotonic() < late:
            time.sleep(0.2)
        assert len(finished()) == 1, (tmp_path / "said").read_text()[-3000:]
        second = run(args, tmp_path)
        assert second.returncode == 2
        assert "another process" in second.stderr
        assert "1 of 1" in second.stderr  # its plan says what stands
        first.send_signal(signal.SIGKILL)
    done, *_ = finished()  # another one may have ended by now
    before = (done / "run.json").stat().st_mtime_ns
    check_submission(staged(args), cache, tmp_path)
    assert (done / "run.json").stat().st_mtime_ns == before
    assert len(finished()) == 3
    settings = yaml.safe_load((done / "config.yaml").read_text())
    assert settings["model"]["backbone"] == "tf_efficientnet_lite0"
    again = staged(args)
    assert "finished already" in again.stderr
    (measured,) = (tmp_path / "runs" / "recipes").glob("*/seconds.json")
    counts = {k: len(v) for k, v in json.loads(measured.read_text()).items()}
    # The last call found the stack finished, and measured nothing; the kill may have cut off the first.
    assert counts | {"tiny/lite0": 1} == dict.fromkeys(
        ("tiny/lite0", "tiny/lite2", "tiny/tuned", "tiny/stack"), 1
    )
    assert len(finished()) == 3


def test_stages_of_other_labels_are_set_aside(survey: Path, tmp_path: Path, caplog) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text((survey / "labels.csv").read_text())
    name = "primatrix/best"
    given = ["data=csv", f"data.root={survey}", f"data.labels={labels}", f"paths.runs={tmp_path / 'runs'}"]
    jobs, root, _ = compose_recipe(
        recipe_files.read_recipe(config_dir() / "experiment" / f"{name}.yaml"),
        name,
        given,
        tiny=True,
        configs=config_dir(),
    )
    trained = [job for job in jobs if job.stage.verb == "train"]
    for job in trained[:2]:
        job.folder.mkdir(parents=True)
        (job.folder / "config.yaml").write_text(yaml.safe_dump(job.config.model_dump(mode="json")))
        gather_current(job.config).save(job.folder)
        runs.mark(job.folder, job.config.fingerprint(), "finished")
    recipe._set_changed_aside(jobs)
    assert all(job.finished for job in trained[:2])
    labels.write_text(labels.read_text().replace("hog_02.mp4,hog", "hog_02.mp4,lion"))
    recipe._set_changed_aside(jobs, dry_run=True)
    assert all(job.finished for job in trained[:2])
    recipe._set_changed_aside(jobs)
    assert not any(job.finished for job in jobs)
    assert "labels of clips changed: 1 (clips/hog_02.mp4: hog, now lion)" in caplog.text
    assert [f for f in root.rglob("*.before-*") if f.is_dir()]  # kept, not deleted
