"""What a finished run shows in W&B and in TensorBoard, read back from their files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.report.evaluation import Outcome
from jungle.training.loggers import run_logger
from jungle.training.loggers.results import Results, compute_curves, count_confusions
from jungle.training.loggers.run_names import RunNames
from tests.conftest import Command, survey_args
from tests.training.loggers.conftest import CLASSES
from tests.training.loggers.offline import OfflineRun

NAMES = RunNames("lite0, fold 1", "mara 2024", "fold")


def logged(results: Results, folder: Path, *words: str) -> Any:
    cfg = overrides.compose("train", list(words), config_dir())
    logger = run_logger.make_logger(cfg, folder, NAMES)
    run_logger.log_results(logger, cfg, results)
    return logger


@pytest.fixture
def offline(results: Results, tmp_path: Path) -> OfflineRun:
    words = ["logger.tags=[night,dry season]", "logger.entity=rangers", "logger.project=mara", "seed=5"]
    logger = logged(results, tmp_path / "run", *words, "logger.checkpoint=true", "logger.mode=offline")
    run_logger.close(overrides.compose("train", [], config_dir()), logger)
    return OfflineRun(tmp_path / "run")


def test_wandb_has_names_settings_scores_charts_clips_and_checkpoint(
    offline: OfflineRun, results: Results, tmp_path: Path
) -> None:
    run = offline.run
    assert (run.project, run.entity, run.display_name) == ("mara", "rangers", NAMES.name)
    assert (run.run_group, run.job_type, set(run.tags)) == ("mara 2024", "fold", {"dry season", "night"})
    assert offline.config["seed"] == 5
    assert offline.config["model"]["backbone"]
    assert run.git.commit
    # Every score is in the summary; those of classes are in no chart of their own.
    best = {f"best_{name}": value for name, value in results.scores.items()}
    assert {k: offline.summary[k] for k in best} == pytest.approx(best)
    assert offline.summary["best_epoch"] == 4
    curves = {k for row in offline.history for k in row}
    assert "best_val/log_loss" in curves
    assert not any("/class/" in k for k in curves)
    classes = offline.table("best_val/classes")
    assert classes["columns"][0] == "class"
    assert [row[:2] for row in classes["data"]] == [["blank", 2], ["lion", 2], [CLASSES[2], 2]]
    cells = offline.table("best_val/confusion_table")
    counts = {(true, said): n for true, said, n in cells["data"]}
    assert counts[CLASSES[2], "lion"] == 1
    assert sum(counts.values()) == 6
    assert {row[0] for row in offline.table("best_test/precision_recall_table")["data"]} == {"blank", "lion"}
    clips = offline.table("best_val/examples")
    rows = [dict(zip(clips["columns"], row, strict=True)) for row in clips["data"]]
    assert [(r["clip"], r["truth"], r["most probable"], r["right"]) for r in rows] == [
        ("c5.mp4", CLASSES[2], "lion", False),
        ("c0.mp4", "blank", "blank", True),
    ]
    assert rows[0]["p(lion)"] == pytest.approx(0.8)
    assert (rows[1]["frames"], rows[1]["why no picture"]) == (None, "no such file")
    artifacts = {a.type: a for a in offline.artifacts if a.type == "model" or "examples" in a.name}
    (file,) = artifacts["model"].manifest.contents
    assert file.local_path == str(results.checkpoint)
    assert "best" in artifacts["model"].aliases
    # The picture lies in the run's folder, and is the one that was given.
    (kept,) = [f for f in artifacts["run_table"].manifest.contents if f.path.endswith(".jpg")]
    assert Path(kept.local_path).is_relative_to(tmp_path / "run")
    with Image.open(kept.local_path) as picture:
        assert picture.size == (90, 40)
        assert np.abs(np.asarray(picture)[20, 45].astype(int) - (250, 20, 20)).max() < 20


def test_tensorboard_has_scores_charts_clips_and_settings(results: Results, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(results, tmp_path, "logger=tensorboard", "seed=5").finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"tensors": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    value = events.Scalars("best_val/log_loss")[-1].value
    assert value == pytest.approx(results.scores["val/log_loss"])
    assert {"best_val/confusion", "best_test/confusion", "best_val/examples/000"} <= set(tags["images"])
    assert "best_val/examples/001" not in tags["images"]
    assert f"best_val/precision_recall/{CLASSES[0]}" in tags["tensors"]
    assert not any(t.startswith(f"best_test/precision_recall/{CLASSES[2][:3]}") for t in tags["tensors"])
    text = events.Tensors("best_val/examples/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "c5.mp4" in text
    assert "no such file" in text
    plugins = [p for p in events.summary_metadata.values() if p.plugin_data.plugin_name == "hparams"]
    assert plugins or events.PluginTagToContent("hparams")
    assert "seed: 5" in (tmp_path / "tensorboard" / "hparams.yaml").read_text()


def test_a_run_of_a_fold_is_logged_from_its_first_rate_to_its_clips(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    words = [w for w in survey_args(survey) if w != "logger=none"]
    words += [
        "logger=wandb",
        "--logger.clips=4",
        "data.folds=3",
        "data.fold=1",
        "trainer.log_every_n_steps=50",
    ]
    done = command("train", *words, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    run = OfflineRun(tmp_path / "run")
    assert run.run.job_type == "fold"
    assert ", 3 folds, " in run.run.run_group
    assert run.run.display_name.endswith(", fold 1")
    detailed = ("/low", "/high", "/precision", "/recall")  # and sites: in the file alone
    best = {
        f"best_{name}": value
        for name, value in metrics.items()
        if "/site/" not in name and not name.endswith(detailed)
    }
    assert {k: run.summary[k] for k in best} == pytest.approx(best)
    rates = [row["lr-AdamW/pg1"] for row in run.history if "lr-AdamW/pg1" in row]
    assert len(rates) == 3  # an epoch has fewer steps than are between two lines of a log
    assert rates[0] > rates[2] > 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    losses = [row["train/loss"] for row in run.history if "train/loss" in row]
    assert losses == pytest.approx([epoch["train/loss"] for epoch in history])
    assert not any(name.startswith("lr-") for epoch in history for name in epoch)
    clips = run.table("best_val/examples")
    rows = [dict(zip(clips["columns"], row, strict=True)) for row in clips["data"]]
    assert len(rows) == 4
    assert all(row["frames"]["_type"] == "image-file" and row["why no picture"] == "" for row in rows)
    assert all(row["frames"]["width"] == 4 * 162 - 2 for row in rows)  # four frames were seen
    assert all(row["truth"] in row["clip"] for row in rows)
    assert not any(a.type == "model" for a in run.artifacts)


def test_csv_has_the_scores(results: Results, tmp_path: Path) -> None:
    logger = logged(results, tmp_path, "logger=csv")
    logger.save()
    text = (tmp_path / "csv" / "metrics.csv").read_text()
    assert "best_val/log_loss" in text


def test_a_logger_that_fails_ends_no_run(results: Results, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def log_metrics(self, _: object) -> None:
            raise OSError("no space left\non device")

    run_logger.log_results(Full(), overrides.compose("train", [], config_dir()), results)
    assert "the results could not be logged (no space left); metrics.json" in caplog.text


def test_no_matrix_of_too_many_classes(caplog: pytest.LogCaptureFixture) -> None:
    n = 101
    many = Outcome([str(i) for i in range(n)], np.eye(n), np.eye(n))
    with caplog.at_level("INFO"):
        assert count_confusions(many, [str(i) for i in range(n)]) is None
    assert "101 classes occur, 100 can be shown" in caplog.text
    few = Outcome(many.clips[:3], many.probs_NC[:3], many.targets_NC[:3])
    found = count_confusions(few, [str(i) for i in range(n)])
    assert found is not None
    assert found.classes == ["0", "1", "2"]
    assert sum(len(c.recall_P) for c in compute_curves(many, [str(i) for i in range(n)])) <= 9_000


def test_precision_at_a_recall_is_the_best_from_there_on() -> None:
    probs = np.array([[0.9], [0.8], [0.7], [0.6]])
    targets = np.array([[1.0], [0.0], [1.0], [np.nan]])
    (curve,) = compute_curves(Outcome(["a", "b", "c", "d"], probs, targets), ["x"])
    at = dict(zip(np.round(curve.recall_P, 2), curve.precision_P, strict=True))
    assert (at[0.0], at[0.5], at[0.51], at[1.0]) == pytest.approx((1, 1, 2 / 3, 2 / 3))
