"""Parts for people with a Lightning program of their own, and for plain Python."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import pytorch_lightning as lightning
import torch

import jungle
from jungle import ClipClassifier, ClipDataModule
from jungle.api.functions import Trained
from jungle.api.lightning import OF_A_RUN, OF_A_TRAINER
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.data import predictions
from jungle.errors import UsageError, UserError
from jungle.models.training_plan import Training
from jungle.video import ClipError
from tests.conftest import ROOT, survey_args, write_video

TRAINER = lightning.Trainer
SMALL = ["model.pretrained=false", "data.workers=1", "trainer.accelerator=cpu"]


def trainer(folder: Path, **options: Any) -> lightning.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return TRAINER(accelerator="cpu", default_root_dir=folder, **{**quiet, **options})


@pytest.fixture
def clips(survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `labels.csv` and the folder `clips` of the survey."""
    (tmp_path / "clips").symlink_to(survey / "clips")
    text = (survey / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(text.replace("clips/", ""))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def probabilities(table: pl.DataFrame) -> pl.DataFrame:
    """The answers of a table by file name: ids of clips are relative to what was asked for."""
    named = table.with_columns(pl.col("clip").str.split("/").list.last()).sort("clip")
    return named.select("clip", "status", *predictions.get_classes(table))


def test_the_page_runs(clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "lightning.md").read_text(), re.DOTALL)[0]
    assert len(code.strip().splitlines()) <= 14
    code, n = re.subn(r"frames=16, size=\(180, 320\)", "frames=3, size=(48, 64), workers=1", code)
    assert n == 1
    monkeypatch.setattr(lightning, "Trainer", lambda **o: trainer(clips, **{**o, "max_epochs": 1}))
    found: dict[str, Any] = {}
    exec(code, found)
    assert isinstance(found["trainer"], TRAINER)
    printed = capsys.readouterr().out
    for score in ("log_loss", "accuracy", "map", "macro_f1"):
        assert f"val/{score} " in printed
        assert f"test/{score} " in printed
    assert found["table"]["status"].to_list() == ["ok"] * 6
    assert found["model"].hparams["classes"] == ["blank", "hog", "lion"]
    best = found["trainer"].checkpoint_callback.best_model_path
    asked = [clips / "clips" / name for name in found["table"]["clip"]]
    assert probabilities(jungle.load(best).predict(asked, workers=1)).equals(probabilities(found["table"]))


@pytest.fixture(scope="module")
def run(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of train.py, by `jungle.train`; decord reads its clips."""
    folder = tmp_path_factory.mktemp("run")
    places = [f"paths.runs={folder / 'runs'}", f"paths.cache={folder / 'cache'}"]
    return jungle.train([*survey_args(survey), "decoder=decord", *places])


def test_a_run_of_train_py_in_ones_own_trainer(run: Any, survey: Path, command: Any, tmp_path: Path) -> None:
    assert run.scores == json.loads((run.folder / "metrics.json").read_text())
    assert run.checkpoint == run.folder / "checkpoints" / "best.ckpt"
    data = ClipDataModule.from_run(run.folder)
    model = ClipClassifier.load_from_checkpoint(run.checkpoint)
    mine = trainer(tmp_path)
    [tested] = mine.test(model, datamodule=data, verbose=False)
    assert tested["test/log_loss"] == pytest.approx(run.scores["test/log_loss"], abs=1e-6)
    assert tested["test/accuracy"] == pytest.approx(run.scores["test/accuracy"])
    table = data.table_of(mine.predict(model, datamodule=data) or [])
    assert table.equals(predictions.read(run.folder / "predictions_test.parquet"))
    out = tmp_path / "out"
    cache = data.config.paths.cache
    done = command(
        "predict", f"ckpt={run.checkpoint}", f"out={out}", f"paths.cache={cache}", "workers=1", "report=false"
    )
    assert done.returncode == 0, done.stderr
    written = predictions.read(out / "predictions.parquet")
    assert written.drop(predictions.FACTS).equals(table)
    plan = model.training_plan
    assert plan != Training()
    assert (plan.lr, plan.schedule) == (data.config.lr, data.config.optim.schedule)
    assert model.hparams == data.make_model().hparams


def test_frames_are_answered_as_predict_does_and_a_broken_clip_has_its_row(
    clips: Path, tmp_path: Path
) -> None:
    table = (clips / "labels.csv").read_text() + "broken.mp4,lion,test,site5\nwhole.mp4,lion,test,site5\n"
    (clips / "labels.csv").write_text(re.sub(r"(?m)^(?=\w+_\d)", "clips/", table))
    (clips / "broken.mp4").write_bytes(b"no video" * 100)
    write_video(clips / "whole.mp4", None, seed=99)
    data = ClipDataModule(
        SMALL, labels="labels.csv", root=".", backbone="resnet18", mode="finetune", size=(32, 48), frames=3
    )
    model = data.make_model()
    mine = trainer(tmp_path, max_epochs=1)
    mine.fit(model, datamodule=data)
    batch = next(iter(data.train_dataloader()))
    assert batch["frames_BTHWC"].shape == (8, 3, 32, 48, 3)
    assert batch["frames_BTHWC"].dtype == torch.uint8
    assert {"mask_BT", "times_BT", "targets_BC", "number_B", "weight_B", "status", "reason"} <= set(batch)
    found = data.table_of(mine.predict(model, datamodule=data) or [])
    assert len(found) == 8
    failed = predictions.select_failed(found)
    assert failed["clip"].to_list() == ["broken.mp4"]
    assert failed["reason"][0]
    own = model.backbone
    again = ClipClassifier.load_from_checkpoint(mine.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
    assert again.training  # Lightning's trainer does not switch it on
    assert again.hparams == model.hparams
    assert model.backbone is own
    paths = [str(clips / clip) for clip in found["clip"]]
    said = jungle.load(mine.checkpoint_callback.best_model_path).predict(paths, workers=1)  # type: ignore[union-attr]
    assert probabilities(said).equals(probabilities(found))
    other = ClipDataModule(
        SMALL, labels="labels.csv", root=".", backbone="resnet18", mode="finetune", size=(32, 64), frames=3
    )
    with pytest.raises(UsageError, match=r"size=\[32, 48\].*size=\[32, 64\]"):
        mine.predict(again, datamodule=other)
    data.teardown()


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        (["resume=latest"], {}, "resume=latest: it changes nothing here"),
        (["logger=csv"], {}, "logger=csv: it changes nothing here"),
        (["trainer.max_epochs=3"], {}, "trainer.max_epochs=3: it changes nothing here"),
        (["optim.ema=0.9"], {}, "optim.ema=0.9: it changes nothing here"),
        (["optim.lr=auto"], {}, "optim.lr=auto is searched for by train.py"),
        (["data.pseudo=self", "callbacks.patience=null"], {}, "callbacks.patience=null: it changes"),
        (["seed=1"], {"seed": 2}, "seed is given twice"),
        (["model=finetune"], {"mode": "finetune"}, "model=finetune says it already"),
        ("head=gru", {}, "give a list of settings"),
        ([], {"mode": "tune"}, "mode=tune: no such mode. Nearest: finetune."),
        ([], {"size": 224}, "give height and width"),
        ([], {"predict_split": "tset"}, "no such split. Nearest: test"),
        (["head=grru"], {}, "Nearest: gru"),
    ],
)
def test_what_cannot_be_is_refused_at_once(config: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        ClipDataModule(config, **options)


def test_files_that_are_not_there_are_named_before_anything_is_read(clips: Path) -> None:
    with pytest.raises(UserError, match=r"data.labels=label.csv: no such file. There is labels.csv"):
        ClipDataModule(labels="label.csv", root="clips")
    with pytest.raises(UserError, match=r"data.labels=label.csv: no such file. There is labels.csv"):
        ClipDataModule(labels=["labels.csv", "label.csv"], root=["clips"])
    with pytest.raises(UserError, match=r"config.yaml: no such file.* give its folder"):
        ClipDataModule.from_run(clips)
    with pytest.raises(UsageError, match="call setup"):
        ClipDataModule(SMALL, labels="labels.csv", root="clips").train_dataloader()


def test_settings_that_are_refused_are_settings() -> None:
    whole = compose("train", [], config_dir())
    for name in (*OF_A_RUN, *OF_A_TRAINER):
        at: Any = whole
        for part in name.split("."):
            assert part == "hydra" or hasattr(at, part), name
            at = getattr(at, part, None)


@pytest.fixture(scope="module")
def saved(run: Any) -> dict[str, Any]:
    return torch.load(run.checkpoint, weights_only=True)


@pytest.mark.parametrize(
    "option", [{"weights_only": False}, {"strict": False}, {"hparams_file": "h.yaml"}, {"head": {}}]
)
def test_a_checkpoint_is_loaded_as_it_is_or_not_at_all(run: Any, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(option))}=.*leave it out"):
        ClipClassifier.load_from_checkpoint(run.checkpoint, **option)
    loaded = ClipClassifier.load_from_checkpoint(
        run.checkpoint, map_location="cpu", strict=True, weights_only=True
    )
    assert json.loads(json.dumps(dict(loaded.hparams))) == loaded.hparams


def test_a_checkpoint_of_a_stranger_runs_no_code(tmp_path: Path, saved: dict[str, Any]) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harm",))

    file = tmp_path / "a.ckpt"
    torch.save({**saved, "hyper_parameters": Harm()}, file)
    with pytest.raises(UserError, match=r"would have to call"):
        ClipClassifier.load_from_checkpoint(file)
    assert not (tmp_path / "harm").exists()
    hparams = saved["hyper_parameters"]
    torch.save({**saved, "hyper_parameters": {**hparams, "training": {"lr": "much"}}}, file)
    with pytest.raises(UserError, match=r"training settings are damaged \(lr: "):
        ClipClassifier.load_from_checkpoint(file)
    torch.save({k: v for k, v in saved.items() if k != "hyper_parameters"}, file)  # of version 0.1
    assert ClipClassifier.load_from_checkpoint(file).training_plan == Training()


def test_training_settings_come_back() -> None:
    plan = Training(lr=0.5, unfreeze={0: "head", 2: "all"}, monitor=("val/accuracy", "max"))
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    assert Training.from_dict(plan.to_dict()) == plan
    assert Training.from_dict({"lr": 0.5, "of_a_later_version": 1}) == Training(lr=0.5)


def test_several_checkpoints_are_averaged(run: Any, survey: Path) -> None:
    paths = sorted(map(str, (survey / "clips").glob("*_0?.mp4")))[:2]
    both = jungle.load([run.checkpoint, run.folder])
    once = jungle.load(run.folder)
    assert once.classes == ("blank", "hog", "lion")
    assert (once.clip_spec.frames.count, once.clip_spec.decoder) == (4, "decord")
    assert both.predict(paths, workers=1).equals(once.predict(paths, workers=1))
    with pytest.raises(UserError, match=r"checkpoint=nowhere\.ckpt: no such file"):
        jungle.load("nowhere.ckpt")
    with pytest.raises(UsageError, match="device"):
        once.predict(paths, device="gpuu")


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
def test_frames_of_a_video(survey: Path, decoder: str) -> None:
    path = survey / "clips" / "lion_01.mp4"
    clip = jungle.read_frames(path, count=5, size=(32, 48), decoder=decoder)
    assert clip.frames.shape == (5, 32, 48, 3)
    assert clip.status == "ok"
    assert clip.decoder == ("decord" if decoder == "decord" else "pyav")
    assert len(jungle.read_frames(path, fps=2).times) == 4
    assert jungle.read_frames(path, count=2).frames.shape == (2, 64, 96, 3)
    with pytest.raises(UsageError, match="kind 'fps' needs a rate"):
        jungle.read_frames(path, kind="fps")
    with pytest.raises(ClipError):
        jungle.read_frames(survey / "labels.csv")


def test_training_that_cannot_be_is_an_exception(clips: Path) -> None:
    with pytest.raises(UsageError, match="Nearest: model"):
        jungle.train(["modle=finetune"])
    for words in (["-m", "head=mean,max"], ["sweep=heads"], ["experiment=primatrix/best"]):
        with pytest.raises(UsageError, match=r"train\.py"):
            jungle.train(words)
    with pytest.raises(UsageError, match="give a list"):
        jungle.train("head=gru")  # type: ignore[arg-type]
    assert not (clips / "runs").exists()


def test_the_package_itself_imports_nothing_large() -> None:
    code = (
        "import sys, jungle; assert 'ClipDataModule' in dir(jungle) and 'train' in dir(jungle);"
        "assert not {'torch', 'polars', 'hydra', 'av'} & set(sys.modules);"
        "import jungle.training.fit; assert callable(jungle.train); assert not hasattr(jungle, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
