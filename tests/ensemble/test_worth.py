"""The gain of an ensemble: one sign, over the best member that is calibrated in the same way."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from jungle.cli.entry import main
from jungle.ensemble import stack
from jungle.ensemble.evaluation import evaluate, find_best
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import PredictionMatrix, build_matrix
from jungle.metrics.scores import log_loss
from tests.ensemble.ensemble_cases import CLASSES, answers, both, members, run_folder


def stacked(tmp_path: Path, *args: str) -> tuple[dict, str]:
    out = tmp_path / "out"
    words = ["ensemble", "stack", f"members={tmp_path / 'runs'}", f"out={out}", "overwrite=true", *args]
    assert main(words) == 0
    page = re.sub(r"<[^>]+>|\s+", " ", (out / "report.html").read_text())
    return json.loads((out / "stack.json").read_text()), re.sub(r"\s+", " ", page)


def matrix(paths: list[Path], split: str = "val") -> PredictionMatrix:
    found = build_matrix(load_members(paths), split)
    assert found is not None
    return found


def test_a_gain_above_zero_is_better_and_below_is_worse(tmp_path) -> None:
    val = matrix(members(tmp_path, {"good": 3.0, "poor": 0.5}))
    good, poor = val.probs_MNC
    for probs_NC, sign in ((good, 0), (poor, -1), (np.where(val.targets_NC == 1, 0.99, 0.005), 1)):
        found = evaluate(val, probs_NC, "val", None)
        assert found is not None
        gain = found.gain["log_loss"]
        assert np.sign(round(gain.value, 6)) == sign
        assert gain.low <= gain.value <= gain.high
        assert gain.value == pytest.approx(
            log_loss(good, val.targets_NC) - log_loss(probs_NC, val.targets_NC), abs=1e-6
        )
        assert np.sign(found.gain["accuracy"].value) in (sign, 0)


def test_a_member_that_helps_has_a_gain_above_zero(tmp_path) -> None:
    val = matrix(members(tmp_path, {"good": 3.0, "poor": -1.0}))
    found = evaluate(val, val.probs_MNC.mean(0), "val", lambda some: val.probs_MNC[some].mean(0))
    assert found is not None
    gains = {row.name: row.gain or 0.0 for row in found.members}
    assert gains["good frozen"] > 0 > gains["poor frozen"]


def test_members_that_are_too_sure_are_calibrated_before_they_are_compared(tmp_path, capsys) -> None:
    """The log loss of the best member alone falls by a temperature; that is no gain of joining."""
    members(tmp_path / "runs", {"good": 1.5, "poor": -0.5}, n=240, sharp=4.0)
    said, page = stacked(tmp_path, "stacker=greedy", "calibration=temperature")
    judged = said["judged"]["test"]
    best = next(m for m in judged["members"] if m["name"] == judged["best"])
    assert best["calibrated"] < best["log_loss"] * 0.8
    assert judged["gain"]["log_loss"]["value"] == pytest.approx(
        best["calibrated"] - judged["scores"]["log_loss"]["value"]
    )
    assert said["alone"] == "good frozen"
    assert said["about"]["stacker"]["weights"] == [1.0, 0.0]
    assert abs(judged["gain"]["log_loss"]["value"]) < 1e-3  # it is that member, calibrated
    assert "All the weight is on good frozen: this stack is that model calibrated" in page
    assert "comes from calibration alone" in page
    told = capsys.readouterr().err
    assert "all the weight is on good frozen" in told
    assert "gain over the best member (good frozen, calibrated in the same way): " in told
    assert "above 0 is better" in told


def test_the_page_has_one_sign_and_says_it(tmp_path) -> None:
    members(tmp_path / "runs", {"good": 3.0, "fair": 2.5, "poor": 1.0})
    said, page = stacked(tmp_path)
    judged = said["judged"]["test"]
    assert f"Gain over the best member {judged['gain']['log_loss']['value']:+.4f}" in page
    assert "above 0 is better, everywhere on this page" in page
    assert "below 0" not in page
    assert "Better than the best member" not in page
    for row in judged["members"]:
        assert f"{row['calibrated']:.4f}" in page
    value, loss = judged["gain"]["log_loss"]["value"], judged["scores"]["log_loss"]["value"]
    assert f"alone, calibrated in the same way, is {loss + value:.4f}" in page
    assert said["alone"] is None
    assert "All the weight" not in page


def test_a_stacker_that_calibrates_by_its_weights_is_compared_with_calibrated_members_too(tmp_path) -> None:
    members(tmp_path / "runs", {"good": 1.5, "poor": -0.5}, n=240, sharp=4.0)
    judged = stacked(tmp_path, "stacker=loglinear", "calibration=none")[0]["judged"]["test"]
    best = next(m for m in judged["members"] if m["name"] == judged["best"])
    assert best["calibrated"] < best["log_loss"] * 0.8


def test_nothing_is_calibrated_where_nothing_is_fitted(tmp_path) -> None:
    members(tmp_path / "runs", {"good": 3.0, "fair": 2.5})
    said, page = stacked(tmp_path, "stacker=mean", "calibration=none")
    assert all(m["calibrated"] is None for m in said["judged"]["test"]["members"])
    assert "calibrated in the same way" not in page
    out = tmp_path / "page.html"
    assert main(["ensemble", "report", f"members={tmp_path / 'runs'}", f"out={out}"]) == 0
    alone = re.sub(r"<[^>]+>|\s+", " ", out.read_text())
    assert "Gain over the best member" in alone
    assert "Neither the members nor their mean are calibrated" in alone


def test_a_calibration_of_a_member_does_not_see_what_it_is_judged_on(tmp_path) -> None:
    val = matrix(members(tmp_path, {"noise": 0.0}))
    plan = stack.Plan(("mean",), ("isotonic",))
    (probs_NC,) = stack.calibrate_members(val, np.arange(120), plan)
    shares = log_loss(np.tile(val.targets_NC.mean(0), (120, 1)), val.targets_NC)
    assert log_loss(probs_NC, val.targets_NC) > shares * 0.97


def test_the_best_member_knows_all_classes(tmp_path) -> None:
    """A blank-or-not model is filled up with the others' answers, and so is no model by itself."""
    (whole,) = members(tmp_path, {"whole": 1.0})
    clips = both()
    blank = {s: answers(clips.of(s), 4.0, 5)[:, :1] for s in ("val", "test")}
    part = run_folder(tmp_path / "part", clips, blank, classes=CLASSES[:1])
    assert find_best(matrix([whole, part]), [0.3, 0.1]) == 0
    assert find_best(matrix([whole]), [0.3]) == 0


def test_one_model_is_compared_with_itself_as_it_is(tmp_path) -> None:
    members(tmp_path / "runs", {"good": 1.5}, n=240, sharp=4.0)
    said, page = stacked(tmp_path, "calibration=temperature")
    assert "Gain by calibration" in page
    assert "Gain over the best member" not in page
    assert (
        said["judged"]["test"]["scores"]["log_loss"]["value"]
        < said["judged"]["test"]["members"][0]["log_loss"]
    )
