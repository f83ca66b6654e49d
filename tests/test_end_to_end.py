"""The whole path as a user walks it: real processes, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data import predictions
from tests.conftest import ROOT, SMALL_BACKBONE, Command, run_forked, survey_args
from tests.forked import Forked


@pytest.fixture(scope="module")
def trained(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a frozen model trained on the survey, in a working folder of its own."""
    work = tmp_path_factory.mktemp("work")
    done = run_forked("train", *survey_args(survey), "trainer.max_epochs=15", "report=true", cwd=work)
    assert done.returncode == 0, done.stderr[-3000:]
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("best checkpoint: ")
    return (work / last.removeprefix("best checkpoint: ")).parent.parent


def test_a_run_leaves_what_the_page_says(trained: Path) -> None:
    expected = {
        "config.yaml",
        "clips.parquet",
        "metrics.json",
        "failures.csv",
        "report.html",
        "train.log",
        ".hydra",
    }
    expected |= {"predictions_val.parquet", "predictions_test.parquet", "checkpoints"}
    assert expected <= {p.name for p in trained.iterdir()}
    assert (trained.parent / "latest").resolve() == trained.resolve()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test/accuracy"] >= 0.8  # three colours: anything that learns gets them
    named = {"val/log_loss", "test/macro_f1", "test/map", "test/top3", "test/class/lion/f1"}
    assert named | {"val/log_loss/low", "test/class/lion/precision", "test/class/lion/ap/high"} <= set(
        metrics
    )


def test_the_metrics_are_of_the_predictions(trained: Path) -> None:
    from jungle.data.clips import Clips
    from jungle.metrics.scores import log_loss

    table = predictions.read(trained / "predictions_test.parquet")
    clips = Clips.read(trained / "clips.parquet").of("test")
    assert table["clip"].to_list() == clips.table["clip"].to_list()
    saved = json.loads((trained / "metrics.json").read_text())
    assert log_loss(predictions.get_probabilities(table), clips.targets()) == pytest.approx(
        saved["test/log_loss"]
    )
    assert [sum(a) for a in table["attention"]] == pytest.approx([1.0] * len(table), abs=1e-4)


def test_the_checkpoint_is_enough_and_plain(trained: Path) -> None:
    saved = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["jungle"]["classes"] == ["blank", "hog", "lion"]
    assert any(k.startswith("backbone.") for k in saved["state_dict"])


def best(run: Path) -> str:
    return f"ckpt={run / 'checkpoints' / 'best.ckpt'}"


def test_predicting_videos_gives_the_runs_own_answers(
    trained: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    done = command("predict", best(trained), f"videos={survey}", "out=out", "workers=1", "batch_size=5")
    assert done.returncode == 0, done.stderr[-3000:]
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert len(table) == 36
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(page) > 1000
    for folder in (trained.parents[2], survey, tmp_path):  # a page can be sent
        assert str(folder) not in page
        assert str(folder) not in (trained / "report.html").read_text()
    own = predictions.read(trained / "predictions_test.parquet")
    joined = own.select("clip").join(table, on="clip", how="left", maintain_order="left")
    np.testing.assert_allclose(
        predictions.get_probabilities(joined), predictions.get_probabilities(own), atol=1e-5
    )


def test_a_run_folder_means_its_best_and_latest_is_no_failed_run(
    trained: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    runs = tmp_path / "runs" / "train"
    runs.mkdir(parents=True)
    (runs / "good").symlink_to(trained)
    (runs / "latest").symlink_to("good")
    (tmp_path / "bad.csv").write_text("filepath,label\nnowhere.mp4,lion\n")
    done = command("train", "data=csv", f"data.root={survey}", "data.labels=bad.csv", "logger=none")
    assert done.returncode == 1
    assert os.readlink(runs / "latest") == "good"
    clip = survey / "clips" / "lion_01.mp4"
    done = command("predict", f"ckpt={runs / 'latest'}", f"videos={clip}", "out=out", "report=false")
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(pl.read_csv(tmp_path / "out" / "predictions.csv")) == 1


def test_a_template_keeps_its_rows_order_and_columns(
    trained: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    rows = ["lion_01.mp4", "hog_35.mp4", "blank_00.mp4"]
    (tmp_path / "t.csv").write_text("filename,lion,blank\n" + "".join(f"{r},0.5,0.5\n" for r in rows))
    done = command("predict", best(trained), f"videos={survey}", "template=t.csv", "out=out", "report=false")
    assert done.returncode == 0, done.stderr[-3000:]
    written = pl.read_csv(tmp_path / "out" / "submission.csv")
    assert written.columns == ["filename", "lion", "blank"]
    assert written["filename"].to_list() == rows
    assert written["lion"][0] > 0.5 > written["lion"][2]


def test_an_ensemble_is_the_mean(trained: Path, survey: Path, command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.ckpt"
    saved = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    saved["state_dict"]["head.classify.5.bias"] += torch.tensor([1.0, 0.0, -1.0])
    torch.save(saved, other)
    one = trained / "checkpoints" / "best.ckpt"
    tables = []
    for name, ckpt in (("a", str(one)), ("b", str(other)), ("both", f"[{one},{other}]")):
        done = command(
            "predict",
            f"ckpt={ckpt}",
            f"videos={survey / 'clips' / 'lion_01.mp4'}",
            f"out={name}",
            "report=false",
        )
        assert done.returncode == 0, done.stderr[-3000:]
        tables.append(
            predictions.get_probabilities(predictions.read(tmp_path / name / "predictions.parquet"))
        )
    assert not np.allclose(tables[0], tables[1])
    np.testing.assert_allclose(tables[2], (tables[0] + tables[1]) / 2, atol=1e-6)


def test_a_broken_clip_is_a_row_with_a_reason(
    trained: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "clips with spaces é"
    folder.mkdir()
    (folder / "GOOD.MP4").write_bytes((survey / "clips" / "lion_01.mp4").read_bytes())
    (folder / "empty.mp4").touch()
    (folder / "text.avi").write_text("no video")
    done = command("predict", best(trained), f"videos={folder}", "out=out")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "failures.csv" in done.stderr.splitlines()[-1]
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert dict(zip(table["clip"], table["status"], strict=True)) == {
        "GOOD.MP4": "ok",
        "empty.mp4": "failed",
        "text.avi": "failed",
    }
    assert predictions.select_failed(table)["lion"].to_list() == [None, None]
    assert pl.read_csv(tmp_path / "out" / "failures.csv")["clip"].to_list() == ["empty.mp4", "text.avi"]


def test_a_broken_clip_does_not_stop_training(survey: Path, command: Command, tmp_path: Path) -> None:
    root = tmp_path / "data"
    labels = ["filepath,label,split"]
    for line in (survey / "labels.csv").read_text().splitlines()[1:]:
        name, label, split, _ = line.split(",")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(survey / name)
        labels.append(f"{name},{label},{split}")
    lost = {"clips/broken.mp4": "train", "clips/damaged.mp4": "val", "clips/gone.mp4": "val"}
    for name in list(lost)[:2]:
        (root / name).write_bytes(b"nothing")
    labels += [f"{name},lion,{split}" for name, split in lost.items()]
    (root / "labels.csv").write_text("\n".join(labels))
    more = ["data.missing=skip"]
    args = [w for w in survey_args(root) if w != "report=false"]
    done = command("train", *args, *more)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 of 38 clips cannot be read" in done.stderr
    assert "val: 2 clips could not be read and are not scored" in done.stderr
    run = tmp_path / "runs" / "train" / "latest"
    reasons = dict(pl.read_csv(run / "failures.csv").iter_rows())
    assert set(reasons) == set(lost)
    assert reasons["clips/gone.mp4"] == "no such file"
    failed = predictions.select_failed(predictions.read(run / "predictions_val.parquet"))
    assert failed["clip"].to_list() == ["clips/damaged.mp4", "clips/gone.mp4"]
    assert failed["lion"].to_list() == [None, None]
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["val/clips"], metrics["val/unreadable"], metrics["test/unreadable"]) == (6, 2, 0)
    # The epochs were judged on the same clips as the table at the end.
    best = min(e["val/log_loss"] for e in json.loads((run / "history.json").read_text()))
    assert metrics["val/log_loss"] == pytest.approx(best, abs=1e-5)
    page = (run / "report.html").read_text()
    assert "2 validation clips could not be read and are in no score" in page
    assert "damaged.mp4" not in page.split("Unreadable clips")[0]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["ckpt=none.ckpt", "videos=x"], 1, "no such file"),
        (["ckpt={ckpt}", "videos=nowhere"], 1, "nowhere"),
        (["ckpt={ckpt}", "videos={survey}", "device=cuda:9"], 2, "cuda:9"),
        (["ckpt={survey}/labels.csv", "videos={survey}"], 1, "not a checkpoint"),
    ],
)
def test_errors_are_one_line(
    args: list[str], code: int, says: str, trained: Path, survey: Path, command: Command
) -> None:
    ckpt = trained / "checkpoints" / "best.ckpt"
    done = command("predict", *[a.format(ckpt=ckpt, survey=survey) for a in args])
    assert done.returncode == code, done.stderr
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_hostile_checkpoint_runs_nothing(command: Command, survey: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> object:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"jungle": Hostile(), "state_dict": {}}, tmp_path / "hostile.ckpt")
    done = command("predict", "ckpt=hostile.ckpt", f"videos={survey}")
    assert done.returncode == 1
    assert not (tmp_path / "ran").exists()


def kill_when(started: Forked, ready, timeout: float = 120) -> None:
    """Send SIGKILL to the process and its group as soon as `ready()`; it must not have ended before."""
    end = time.monotonic() + timeout
    while not ready():
        assert started.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end, "nothing to kill came up"
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()


def start(door: str, args: list[str], cwd: Path) -> Forked:
    return Forked(door, args, cwd)


@pytest.mark.slow
def test_killed_in_extraction_and_training_it_ends_as_undisturbed(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    args = [*survey_args(survey), *SMALL_BACKBONE, "trainer.max_epochs=25", "callbacks=no_early_stopping"]
    whole = command("train", *args, "paths.runs=whole", "paths.cache=whole/cache")
    assert whole.returncode == 0, whole.stderr[-3000:]

    runs = tmp_path / "killed" / "train"
    mine = [*args, "paths.runs=killed", "paths.cache=killed/cache"]
    kill_when(
        start("train", mine, tmp_path), lambda: any((tmp_path / "killed" / "cache").rglob("*.safetensors"))
    )
    kill_when(start("train", mine, tmp_path), lambda: any(runs.glob("*/checkpoints/last.ckpt")))
    done = command("train", *mine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "going on with the unfinished run" in done.stderr
    assert len([f for f in runs.iterdir() if not f.is_symlink()]) == 1
    for split in ("val", "test"):
        name = f"train/latest/predictions_{split}.parquet"
        ours, theirs = (
            predictions.read(tmp_path / "killed" / name),
            predictions.read(tmp_path / "whole" / name),
        )
        assert ours["clip"].equals(theirs["clip"])
        np.testing.assert_allclose(
            predictions.get_probabilities(ours), predictions.get_probabilities(theirs), atol=1e-4
        )


@pytest.mark.slow
def test_two_processes_end_as_one_does(survey: Path, command: Command, tmp_path: Path) -> None:
    """One device, two of Lightning's, two of torchrun's: the same steps, each clip counted once."""
    args = [*survey_args(survey), *SMALL_BACKBONE, "head.dropout=0", "frame_answers=true"]
    runs = [tmp_path / name / "train" / "run" for name in ("one", "two", "torchrun")]
    for run, more in zip(
        runs, (["data.batch_size=8"], ["trainer=ddp_sim", "data.batch_size=4"]), strict=False
    ):
        done = command("train", *args, *more, f"hydra.run.dir={run}", timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
    door = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    more = ["trainer=ddp_sim", "data.batch_size=4", f"hydra.run.dir={runs[2]}"]
    done = subprocess.run(
        [*door, str(ROOT / "train.py"), *args, *more],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tables = [predictions.read(run / "predictions_val.parquet") for run in runs]
    frames = [pl.read_parquet(run / "frames_val.parquet").sort("clip") for run in runs]
    for found in frames:
        assert found["clip"].to_list() == sorted(tables[0]["clip"])
        assert set(found["lion"].list.len()) == {4}
        ours, theirs = (np.stack(f["lion"].to_list()) for f in (found, frames[0]))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    for run, table in zip(runs, tables, strict=True):
        assert json.loads((run / "metrics.json").read_text())["val/clips"] == 6
        assert table["clip"].equals(tables[0]["clip"])
        assert set(table["status"]) == {"ok"}
        np.testing.assert_allclose(
            predictions.get_probabilities(table), predictions.get_probabilities(tables[0]), atol=1e-3
        )


@pytest.mark.slow
def test_finetuning_learns(survey: Path, command: Command, tmp_path: Path) -> None:
    args = [*survey_args(survey), "model=finetune", "model.size=64x96", "frames=random", "frames.count=4"]
    done = command("train", *args, "trainer.max_epochs=4")
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "runs" / "train" / "latest" / "metrics.json").read_text())
    assert metrics["test/accuracy"] >= 0.6


@pytest.mark.slow
def test_a_large_backbone_on_two_processes(survey: Path, command: Command, tmp_path: Path) -> None:
    """`python train.py model=nasnet_frozen trainer.devices=2`, on two CPU processes."""
    data = [a for a in survey_args(survey) if not a.startswith(("model.", "frames.", "trainer="))]
    done = command(
        "train",
        *data,
        "model=nasnet_frozen",
        "trainer.devices=2",
        "model.pretrained=false",
        "data.limit=12",
        "model.size=96x96",
        "frames.count=1",
        "trainer.accelerator=cpu",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "train" / "latest"
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["state_dict"]["head.norm.weight"].shape == (4032,)
    assert set(predictions.read(run / "predictions_val.parquet")["status"]) == {"ok"}


@pytest.mark.slow
def test_a_sweep_runs_every_choice(survey: Path, command: Command, tmp_path: Path) -> None:
    done = command("train", "-m", *survey_args(survey), *SMALL_BACKBONE, "head=mean,max", timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = sorted((tmp_path / "runs" / "sweep").glob("*/*/metrics.json"))
    assert [j.parent.name for j in jobs] == ["0", "1"]
    heads = [(j.parent / "config.yaml").read_text().split("name: m")[1][:2] for j in jobs]
    assert heads == ["ea", "ax"]


def test_two_trainings_at_once_keep_apart(survey: Path, command: Command, tmp_path: Path) -> None:
    args = [*survey_args(survey), *SMALL_BACKBONE, "trainer.max_epochs=40", "data.limit=18"]
    first = start("train", args, tmp_path)
    end = time.monotonic() + 120
    while not list((tmp_path / "runs" / "train").glob("*/run.json")) and time.monotonic() < end:
        time.sleep(0.05)
    done = command("train", *args)
    assert done.returncode == 0, done.stderr[-3000:]
    assert first.wait(timeout=300) == 0
    runs = [f for f in (tmp_path / "runs" / "train").iterdir() if not f.is_symlink()]
    assert len(runs) == 2
    assert all((r / "metrics.json").is_file() for r in runs)
