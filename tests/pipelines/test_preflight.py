"""What is not on this machine is answered before anything is made or read, and before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jungle import devices, extras
from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from jungle.errors import UsageError, UserError
from jungle.pipelines import preflight
from tests.conftest import Command


def look(*args: str, verb: str = "train") -> None:
    preflight.check(overrides.compose(verb, list(args), config_dir()))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, no cache of weights, a hub that does not answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


GPU_WORDS = [
    (0, ["trainer=gpu"], "trainer.accelerator=gpu: no GPU can be used here"),
    (0, ["trainer=ddp"], "no GPU can be used here"),
    (0, ["trainer.accelerator=cuda", "trainer.devices=4"], "no GPU can be used here"),
    (0, ["trainer.devices=[0,2]"], r"trainer.devices=\[0,2\]: no GPU can be used here"),
    (0, ["trainer.devices=2"], None),  # two processes on the CPU
    (0, ["decoder.device=gpu"], "decoder.device=gpu: no GPU can be used here"),
    (1, ["trainer.devices=2"], "this machine has 1 GPU: give trainer.devices=1, or trainer.devices=-1"),
    (1, ["trainer=gpu", "trainer.devices=4"], "has 1 GPU: "),
    (2, ["trainer.devices=[0,2]"], "has 2 GPUs: they are numbered from 0"),
    (2, ["trainer.devices=2", "decoder.device=gpu"], None),
    (2, ["trainer=ddp"], None),
    (2, ["trainer=cpu", "trainer.devices=[0]"], "names GPUs"),
    (2, ["trainer=cpu", "decoder.device=gpu"], "the model runs on the CPU"),
    (None, ["trainer.devices=8"], None),  # torch will tell
]


@pytest.mark.parametrize(("gpus", "args", "says"), GPU_WORDS)
def test_a_gpu_that_is_not_there(gpus, args, says, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "count_gpus", lambda: gpus)
    if says is None:
        look(*args)
        return
    with pytest.raises(UsageError, match=says):
        look(*args)


@pytest.mark.parametrize(
    ("gpus", "args", "says"),
    [
        (0, ["device=cuda"], "device=cuda: no GPU can be used here"),
        (1, ["device=cuda:1"], "this machine has 1 GPU: they are numbered from 0"),
        (0, ["decoder.device=gpu"], "no GPU can be used here"),
        (1, ["device=cpu", "decoder.device=gpu"], "the model runs on the CPU"),
    ],
)
def test_predict_without_the_gpu_asked_for(gpus, args, says, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "count_gpus", lambda: gpus)
    with pytest.raises(UsageError, match=says):
        look("ckpt=a.ckpt", *args, verb="predict")


@pytest.mark.parametrize(
    ("files", "visible", "torch", "found"),
    [
        ([], None, "2.11", 0),
        (["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], None, "2.11", 2),
        (["nvidia0", "nvidia1"], "1", "2.11", 1),
        (["nvidia0", "nvidia1"], "", "2.11", 0),
        (["nvidia0", "nvidia1"], "-1", "2.11", 0),
        (["nvidia0"], None, "2.11+cpu", 0),
        (["nvidia0"], "MIG-1,MIG-2", "2.11", None),
        (["kfd"], None, "2.11", None),
        (["dxg"], None, "2.11", None),
    ],
)
def test_gpus_are_counted_without_torch(files, visible, torch, found, tmp_path, monkeypatch) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.setattr(devices, "version", lambda _: torch)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.count_gpus() == found


def test_all_files_that_are_not_there_are_one_message(bare: Path) -> None:
    (bare / "labels.csv").write_text("filepath,label\n")
    names = ("labels=label.csv", "root=clips", "sites=s.csv", "duplicates=d.parquet", "metadata=m.parquet")
    given = [f"data.{name}" for name in (*names, "pseudo=p.parquet")]
    weights = ["model.weights=w.pth", "model.warm_start=best.ckpt", "frames.weights=[runs/a,runs/b]"]
    with pytest.raises(UserError) as error:
        look("data=csv", "model=finetune", "frames=random", *given, *weights)
    said = str(error.value)
    assert "data.labels=label.csv: no such file. There is labels.csv." in said
    assert "data.root=clips: no such folder." in said
    shown = ("sites", "duplicates", "metadata", "pseudo", "model.weights", "warm_start", "runs/a", "runs/b")
    assert all(word in said for word in shown)
    assert "\n" not in said


def test_files_of_predict_that_are_not_there_are_one_message(bare: Path) -> None:
    with pytest.raises(UserError) as error:
        look("ckpt=[a.ckpt,b.ckpt]", "template=t.csv", "metadata=i.parquet", verb="predict")
    assert all(word in str(error.value) for word in ("a.ckpt", "b.ckpt", "t.csv", "i.parquet"))
    with pytest.raises(UserError, match=r"template=\.: a folder, not a file"):
        look("members=runs", "template=.", verb="ensemble_stack")


@pytest.mark.parametrize("word", ["none", "None", "NONE", "null"])
@pytest.mark.parametrize("name", ["model.weights", "data.metadata", "data.workers", "data.limit", "name"])
def test_none_is_null_for_every_setting_that_may_be(word: str, name: str, bare: Path) -> None:
    group, _, key = name.rpartition(".")
    cfg = overrides.compose("train", [f"{name}={word}"], config_dir())
    assert getattr(getattr(cfg, group) if group else cfg, key) is None


def test_a_file_named_none_is_that_file_and_a_word_none_stays(bare: Path) -> None:
    (bare / "none").write_text("weights")
    cfg = overrides.compose("train", ["model.weights=none", "logger=none", "augment=none"], config_dir())
    assert cfg.model.weights == Path("none")
    assert cfg.logger.name == "none"


def test_weights_that_cannot_be_had(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ["model.backbone=resnet18"]
    with pytest.raises(UserError, match=r"resnet18.*127\.0\.0\.1:9 does not answer.*model\.pretrained=false"):
        look(*args)
    (bare / "hub" / "models--timm--resnet50.a1_in1k").mkdir(parents=True)
    with pytest.raises(UserError, match="does not answer"):
        look(*args)
    look(*args, "model.pretrained=false")
    (bare / "w.pth").touch()
    look(*args, "model.weights=w.pth")
    look("model=efficientnet_lite1_frozen")  # its weights come as a package
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        look(*args)
    for kept in ("hub/models--timm--resnet18.a1_in1k", "torch/hub/checkpoints/any.pth"):
        (bare / kept).mkdir(parents=True)
        look(*args)  # it may be there: timm knows
        (bare / kept).rmdir()


@pytest.mark.parametrize(
    ("args", "extra"),
    [
        (["sweep=optuna"], "sweep"),
        (["hydra/sweeper=optuna"], "sweep"),
        (["hydra/launcher=joblib"], "launchers"),
        (["hydra/launcher=submitit_slurm"], "launchers"),
    ],
)
def test_a_plugin_that_is_not_installed_names_its_extra(args, extra, monkeypatch) -> None:
    monkeypatch.setattr(extras, "_is_there", lambda _: False)
    with pytest.raises(UsageError, match=rf'{args[0]} needs .*: pip install .*\[{extra}\]"$'):
        look(*args)


def test_a_library_that_is_not_installed_is_named_with_the_setting(monkeypatch) -> None:
    monkeypatch.setattr(extras, "_is_there", lambda _: False)
    for asked in ("logger=tensorboard", "decoder=decord"):
        with pytest.raises(UsageError, match=f"{asked} needs a package"):
            look(asked)


def test_an_installed_copy_is_told_its_own_command(tmp_path, monkeypatch) -> None:
    assert extras.install("sweep") == 'pip install -e ".[sweep]"'
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "lib" / "jungle" / "extras.py"))
    assert extras.install("sweep") == 'pip install "jungle-video[sweep]"'
    assert extras.install("") == 'pip install "jungle-video"'


def test_it_is_answered_before_torch_and_leaves_no_folder(bare: Path) -> None:
    code = (
        "import sys; from jungle.cli.entry import main; code = main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules; sys.exit(code)"
    )
    for args in (
        ["train", "data=csv", "data.root=clips", "data.labels=labels.csv"],
        ["train", "model.backbone=resnet18"],
        ["predict", "ckpt=best.ckpt"],
    ):
        env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(bare), "TORCH_HOME": str(bare)}
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            text=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, **env},
        )
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
    assert not list(bare.iterdir())


def test_a_command_that_only_shows_its_config_needs_nothing(bare: Path, capsys) -> None:
    assert main(["train", "--cfg", "job", "trainer=gpu", "model.weights=w.pth"]) == 0
    assert "w.pth" in capsys.readouterr().out


def test_a_recipe_names_what_it_lacks_before_it_begins(bare: Path, capsys) -> None:
    recipe = ["train", "experiment=primatrix/third_place", "scale=tiny"]
    if devices.count_gpus() != 0:
        pytest.skip("a GPU may be here")
    assert main([*recipe, "trainer=gpu"]) == 2
    assert "no GPU can be used here" in capsys.readouterr().err.splitlines()[-1]
    assert not (bare / "runs").exists()


def test_a_sweep_says_at_once_which_of_its_models_cannot_be_had(
    bare: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["-m", "model=efficientnet_lite1_frozen,resnet152_frozen", "head=mean,max", "seed=1,2"]
    found = overrides.prepare("train", words, config_dir(), preflight.check)
    assert "-m" in found  # the others run
    [said] = [r.getMessage() for r in caplog.records]
    assert "trials of model=resnet152_frozen will fail: model.backbone=resnet152" in said
    with pytest.raises(UserError, match=r"resnet152.*does not answer"):
        overrides.prepare(
            "train", ["-m", "model=resnet152_frozen,nasnet_frozen"], config_dir(), preflight.check
        )


@pytest.mark.parametrize("verb", ["train", "extract"])
def test_weights_that_only_timm_can_miss_are_missed_before_a_clip_is_rendered(
    verb: str, bare: Path, command: Command
) -> None:
    """The cache holds something that may be them, so that the look ahead lets it pass."""
    (bare / "hub" / "models--somebody--model").mkdir(parents=True)
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(bare / "hub")}
    done = command("jungle", verb, "model=frozen", "model.backbone=resnet18", **away)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert all(way in last for way in ("Connect once", "model.weights=", "model.pretrained=false"))
    assert not (bare / "cache").exists()


def test_a_recipe_says_at_once_which_weights_cannot_be_had(bare: Path, capsys) -> None:
    (bare / "data" / "raw").mkdir(parents=True)
    (bare / "data" / "train_labels.csv").touch()
    assert main(["train", "experiment=primatrix/first_place", "data.root=data/raw"]) == 1
    assert "its weights are not on this machine and cannot be downloaded" in capsys.readouterr().err
    assert sorted(f.name for f in bare.iterdir()) == ["data"]
