"""Runs that are killed, told to stop, out of room or out of numbers: what is left, and how they go on."""

import json
import os
import random
import re
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle import runs
from jungle.data import predictions
from jungle.training.run_inputs import Comparisons
from tests.conftest import Command, survey_args
from tests.forked import Forked
from tests.test_end_to_end import start

TOLERANCE = 1e-4  # of a probability: an undisturbed run against one that was stopped and went on


def finetuning(survey: Path) -> list[str]:
    return [
        *survey_args(survey),
        "model=finetune",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "model.size=64x96",
        "frames=random",
        "frames.count=2",
        "data.batch_size=3",
        "callbacks=no_early_stopping",
        "checkpoint.every_n_minutes=0.00001",  # after every step
    ]


def checkpoints_of(root: Path) -> list[Path]:
    return list(root.glob("train/2*/checkpoints/last.ckpt"))


def wait_for_saves(process: Forked, root: Path, n: int) -> None:
    """Return when `last.ckpt` has been written `n` times more."""
    seen: set[tuple[int, int]] = set()
    before = {(p.stat().st_ino, p.stat().st_mtime_ns) for p in checkpoints_of(root)}
    end = time.monotonic() + 200
    while len(seen - before) < n:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < end
        for path in checkpoints_of(root):
            found = path.stat()
            seen.add((found.st_ino, found.st_mtime_ns))
        time.sleep(0.003)


def same_answers(a: Path, b: Path) -> None:
    for split in ("val", "test"):
        ours, theirs = (predictions.read(run / f"predictions_{split}.parquet") for run in (a, b))
        assert ours["clip"].equals(theirs["clip"])
        np.testing.assert_allclose(
            predictions.get_probabilities(ours), predictions.get_probabilities(theirs), atol=TOLERANCE
        )


@pytest.mark.slow
def test_stopped_at_random_points_it_ends_as_undisturbed(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    args = finetuning(survey)
    whole = command("train", *args, "paths.runs=whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    points = random.Random(0)
    mine = [*args, "paths.runs=mine"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start("train", mine, tmp_path)
        wait_for_saves(process, tmp_path / "mine", points.randint(1, 6))
        process.send_signal(number)
        assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number]
        [last] = checkpoints_of(tmp_path / "mine")
        torch.load(last, weights_only=True)  # whole, and plain
    done = command("train", *mine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "going on with the unfinished run" in done.stderr
    history = json.loads((last.parents[1] / "history.json").read_text())
    assert [e["epoch"] for e in history] == [0, 1, 2]
    same_answers(tmp_path / "mine" / "train" / "latest", tmp_path / "whole" / "train" / "latest")


def test_sigterm_saves_within_a_step_and_resume_alone_goes_on(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    args = [*survey_args(survey), "trainer.max_epochs=400", "callbacks=no_early_stopping", "logger=wandb"]
    process = start("train", args, tmp_path)
    wait_for_saves(process, tmp_path / "runs", 2)
    process.terminate()
    assert process.wait(60) == 143
    [last] = checkpoints_of(tmp_path / "runs")
    run = last.parents[1]
    step = torch.load(last, weights_only=True)["global_step"]
    assert 0 < step < 800
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    assert (run.parent / "latest").resolve() == run.resolve()  # it has a best checkpoint
    assert "was stopped before its end" in str(runs.explain_unfinished(last.with_name("best.ckpt")))
    log = (run / "train.log").read_text()
    assert "Traceback" not in log
    assert "weights_only" not in log  # what Lightning says of itself
    second = start("train", [f"resume={run}"], tmp_path)  # its own settings, without repeating them
    wait_for_saves(second, tmp_path / "runs", 1)
    second.terminate()
    assert second.wait(60) == 143
    assert torch.load(last, weights_only=True)["global_step"] > step
    ids = {re.fullmatch(r"offline-run-[\d_]+-(.*)", p.name)[1] for p in run.glob("wandb/offline-run-*")}
    assert len(ids) == 1
    assert ids.pop().startswith(f"{run.name.replace('_', '-')}-")
    assert len(list(run.glob("wandb/offline-run-*"))) == 2
    refused = command("train", f"resume={run}", "seed=3")
    assert refused.returncode == 2
    assert "other settings" in refused.stderr


def test_a_killed_run_has_noted_which_clips_could_not_be_read(survey: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(survey, root)
    broken = root / "clips/blank_00.mp4"
    broken.write_bytes(broken.read_bytes()[:2000])
    args = finetuning(root)
    process = start("train", [*args, "trainer.max_epochs=200"], tmp_path)
    end = time.monotonic() + 200
    noted: list[str] = []
    while not noted:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.1)
        for file in (tmp_path / "runs/train").glob("2*/clip_files.parquet"):
            noted = pl.read_parquet(file).filter("damaged")["clip"].to_list()
    wait_for_saves(process, tmp_path / "runs", 1)
    process.kill()
    process.wait()
    [last] = checkpoints_of(tmp_path / "runs")
    run = last.parents[1]
    assert noted == ["clips/blank_00.mp4"]
    assert Comparisons().changes_in(run) == []
    os.utime(broken, (1, 1))
    said = "files of clips that could not be read in full were written since: 1 (clips/blank_00.mp4)"
    assert Comparisons().changes_in(run) == [said]


def test_a_full_disk_is_one_sentence_and_the_best_stays(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    args = [*survey_args(survey), "callbacks=no_early_stopping"]
    process = start("train", [*args, "trainer.max_epochs=60"], tmp_path)
    wait_for_saves(process, tmp_path / "runs", 2)
    process.kill()
    process.wait()
    [last] = checkpoints_of(tmp_path / "runs")
    best = last.with_name("best.ckpt")
    before = best.read_bytes(), last.read_bytes()
    said = tmp_path / "said"
    limited = Forked("train", [*args, "trainer.max_epochs=60"], tmp_path, err=str(said))
    resource.prlimit(limited.pid, resource.RLIMIT_FSIZE, (2_048_000, 2_048_000))
    assert limited.wait(200) == 1
    text = said.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1].startswith("error: ")
    assert "File too large; make room" in text.splitlines()[-1]
    assert (best.read_bytes(), last.read_bytes()) == before
    assert not list(last.parent.glob(".*.part*"))


def test_a_loss_that_is_no_number_stops_the_run(survey: Path, command: Command, tmp_path: Path) -> None:
    done = command(
        "train",
        *survey_args(survey),
        "optim.lr=1e38",
        "optim.name=sgd",
        "trainer.gradient_clip_val=null",
        "trainer.max_epochs=20",
        "callbacks=no_early_stopping",
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "lower optim.lr" in done.stderr.splitlines()[-1]
    for file in tmp_path.glob("runs/train/*/checkpoints/*.ckpt"):
        weights = torch.load(file, weights_only=True)["state_dict"]
        assert all(w.isfinite().all() for w in weights.values() if w.is_floating_point())
