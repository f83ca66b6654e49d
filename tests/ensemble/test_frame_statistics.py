"""What models say of single frames, as columns of a stack."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data.clips import Clips
from jungle.ensemble.frame_statistics import COLUMNS, compute_member_statistics, compute_statistics
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import build_matrix
from jungle.errors import UsageError, UserError
from tests.ensemble.ensemble_cases import CLASSES, answers, both, run_folder

ODDS = np.log(3)  # of a probability of 0.75


def write(run: Path, split: str, clips: Clips, frames: dict[str, np.ndarray]) -> None:
    """`frames`: `[T, C]` of some of the clips."""
    lists = {c: [p[:, i].tolist() for p in frames.values()] for i, c in enumerate(CLASSES)}
    pl.DataFrame({"clip": list(frames), **lists}).write_parquet(run / f"frames_{split}.parquet")


def test_statistics_are_what_they_are_called_and_know_no_order() -> None:
    probs_TC = np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 0.5], [0.95, 0.5]], np.float32)
    found = compute_statistics(probs_TC).reshape(COLUMNS, 2)
    last = np.log(19)
    assert found[0, 0] == pytest.approx((ODDS + last) / 4, abs=1e-5)
    assert found[[1, 4, 7], 0] == pytest.approx([-ODDS, ODDS, last], abs=1e-5)  # least, median, most
    assert found[8:12, 0].tolist() == [0, 0.25, 0.5, 0.25]
    assert found[12:, 0] == pytest.approx([-ODDS, ODDS, ODDS, last], abs=1e-5)
    assert found[8:12, 1].tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(compute_statistics(probs_TC[::-1]), compute_statistics(probs_TC))
    np.testing.assert_allclose(
        compute_statistics(np.repeat(probs_TC, 3, axis=0))[8:12], compute_statistics(probs_TC)[8:12]
    )
    assert np.isfinite(compute_statistics(np.array([[0.0, 1.0]], np.float32))).all()


def test_frames_are_matched_by_clip_and_one_that_was_not_read_says_what_its_answer_says(tmp_path) -> None:
    clips = both(12)
    probs = {s: answers(clips.of(s), 1.0, 1) for s in ("val", "test")}
    run = run_folder(tmp_path / "a", clips, probs)
    names = clips.of("val").table["clip"].to_list()
    frames = {n: np.full((3, 3), (i + 1) / 20, np.float32) for i, n in enumerate(names)}
    del frames[names[4]]
    write(run, "val", clips, dict(reversed(frames.items())))
    (member,) = load_members([run])
    matrix = build_matrix([member], "val")
    assert matrix is not None
    seen_NF = compute_member_statistics(member, "val", names, matrix.classes, matrix.probs_MNC[0])
    mean_N = seen_NF.reshape(12, COLUMNS, 3)[:, 0, 0]
    wanted = (np.arange(12) + 1) / 20
    wanted[4] = matrix.probs_MNC[0, 4, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-mean_N)), wanted, rtol=1e-4)
    with pytest.raises(UsageError, match="frame_answers=true"):
        compute_member_statistics(member, "test", names, matrix.classes, matrix.probs_MNC[0])
    write(run, "test", clips, {names[0]: np.full((2, 3), 1.5)})
    with pytest.raises(UserError, match="without a probability for each class"):
        compute_member_statistics(member, "test", names, matrix.classes, matrix.probs_MNC[0])


def test_a_stack_sees_what_single_frames_tell_and_loses_it_with_their_member(tmp_path, capsys) -> None:
    """The clip's answer of member a is noise, that of one of its frames tells."""
    clips = both(200)
    runs = []
    for n, name in enumerate(("a", "b")):
        probs = {s: answers(clips.of(s), 0.3, n + 1) for s in ("val", "test")}
        runs.append(run_folder(tmp_path / name, clips, probs))
        for split in ("val", "test"):
            of = clips.of(split)
            noise = np.random.default_rng(n).uniform(0.3, 0.5, (len(of), 4, 3))
            if name == "a":
                noise[:, 2] = np.where(of.labels(), 0.97, 0.2)
            write(runs[-1], split, of, dict(zip(of.table["clip"], noise, strict=True)))
    words = ["ensemble", "stack", f"members=[{runs[0]},{runs[1]}]", "report=false", "stacker=logistic"]
    loss = {}
    for asked in ("false", "true"):
        out = tmp_path / asked
        assert main([*words, f"frame_statistics={asked}", f"out={out}", f"paths.runs={tmp_path}"]) == 0
        loss[asked] = pl.read_json(out / "metrics.json")["test/log_loss"][0]
    assert loss["true"] < 0.6 * loss["false"]
    judged = json.loads((tmp_path / "true" / "stack.json").read_text())["judged"]["test"]
    assert {"split", "clips", "not_judged", "sites", "scores", "gain", "best", "members"} <= judged.keys()
    assert [type(c) for c in judged["classes"][0]] == [str, int, float, float, float]
    judged = judged["members"]
    of_a, of_b = (m["gain"] for m in judged)
    assert of_b < 0.1 < of_a
    capsys.readouterr()
    assert main([*words, "frame_statistics=true", "stacker=mean", f"out={tmp_path / 'x'}"]) == 2
    assert "frame_statistics=true needs one of logistic, " in capsys.readouterr().err
