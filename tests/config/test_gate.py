"""What others have written becomes settings and nothing more: runs, folders of configs, trials, recipes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from jungle.cli import overrides
from jungle.config import resuming
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.pipelines import recipe_files, sweep_results
from jungle.plain import read

BASE = ["data=folders", "data.root=/nonexistent"]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """The settings of a run, as data, and its fingerprint."""
    cfg = overrides.compose("train", BASE, config_dir())
    return {"data": cfg.model_dump(mode="json", exclude=set(resuming.OURS)), "fingerprint": cfg.fingerprint()}


class Stranger:
    """A run folder of somebody else."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        (folder / ".hydra").mkdir(parents=True)
        (folder / "run.json").write_text(
            json.dumps({"fingerprint": settings["fingerprint"], "state": "running", "reason": ""})
        )

    def words(self, *words: Any) -> "Stranger":
        (self.folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
        return self

    def file(self, name: str, content: str | bytes) -> "Stranger":
        raw = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(raw)
        return self

    def data(self, **more: Any) -> "Stranger":
        return self.file("settings.json", json.dumps({**self.settings["data"], **more}))

    def resumed(self, *more: str) -> overrides.Command:
        """Give the command that goes on with it."""
        return overrides.prepare_command("train", [f"resume={self.folder}", *more], config_dir())

    def refused(self, says: str = ".", *more: str) -> str:
        """See it refused in one line, with nothing written."""
        before = sorted(self.folder.parent.rglob("*"))
        with pytest.raises(UsageError, match=says) as error:
            self.resumed(*more)
        assert "\n" not in str(error.value)
        assert sorted(self.folder.parent.rglob("*")) == before
        return str(error.value)


@pytest.fixture
def stranger(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Stranger:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.chdir(tmp_path)
    return Stranger(tmp_path / "theirs", dict(settings))


@pytest.mark.parametrize(
    "evil",
    [
        "+hydra.callbacks.x._target_=jungle.files.write_text",
        "++hydra.callbacks.x._target_=torch.load",
        "~hydra.job_logging",
        "~hydra",
        "hydra={callbacks:{x:{_target_:os.system}}}",
        "hydra.output_subdir=/tmp/elsewhere",
        "hydra.run.dir=/tmp/elsewhere",
        "hydra.sweep.dir=/tmp/elsewhere",
        "hydra.job.name=../../climbed",
        "+hydra.job.env_set.LD_PRELOAD=/tmp/x.so",
        "hydra.job.chdir=true",
        "hydra.mode=MULTIRUN",
        "hydra.runtime.output_dir=/tmp",
        "hydra.searchpath=[file:///tmp]",
        "hydra.verbose=true",
        "hydra/launcher=joblib",
        "hydra/sweeper=optuna",
        "hydra/job_logging=default",
        "Hydra.run.dir=x",
        " hydra.run.dir=x",
        "data@hydra.callbacks=csv",
        "+experiment@hydra=x",
        "--experimental-rerun=config.pickle",
        "--multirun",
        "-m",
        "--config-dir=/tmp",
        "-cn=x",
        "--",
        "name='${oc.env:SECRET}'",
        'name="${oc.decode:x}"',
        "seed=${oc.env:SECRET}",
        "seed=${ oc.env : SECRET }",
        "seed=${${task}:SECRET}",
        "seed=${hydra:runtime.cwd}",
        "data.only=['${oc.env:SECRET}']",
        "head=mean,max",
        "seed=range(1,5)",
        "head=glob(*)",
        "evil=1",
        "+evil=1",
        "+model._target_=os.system",
        "model.also=[{_target_:os.system,backbone:x}]",
        "name=a\nb",
        "name=a\x1b[2J",
        "name=" + "x" * 10000,
        "=1",
        "word",
        ["seed=1"],
        {"seed": 1},
        1,
        None,
    ],
)
def test_saved_words_are_settings_alone(stranger: Stranger, evil: Any) -> None:
    said = stranger.words(*BASE, evil).refused()
    assert len(said) < 400
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"a: 1\n",
        b"hello",
        b"- 1\n- 2\n",
        b"- \xff\xfe\n",
        b"\x00\x01",
        b"- !!python/object/apply:os.system ['touch x']\n",
        b"- &a [x]\n- [*a, *a]\n",
        b"[" * 5000,
        b"- a=1\n" * 400_000,
        b"- seed=1\n" * 1000,
        b"- a\n---\n- b\n",
    ],
)
def test_a_file_of_words_that_is_none_is_one_line(stranger: Stranger, raw: bytes) -> None:
    stranger.file(".hydra/overrides.yaml", raw).refused("overrides.yaml")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "[" * 100_000,
        "[]",
        "{",
        '"x"',
        '{"seed": NaN}',
        '{"seed": %s}' % ("9" * 5000),
        '{"a": 1, "seed": 0}',
    ],
)
def test_a_file_of_settings_that_is_none_is_one_line(stranger: Stranger, name: str) -> None:
    stranger.file("settings.json", name).refused()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"hydra": {"callbacks": {}}}, "hydra"),
        ({"evil": 1}, "evil"),
        ({"head": {"name": "mean", "hidden": 1, "dropout": 0, "_target_": "os.system"}}, "_target_"),
        ({"data": [1]}, "group"),
        ({"model": None}, "group"),
        ({"seed": "x"}, "whole number"),
        ({"seed": 5}, "other settings"),
        ({"name": "${oc.env:SECRET}"}, "other settings"),
    ],
)
def test_settings_as_data_pass_the_types(stranger: Stranger, more: dict[str, Any], says: str) -> None:
    assert "hunter2" not in stranger.data(**more).refused(says)


def test_a_look_up_in_data_is_text(stranger: Stranger) -> None:
    stranger.settings["fingerprint"] = overrides.compose(
        "train", [*BASE, "name=${oc.env:SECRET}"], config_dir()
    ).fingerprint()
    again = Stranger(stranger.folder.parent / "again", stranger.settings)
    found = again.data(name="${oc.env:SECRET}").resumed().settings
    assert found is not None
    assert found["name"] == "${oc.env:SECRET}"
    assert overrides.make_config(found)["name"] == "${oc.env:SECRET}"


def test_places_are_those_of_the_caller(stranger: Stranger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "jungle")
    theirs = {"runs": "/etc/x", "cache": "/etc/y", "features": "/etc/z"}
    found = stranger.data(paths=theirs, experiment={"a": 1}, resume="x").resumed("paths.cache=mine").settings
    assert found is not None
    assert found["paths"] == {"runs": "runs", "cache": "mine", "features": "mine/features"}
    assert "paths.cache=mine (that run had /etc/y)" in caplog.text
    words = Stranger(stranger.folder.parent / "w", stranger.settings).words(
        *BASE, "paths.runs=/etc/x", "resume=auto"
    )
    assert words.resumed().settings["paths"]["runs"] == "runs"  # type: ignore[index]
    stranger.refused("resumes in", "hydra.run.dir=/elsewhere")
    stranger.refused("it resumes one run", "-m", "head=mean,max")


def test_a_sample_is_rendered_in_the_callers_cache_alone(stranger: Stranger) -> None:
    data = {**stranger.settings["data"]["data"], "format": "sample", "root": "/home/victim"}
    stranger.data(data=data).refused("outside paths.cache")


@pytest.mark.parametrize(
    "name", ["train.log", "checkpoints", "settings.json", "wandb", ".hydra/config.yaml", "a/b/c"]
)
def test_a_run_folder_leads_nowhere_else(stranger: Stranger, tmp_path: Path, name: str) -> None:
    stranger.words(*BASE)
    (stranger.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (stranger.folder / name).symlink_to(tmp_path / "outside")
    stranger.refused("a link out of the run's folder")


def test_links_within_a_run_are_its_own(stranger: Stranger, tmp_path: Path) -> None:
    stranger.data()
    (stranger.folder / "wandb" / "offline-run-1").mkdir(parents=True)
    (stranger.folder / "wandb" / "latest-run").symlink_to("offline-run-1")
    (stranger.folder / "wandb" / "offline-run-1" / "debug-core.log").symlink_to(tmp_path / "log")  # W&B's own
    assert stranger.resumed().settings
    if hasattr(os, "mkfifo"):
        os.mkfifo(stranger.folder / "train.log")
        stranger.refused("neither a file nor a folder")


def test_an_unfinished_run_that_was_put_there_is_looked_at_too(stranger: Stranger) -> None:
    there = Path("runs/train/2026-01-01_00-00-00")
    Stranger(there, stranger.settings)
    (there / "train.log").symlink_to("/tmp/outside")
    with pytest.raises(UsageError, match="a link out of"):
        overrides.prepare("train", BASE, config_dir())


def test_runs_of_version_0_1_go_on(stranger: Stranger) -> None:
    """They have their words, and most of them their settings, with what a search has found put in."""
    one = stranger.words(*BASE, "data.only=null").resumed()
    assert one.settings is not None
    assert one.settings["data"]["root"] == "/nonexistent"
    assert one.argv[-2:] == [f"hydra.run.dir='{stranger.folder}'", "hydra.output_subdir=null"]
    asked = overrides.compose("train", [*BASE, "optim.lr=auto"], config_dir())
    stranger.settings["fingerprint"] = asked.fingerprint()
    two = Stranger(stranger.folder.parent / "two", stranger.settings)
    plain = asked.model_dump(mode="json", exclude={"resume"})
    del plain["checkpoint"]  # as if it were brought by a later version
    plain["optim"]["lr"] = 0.003
    two.file("config.yaml", yaml.safe_dump(plain)).file("found.json", '{"optim.lr": 0.003}')
    found = two.resumed().settings
    assert found is not None
    assert found["optim"]["lr"] == "auto"
    assert found["checkpoint"] == {"every_n_minutes": 10}


def test_a_run_goes_on_with_its_head_and_neutral_settings_of_the_command(tmp_path: Path) -> None:
    words = [
        "data=csv",
        "data.root=Kruger, South",
        "data.labels=2021",
        "data.only=[blank,other (primate)]",
        "head=gru",
    ]
    cfg = overrides.compose("train", words, config_dir())
    folder = tmp_path / "it's ${x}"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"fingerprint": cfg.fingerprint(), "state": "running"}))
    resuming.save_settings(folder, cfg)
    given = [
        f"resume={folder}",
        "report=false",
        "head.units=128",
        "checkpoint.every_n_minutes=3",
        "+head=gru",
    ]
    command = overrides.prepare_command("train", given, config_dir())
    again = overrides.prepare_command(
        "train", command.argv, config_dir()
    )  # as the processes of other devices do
    assert again == command
    assert "head.units=128" not in command.argv  # the run's own already: Hydra's default head has none
    made = overrides.check(type(cfg), command.settings)
    assert (made.report, made.checkpoint.every_n_minutes) == (False, 3)
    assert made.fingerprint() == cfg.fingerprint()
    assert made.data == cfg.data
    with pytest.raises(UsageError, match="other settings"):
        overrides.prepare_command("train", [f"resume={folder}", "seed=3"], config_dir())
    whole = overrides.prepare_command("train", [*words, f"resume={folder}"], config_dir())
    assert whole.settings is not None
    with pytest.raises(UsageError, match=r"no setting data\.rot"):
        overrides.prepare_command("train", [f"resume={folder}", "data.rot=3"], config_dir())


def folder_of(tmp_path: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return f"--config-dir={tmp_path}"


GLOBAL = "# @package _global_\n"
SETS = {
    "callbacks": "{callbacks: {x: {_target_: os.system}}}",
    "env": "{job: {env_set: {LD_PRELOAD: /x.so}}}",
    "copied": "{job: {env_copy: [SECRET]}}",
    "name": "{job: {name: ../../x}}",
    "chdir": "{job: {chdir: true}}",
    "kept": "{output_subdir: /tmp/x}",
    "folder": "{run: {dir: /tmp/x}}",
    "sweeps": "{sweep: {subdir: ../../x}}",
    "mode": "{mode: MULTIRUN}",
    "output": "{runtime: {output_dir: /tmp/x}}",
    "log": "{job_logging: {handlers: {console: {'()': os.system}}}}",
    "sweeper": "{sweeper: {_target_: os.system}}",
    "batch": "{sweeper: {max_batch_size: 1}}",
    "words": "{overrides: {task: [--experimental-rerun=x]}}",
}


@pytest.mark.parametrize("sets", SETS.values(), ids=list(SETS))
def test_a_folder_of_configs_sets_nothing_of_hydras(tmp_path: Path, sets: str) -> None:
    files = {"experiment/e.yaml": f"{GLOBAL}hydra: {sets}\n", "experiment/good.yaml": f"{GLOBAL}seed: 7\n"}
    option = folder_of(tmp_path, files)
    # Each choice of a sweep is looked at, not the first alone.
    argv = ["-m", "experiment=good,e"] if sets in (SETS["env"], SETS["words"]) else ["experiment=e"]
    with pytest.raises(UsageError, match="only the command line may"):
        overrides.prepare("train", [option, *argv], config_dir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# @package hydra\ncallbacks: {}\n", "@package"),
        ("\n  #  @package   hydra.job\nenv_set: {A: b}\n", "@package"),
        (GLOBAL + "defaults: [{override /hydra/launcher: mine}]\n", "hydra.launcher"),
        (GLOBAL + "defaults: [{override /head: '${oc.env:SECRET}'}]\n", "written out"),
        (GLOBAL + "defaults: [/experiment/e]\n", "ring"),
        (GLOBAL + "name: '${oc.env:SECRET}'\n", "look-ups"),
        (GLOBAL + "name: 'a${ oc.env : SECRET }b'\n", "look-ups"),
        (GLOBAL + "name: '${${task}:SECRET}'\n", "look-ups"),
        (GLOBAL + "data: {only: ['${oc.decode:x}']}\n", "look-ups"),
        (GLOBAL + "data: {root: '" + "${data.labels}" * 20 + "'}\n", "there may be"),
        (GLOBAL + "name: " + "x" * 9000, "letters"),
        (GLOBAL + "evil: 1\n", "evil"),
        (GLOBAL + "a: &a [x]\nb: [*a]\n", "alias"),
        (GLOBAL + "a: " + "[" * 200 + "]" * 200, "deeper"),
        ("- a\n", "per line"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_config_of_a_stranger_is_settings(tmp_path: Path, text: str, says: str) -> None:
    files = {"experiment/e.yaml": text, "hydra/launcher/mine.yaml": "_target_: os.system\n"}
    with pytest.raises(UsageError, match=says) as error:
        overrides.prepare("train", [folder_of(tmp_path, files), "experiment=e"], config_dir())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "params",
    [
        "'+hydra.job.env_set.LD_PRELOAD': '/x,/y'",
        "'--experimental-rerun': x",
        "hydra.callbacks: '1,2'",
        "name: '\"${oc.env:SECRET}\",b'",
        "experiment: good,evil",
    ],
)
def test_what_a_sweep_of_a_stranger_tries_are_settings(tmp_path: Path, params: str) -> None:
    files = {
        "sweep/s.yaml": f"{GLOBAL}hydra: {{sweeper: {{params: {{{params}}}}}}}\n",
        "experiment/good.yaml": f"{GLOBAL}seed: 1\n",
        "experiment/evil.yaml": f"{GLOBAL}hydra: {{callbacks: {{x: {{_target_: os.system}}}}}}\n",
    }
    with pytest.raises(UsageError):
        overrides.prepare("train", [folder_of(tmp_path, files), "sweep=s"], config_dir())


def test_what_settings_may_do_they_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "jungle")
    files = {
        "experiment/e.yaml": GLOBAL + "seed: 7\nname: '${model.backbone} ${now:%Y}'\npaths: {runs: there}\n",
        "experiment/deep/f.yaml": GLOBAL + "seed: 8\n",
        "sweep/s.yaml": GLOBAL + "hydra: {sweeper: {params: {head: 'mean,max', seed: '1,2'}}}\n",
    }
    option = folder_of(tmp_path, files)
    overrides.prepare("train", [option, "experiment=e", "sweep=s", f"paths.cache={tmp_path}"], config_dir())
    assert "sets paths.runs=there" in caplog.text
    overrides.prepare("train", [option, "experiment=deep/f", f"paths.runs={tmp_path}"], config_dir())
    overrides.prepare("train", [option, "experiment=e", "sweep=heads", "--cfg=job"], config_dir())
    with pytest.raises(UsageError, match="no such experiment"):
        overrides.prepare("train", [option, "experiment=ee"], config_dir())
    with pytest.raises(UsageError, match="no such hydra/launcher"):
        overrides.prepare("train", [option, "hydra/launcher=mine"], config_dir())


def test_trials_get_the_folder_of_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    option = folder_of(tmp_path / "cfg", {"experiment/e.yaml": GLOBAL + "seed: 7\n"})
    for given in ([option], [*option.split("=")]):
        command = overrides.prepare_command(
            "train", ["-m", *given, "experiment=e", "head=mean,max"], config_dir()
        )
        assert command.handed_on == (option,)
        assert command.argv[0] == option


@pytest.mark.parametrize(
    "note",
    [
        {"overrides": ["--experimental-rerun=x"], "monitor": "val/log_loss"},
        {"overrides": ["hydra.run.dir=/x"], "monitor": "val/log_loss"},
        {"overrides": "seed=1", "monitor": "val/log_loss"},
        {"overrides": [1], "monitor": "val/log_loss"},
        {"overrides": ["seed=1"], "monitor": 3},
        {"overrides": ["seed=1"]},
        [],
    ],
)
def test_the_note_of_a_trial_is_read_through_the_gate(tmp_path: Path, note: Any) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "trial.json").write_text(json.dumps(note))
    with pytest.raises(UsageError, match=r"trial\.json"):
        sweep_results.summarise(tmp_path)


@pytest.mark.parametrize("evil", ["hydra.run.dir=/x", "--multirun", "name='${oc.env:SECRET}'", "evil=1"])
def test_the_words_of_a_recipe_pass_the_gate(tmp_path: Path, evil: str) -> None:
    file = tmp_path / "r.yaml"
    for where in ("args", "tiny"):
        file.write_text(
            yaml.safe_dump({"about": "x", where: [evil], "stages": [{"name": "a", "verb": "train"}]})
        )
        with pytest.raises(UsageError, match=r"r\.yaml"):
            recipe_files.read_recipe(file)
    file.write_text(
        yaml.safe_dump({"about": "x", "stages": [{"name": "a", "verb": "train", "args": [evil]}]})
    )
    with pytest.raises(UsageError, match=r"r\.yaml"):
        recipe_files.read_recipe(file)


def test_the_gate_counts_before_it_builds(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("- a\n" * 60_000)
    with pytest.raises(UsageError, match="more values"):
        read(file)
    file.write_text("lr: 1e-3\nname: '2021'\n")
    assert read(file) == {"lr": 1e-3, "name": "2021"}
