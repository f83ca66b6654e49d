"""Options of training together, as a user gives them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data import predictions
from jungle.data.metadata import FACTS
from tests.conftest import Command, survey_args


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["cpu", "ddp_sim"])
def test_all_at_once_train_and_predict(trainer: str, survey: Path, command: Command, tmp_path: Path) -> None:
    # Two lions for every hog in training, so that a sampler has something to undo.
    rows = (survey / "labels.csv").read_text().splitlines()
    hogs = [r for r in rows if ",hog,train," in r]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(r for r in rows if r not in hogs[::2]) + "\n")
    done = command(
        "train",
        *survey_args(survey, labels),
        f"trainer={trainer}",
        "trainer.max_epochs=2",
        "model=finetune",
        "model.backbone=test_vit",
        "model.pretrained=false",
        "model.size=64x96",
        "frames=random",
        "head=transformer",
        "loss=focal",
        "loss.class_weights=sqrt",
        "sampler=mixed",
        "augment=strong",
        "augment.cutmix=0.5",
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "train" / "latest"
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["jungle"]
    assert saved["head"]["name"] == "transformer"
    assert saved["prior_shift"]["hog"] > 0.05
    assert saved["prior_shift"]["lion"] < 0
    assert json.loads((run / "metrics.json").read_text())["val/clips"] == 6
    if trainer != "cpu":
        return
    done = command(
        "predict", f"ckpt={run / 'checkpoints' / 'best.ckpt'}", f"videos={survey}", "out=out", "report=false"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    own = predictions.read(run / "predictions_test.parquet")
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    joined = own.select("clip").join(table, on="clip", how="left", maintain_order="left")
    np.testing.assert_allclose(
        predictions.get_probabilities(joined), predictions.get_probabilities(own), atol=1e-5
    )


@pytest.mark.slow
def test_a_frozen_run_starts_a_fine_tuned_one(survey: Path, command: Command, tmp_path: Path) -> None:
    backbone = ["model.backbone=test_efficientnet", "model.pretrained=false"]
    done = command("train", *survey_args(survey), "model=frozen", *backbone, "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr[-3000:]
    probe = done.stdout.strip().splitlines()[-1].removeprefix("best checkpoint: ")
    start = torch.load(tmp_path / probe, weights_only=True)["state_dict"]
    tune = ["model=finetune", *backbone, "frames=random", "frames.eval_count=3", f"model.warm_start={probe}"]

    done = command("train", *survey_args(survey), *tune, "head=mean", "trainer.max_epochs=1")
    assert done.returncode == 1
    assert "its head is" in done.stderr
    assert "Traceback" not in done.stderr

    done = command(
        "train",
        *survey_args(survey),
        *tune,
        "model.unfreeze={0: head, 1: last_1}",
        "model.norm_stats=keep",
        "optim.layer_decay=0.7",
        "optim.ema=0.5",
        "optim.schedule=onecycle",
        "trainer=ddp_sim",
        "trainer.max_epochs=2",
        "callbacks.patience=null",
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    saved = torch.load(
        tmp_path / "runs" / "train" / "latest" / "checkpoints" / "last.ckpt", weights_only=True
    )
    moved = {k for k, v in saved["state_dict"].items() if k in start and not torch.equal(v, start[k])}
    assert any(k.startswith("head.") for k in moved)
    assert any(k.startswith("backbone.") for k in moved)
    assert "backbone.model.conv_stem.weight" not in moved
    assert not any("running_" in k for k in moved if k.startswith("backbone."))
    own, averaged = saved["current_model_state"], saved["state_dict"]
    assert any(not torch.equal(own[k], averaged[k]) for k in moved)
    assert saved["jungle"]["clip"]["frames"]["count"] == 3


@pytest.mark.parametrize("head", ["attention", "primatrix_gru"])
def test_metadata_train_and_predict(head: str, survey: Path, command: Command, tmp_path: Path) -> None:
    args = ["trainer.max_epochs=2", "frames.count=4", f"head={head}", "data.metadata=index", "report=false"]
    done = command("train", *survey_args(survey), *args, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "train" / "latest"
    best = run / "checkpoints" / "best.ckpt"
    saved = torch.load(best, weights_only=True)["jungle"]["metadata"]
    index = pl.read_parquet(tmp_path / "cache" / "index.parquet")
    split = pl.read_csv(survey / "labels.csv").select(
        "split", path=pl.lit(str(survey.resolve()) + "/") + pl.col("filepath")
    )
    of_train = index.join(split.filter(pl.col("split") == "train"), on="path")
    assert len(of_train) == 24
    assert saved["mean"][FACTS.index("bit_rate")] == pytest.approx(
        of_train["bit_rate"].log().mean(), rel=1e-5
    )
    done = command("predict", f"ckpt={best}", f"videos={survey}", "out=out", "report=false")
    assert done.returncode == 0, done.stderr[-3000:]
    own = predictions.read(run / "predictions_test.parquet")
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    joined = own.select("clip").join(table, on="clip", how="left", maintain_order="left")
    np.testing.assert_allclose(
        predictions.get_probabilities(joined), predictions.get_probabilities(own), atol=1e-5
    )
    # An index in which all clips are shorter: the head sees it.
    other = index.with_columns(
        pl.col("bit_rate", "size") // 100,
        pl.col("path").str.strip_prefix(str(survey.resolve()) + "/").alias("clip"),
    )
    other.write_parquet(tmp_path / "other.parquet")
    done = command(
        "predict", f"ckpt={best}", f"videos={survey}", "out=out2", "report=false", "metadata=other.parquet"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    moved = predictions.read(tmp_path / "out2" / "predictions.parquet")
    assert not np.allclose(
        predictions.get_probabilities(moved), predictions.get_probabilities(table), atol=1e-3
    )
