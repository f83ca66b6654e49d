import re
import subprocess
import sys

import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.plain import drop_empty
from tests.conftest import ROOT


def composed(*args: str, verb: str = "train"):
    return overrides.compose(verb, list(args), config_dir())


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("model=nasnt_frozen", "nasnet_frozen"),
        ("trainr.devices=2", "trainer.devices"),
        ("data.label=x", "data.labels"),
        ("head=atention", "attention"),
        ("frames.cont=3", "frames.count"),
        ("task=multilable", "multilabel"),
        ("trainer.precision=bf16", "bf16-mixed"),
        ("model.backbone=convnxt_tiny", "convnext_tiny"),
        ("model.unfreeze=last_3", "belongs to model=finetune"),
        ("data.sample_clip=3", "data.sample_clips"),
    ],
)
def test_a_misspelt_word_names_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError) as error:
        composed(wrong)
    assert nearest in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("data.limit=-3", "data.limit=-3"),
        ("trainer.devices=abc", "trainer.devices=abc"),
        ("trainer.devices=0", "devices"),
        ("model.size=9", "HEIGHTxWIDTH"),
        ("data=csv", "data.labels"),
        ("data.folds=5", "data.fold=0"),
        ("frames=random", "frozen"),
        ("model.backbone", "key=value"),
        ("+nonsense=1", "nonsense"),
        ("optim.layer_decay=0.5", "finetune"),
    ],
)
def test_a_wrong_value_says_what_is_valid(wrong: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        composed(wrong)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sweep_is_checked_choice_by_choice() -> None:
    assert composed("model=nasnet_frozen,frozen", "seed=1,2").seed == 1
    with pytest.raises(UsageError, match="resnet152_frozen"):
        composed("model=nasnet_frozen,resne152_frozen")


def test_a_missing_value_is_asked_for() -> None:
    with pytest.raises(UsageError, match="ckpt="):
        composed(verb="predict")


def test_values_arrive_typed() -> None:
    cfg = composed("model=nasnet_frozen", "data.limit=12", "trainer.devices=2")
    assert cfg.model.backbone == "nasnetalarge.tf_in1k"
    assert cfg.model.size == (331, 331)
    assert (cfg.data.limit, cfg.trainer.devices) == (12, 2)
    assert (cfg.max_epochs, cfg.lr) == (30, 3e-4)
    assert composed("model=finetune").max_epochs == 10


def test_the_fingerprint_is_of_what_shapes_the_result() -> None:
    assert composed().fingerprint() == composed("report=false", "paths.runs=x").fingerprint()
    assert composed().fingerprint() != composed("seed=1").fingerprint()
    # A setting that a later version brings, empty, leaves an unfinished run its own.
    told = {"a": None, "b": {"c": []}, "d": 0, "e": False, "f": "", "g": {"h": 1, "i": None}}
    assert drop_empty(told) == {"d": 0, "e": False, "f": "", "g": {"h": 1}}
    assert composed().fingerprint() != composed("data.folds=2", "data.fold=0").fingerprint()


@pytest.mark.parametrize(("verb", "given"), [("preview", "logger=none"), ("index", "model=finetune")])
def test_a_group_of_another_command_is_told_as_such(verb: str, given: str) -> None:
    args = [] if verb == "preview" else ["videos=x", "out=x.parquet"]
    with pytest.raises(UsageError, match=f"^{given.split('=')[0]}= is no setting of jungle {verb}; "):
        overrides.compose(verb, [*args, given], config_dir())


@pytest.mark.parametrize("args", [["--help"], ["trainr.devices=2"], ["--cfg", "job"]])
def test_answers_come_at_once(args: list[str]) -> None:
    """Without torch, whose import would take longer than all the rest."""
    door = [sys.executable, "-X", "importtime", str(ROOT / "train.py"), *args]
    done = subprocess.run(door, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == (2 if "trainr" in args[0] else 0)
    assert "Traceback" not in done.stderr
    assert "| jungle.cli.entry\n" in done.stderr
    assert not re.search(r"\| +(torch|timm|polars|pytorch_lightning)\n", done.stderr)


@pytest.mark.parametrize("path", ["/clips/Réserve Nord (2)", "/a=b/c", "/it's here", "/plain/path"])
def test_a_path_needs_no_quotes_inside_quotes(path: str) -> None:
    argv = overrides.prepare("predict", ["ckpt=a.ckpt", f"videos={path}"], config_dir())
    assert composed(*argv, verb="predict").videos == path


@pytest.mark.parametrize(
    "evil",
    [
        "callbacks: {x: {_target_: pathlib.Path.touch, self: hacked}}",
        "job_logging: {handlers: {console: {'()': 'pathlib.Path'}}}",
        "job: {env_set: {PYTHONPATH: /tmp}}",
        "run: {dir: /elsewhere}",
    ],
)
def test_a_strangers_config_cannot_reach_what_hydra_builds(tmp_path, evil: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/good.yaml").write_text("# @package _global_\nseed: 7\n")
    (tmp_path / "experiment/evil.yaml").write_text(f"# @package _global_\nhydra: {{{evil}}}\n")
    made = overrides.compose("train", ["experiment=good"], config_dir(), str(tmp_path))
    assert made.seed == 7
    with pytest.raises(UsageError, match=f"hydra.{evil.split(':')[0]}.* only the command line"):
        overrides.compose("train", ["experiment=evil"], config_dir(), str(tmp_path))


@pytest.mark.parametrize("option", ["--config-path=/x", "--config-dir=/nowhere"])
def test_a_folder_of_configs_is_there(option: str) -> None:
    with pytest.raises(UsageError, match=option.split("=")[0]):
        overrides.prepare("train", [option], config_dir())


def test_options_may_stand_between_overrides(tmp_path) -> None:
    given = ["seed=1", "-m", f"paths.runs={tmp_path}", "head=mean,max"]
    *argv, folder, option = overrides.prepare("train", given, config_dir())
    assert argv == ["seed=1", f"paths.runs={tmp_path}", "head=mean,max"]
    assert folder.startswith(f"hydra.sweep.dir='{tmp_path}")
    assert option == "-m"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("optim.lr=inf", "finite"),
        ("decoder.crop_bottom=inf", "finite"),
        ("seed=4294967296", "seed=4294967296"),
        ("=x", "key=value"),
        ("callbacks.monitor=val/acuracy", "val/accuracy"),
        ("callbacks.monitor=val/map", "callbacks.mode=max"),
        ("~data", "data is missing"),
    ],
)
def test_values_that_only_fail_later_are_refused_now(wrong: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        composed(wrong)
    assert says in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("word", ["head=null", "sweep=null", "+experiment=null"])
def test_a_group_that_is_null_is_answered(word: str) -> None:
    with pytest.raises(UsageError, match="=null: no such"):
        overrides.compose("train", ["data=csv", "data.labels=x", word], config_dir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "seed=range(0)"], r"seed=range\(0\): no value is in it"),
        (["-m", "seed=1,1"], "seed=1,1: seed=1 is in it twice; remove one"),
        (["-m", "head=mean,max,mean"], "head=mean,max,mean: head=mean is in it twice"),
        (["trainer.devices=[0,0]"], "devices names 0 twice"),
    ],
)
def test_nothing_is_trained_twice_or_not_at_all(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        overrides.prepare("train", words, config_dir())


def test_completion_by_hand_is_one_line() -> None:
    with pytest.raises(UsageError, match="-sc query=: a shell asks this"):
        overrides.is_checked(["-sc", "query=bash"])
