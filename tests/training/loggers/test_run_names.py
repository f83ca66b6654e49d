"""What runs are called and grouped by, and what of a logger is no part of a run."""

import json
from pathlib import Path

import pytest

from jungle import runs, system
from jungle.cli import overrides
from jungle.config import TrainConfig, resuming
from jungle.config import train as config_train
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.pipelines import recipe_files
from jungle.pipelines.stages import compose_recipe
from jungle.training.loggers import wandb_run
from jungle.training.loggers.run_names import RunNames, name_run

BEST = config_dir() / "experiment" / "primatrix" / "best.yaml"


def config(*words: str) -> TrainConfig:
    return overrides.compose("train", list(words), config_dir())


def test_a_run_is_named_by_its_settings_or_as_told(tmp_path: Path) -> None:
    assert name_run(config(), tmp_path) == RunNames("tf_efficientnet_lite0 frozen attention", None, "train")
    told = config("name=mara", "logger.group=all", "logger.job_type=final")
    assert name_run(told, tmp_path) == RunNames("mara", "all", "final")


def test_the_folds_of_one_command_are_a_group(tmp_path: Path) -> None:
    one, two, other = (
        name_run(config("name=mara", "data.folds=3", f"data.fold={k}", f"seed={seed}"), tmp_path)
        for k, seed in ((0, 1), (2, 1), (2, 9))
    )
    assert (one.name, two.name, one.job_type) == ("mara, fold 0", "mara, fold 2", "fold")
    assert one.group == two.group != other.group


def test_the_trials_of_a_sweep_are_a_group(tmp_path: Path) -> None:
    trial = tmp_path / "2026-01-01_00-00-00" / "7"
    trial.mkdir(parents=True)
    (trial / runs.TRIAL).write_text("{}")
    found = name_run(config("name=mara", "data.folds=3", "data.fold=2"), trial)
    assert found == RunNames("mara, fold 2, trial 7", "sweep 2026-01-01_00-00-00", "trial")


def test_what_the_environment_says_is_left_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE"):
        monkeypatch.setenv(name, "mine")
    assert name_run(config("data.folds=3", "data.fold=0"), tmp_path) == RunNames(None, None, None)
    assert name_run(config("name=a", "logger.group=b"), tmp_path) == RunNames("a", "b", None)


def test_a_recipes_runs_are_grouped_and_are_what_their_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recipe_files.read_recipe(BEST)
    recipe = whole.model_copy(update={"stages": whole.stages[:2]})

    def args(*given: str) -> list[list[str]]:
        jobs, _, _ = compose_recipe(recipe, "primatrix/best", list(given), tiny=True, configs=config_dir())
        return [[a for a in job.args if a.startswith("logger")] for job in jobs]

    assert args() == [["logger=none"]] * 2
    first, second = args("logger=wandb", "logger.mode=offline")
    assert first[:2] == ["logger=wandb", "logger.mode=offline"]
    assert first[2].startswith("logger.group='primatrix/best ")
    assert (first[2], first[3]) == (second[2], "logger.job_type='lite0'")
    assert second[3] == "logger.job_type='lite1'"
    other, _ = args("logger=wandb", "seed=3", "logger.job_type=x")
    assert other[2].startswith("logger.group='primatrix/best ")
    assert (other[1], len(other)) == ("logger.job_type=x", 3)
    assert other[2] != first[2]
    monkeypatch.setenv("WANDB_RUN_GROUP", "theirs")
    assert args("logger=wandb") == [["logger=wandb", f"logger.job_type='{n}'"] for n in ("lite0", "lite1")]


def test_where_numbers_go_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    plain = config()
    for words in (["logger=none"], ["logger.tags=[a]", "logger.clips=3"], ["logger=csv"]):
        assert config(*words).fingerprint() == plain.fingerprint()
    # A run of version 0.1 counted its logger in; it is found again, with the logger that it had.
    was = config_train._hash(plain._shaping({"name": "wandb", "project": "jungle", "mode": "auto"}))
    assert was != plain.fingerprint()
    assert plain.is_of(was)
    assert not config("seed=1").is_of(was)
    folder = tmp_path / "train" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    runs.mark(folder, was, "running")
    assert runs.find_unfinished(tmp_path / "train", plain.is_of, True, lambda _: []) == folder


def test_a_run_keeps_its_id_and_no_two_have_one(tmp_path: Path) -> None:
    folders = [tmp_path / stage / "fold3" for stage in ("lite0-1a2b", "lite1-3c4d")]
    ids = [wandb_run._choose_id(folder) for folder in folders]
    assert ids[0] is not None
    assert ids[0].startswith("lite0-1a2b-fold3-")
    assert ids[0] != wandb_run._choose_id(folders[0])
    for began, name in (("20260101_000000", "older"), ("20260102_000000", "2026-01-01_00-00-00")):
        (folders[0] / "wandb" / f"offline-run-{began}-{name}").mkdir(parents=True)
    (folders[0] / "wandb" / "latest-run").mkdir()
    assert wandb_run._choose_id(folders[0]) == "2026-01-01_00-00-00"


def test_an_agents_id_is_left_to_it_a_persons_is_for_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert wandb_run._choose_id(tmp_path) is None
    monkeypatch.setenv(system.STARTER, "1")
    assert wandb_run._choose_id(tmp_path) is not None
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    assert wandb_run._choose_id(tmp_path) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logger=none", "logger.group=x"], "logger.group belongs to logger=wandb"),
        (["logger=csv", "+logger.tags=[x]"], r"logger.tags=\['x'\] is for W&B alone: add logger=wandb"),
        (["logger=tensorboard", "+logger.checkpoint=true"], "logger.checkpoint=True is for W&B alone"),
        (["logger=none", "+logger.mode=offline"], "logger.mode=offline is for W&B alone"),
        (["logger=csv", "+logger.clips=3"], "logger.clips=3: pictures go to W&B and TensorBoard"),
        (["logger.clips=-1"], "logger.clips=-1"),
        (["logger.entity="], "is empty"),
    ],
)
def test_no_setting_of_a_logger_is_taken_and_ignored(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        config(*words)


def test_one_tag_may_stand_alone() -> None:
    assert config("logger.tags=night").logger.tags == ["night"]


def stranger(folder: Path, **logger: object) -> resuming.Saved:
    folder.mkdir(parents=True, exist_ok=True)
    settings = config().model_dump(mode="json", exclude=set(resuming.OURS))
    settings["logger"] = {"name": "wandb", "project": "jungle", "mode": "auto", **logger}
    (folder / resuming.SETTINGS).write_text(json.dumps(settings))
    return resuming.read_saved(folder)


def test_a_resumed_run_is_sent_to_ones_own_page(tmp_path: Path) -> None:
    found = stranger(tmp_path, entity="somebody")
    assert found.settings is not None
    assert found.settings["logger"]["entity"] is None
    assert resuming.describe_places(found.places, config()).endswith(
        "logger.entity=null (that run had somebody)"
    )
    assert "entity" not in resuming.describe_places(found.places, config("logger.entity=somebody"))
    old = tmp_path / "old" / ".hydra"
    old.mkdir(parents=True)
    (old / "overrides.yaml").write_text("[seed=3, logger.entity=somebody]")
    assert resuming.read_saved(old.parent).words == ["seed=3"]


def test_a_run_of_before_goes_on_with_its_logger(tmp_path: Path) -> None:
    ours = config().model_dump(mode="json")
    found = stranger(tmp_path, name="none", project="mine")
    assert found.settings is not None
    merged = resuming.merge_settings(found.settings, ours, [], [])
    assert merged["logger"] == {"name": "none", "project": "mine", "mode": "auto"}
