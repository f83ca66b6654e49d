"""Options of training together, as a user gives them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jungle.data import predictions
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
        *survey_args(survey),
        f"data.labels={labels}",
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
    np.testing.assert_allclose(predictions.probabilities(joined), predictions.probabilities(own), atol=1e-5)
