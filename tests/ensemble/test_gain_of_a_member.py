"""The gain of a member: the difference of two log losses that the page shows, made in the same way."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data.clips import Clips
from jungle.ensemble import stack, stacking_features
from jungle.ensemble.evaluation import ClassScore
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import PredictionMatrix, build_matrix
from jungle.metrics.scores import log_loss
from jungle.report.ensemble import _is_worse
from jungle.report.formatting import format_gain
from tests.ensemble.ensemble_cases import CLASSES, answers, both, members, run_folder

SKILLS = {"good": 2.0, "fair": 1.6, "poor": 0.5}


def stacked(root: Path, *args: str, val_only: bool = False) -> tuple[dict, str]:
    """Stack the runs in `runs`, with their predictions for test clips or without."""
    if val_only:
        for file in (root / "runs").glob("*/predictions_test.parquet"):
            file.unlink()
    out = root / "out"
    words = ["ensemble", "stack", f"members={root / 'runs'}", f"out={out}", "overwrite=true", *args]
    assert main(words) == 0
    return json.loads((out / "stack.json").read_text()), (out / "report.html").read_text()


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of the members' table by the name of the model."""
    section = page.split("<h2>Members</h2>")[1].split("</table>")[0]
    found = {}
    for row in section.split("<tbody>")[1].split("<tr")[1:]:
        cells = [re.sub(r"<[^>]+>", " ", c) for c in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        found[re.split(r"\s{2,}", cells[0].strip())[0]] = [" ".join(c.split()) for c in cells]
    return found


def matrix(root: Path, split: str = "val") -> PredictionMatrix:
    found = build_matrix(load_members([root / "runs"]), split)
    assert found is not None
    return found


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_gain_is_the_difference_of_two_shown_log_losses(split, tmp_path) -> None:
    members(tmp_path / "runs", {"good": 2.0, "fair": 1.6}, n=60)
    said, page = stacked(tmp_path, val_only=split == "val")
    judged = said["judged"][split]
    assert next(iter(said["judged"])) == split
    together = judged["scores"]["log_loss"]["value"]
    assert judged["whole"] == pytest.approx(together, abs=1e-9)
    shown = rows(page)
    assert shown["ensemble"][1] == f"{together:.4f}"
    for row in judged["members"]:
        assert row["gain"] == pytest.approx(row["without"] - together, abs=1e-9)
        without, gain = shown[row["name"]][-2:]
        assert float(gain) == pytest.approx(float(without) - float(shown["ensemble"][1]), abs=1e-9)
    if split == "val":  # without a member, each part makes its choices again
        val = matrix(tmp_path)
        plan = stack.make_plan("auto", "auto", 60, False, 0)
        rest = stack.predict_nested(val.of([1]), np.arange(60), plan)
        left_out = next(m for m in judged["members"] if m["name"] == val.names[0])
        assert left_out["without"] == pytest.approx(log_loss(rest.probs_NC, val.targets_NC), abs=1e-9)


def test_a_quick_comparison_shows_its_own_log_loss_of_all_members(tmp_path) -> None:
    members(tmp_path / "runs", SKILLS, n=60)
    said, page = stacked(tmp_path, "stacker=lightgbm", "calibration=temperature", val_only=True)
    judged = said["judged"]["val"]
    assert judged["whole"] != pytest.approx(judged["scores"]["log_loss"]["value"], abs=1e-4)
    shown = rows(page)
    assert shown["ensemble"][-2] == f"with all: {judged['whole']:.4f}"
    assert "in less time and without calibration" in page
    for row in judged["members"]:
        assert row["gain"] == pytest.approx(row["without"] - judged["whole"])
        without, gain = shown[row["name"]][-2:]
        assert float(gain) == pytest.approx(float(without) - round(judged["whole"], 4), abs=1e-9)


def test_slow_stackers_and_many_clips_are_compared_by_the_chosen_stacker_alone() -> None:
    fast = stack.Plan(("mean", "logistic"), ("none", "temperature"), 3)
    assert stack.make_comparison_plan(fast, "logistic", stack.MANY - 1) is fast
    quick = stack.Plan(("logistic",), ("none",), 3, quick=True)
    assert stack.make_comparison_plan(fast, "logistic", stack.MANY) == quick
    for slow in ("lightgbm", "nn", "lightgbm_nn", "primatrix_first"):
        found = stack.make_comparison_plan(stack.Plan((slow,), ("clip",)), slow, 100)
        assert found == stack.Plan((slow,), ("none",), quick=True)


def test_without_a_member_its_answers_to_neighbours_are_not_used(tmp_path, monkeypatch) -> None:
    clips = both(60)
    clips = Clips(clips.table.with_columns(time=pl.lit("2020-01-01T00:00:00")), CLASSES)
    for i, name in enumerate("ab"):
        probs = {s: answers(clips.of(s), 2.0, i) for s in ("val", "test")}
        run_folder(tmp_path / "runs" / name, clips, probs)
    seen: list[tuple[str, ...]] = []
    original = stacking_features.build_neighbour_features

    def watched(matrix: PredictionMatrix) -> np.ndarray:
        seen.append(matrix.names)
        return original(matrix)

    monkeypatch.setattr(stacking_features, "build_neighbour_features", watched)
    stacked(tmp_path, "stacker=logistic", "neighbours=true")
    assert {("a frozen",), ("b frozen",)} <= set(seen)


def test_without_a_member_it_fills_no_clip_that_another_could_not_read(tmp_path) -> None:
    members(tmp_path / "runs", SKILLS)
    found = matrix(tmp_path)
    unread_MN = found.unread_MN.copy()
    unread_MN[0, 0] = True
    found = replace(found, unread_MN=unread_MN)
    pair = found.of([0, 1])
    np.testing.assert_allclose(pair.probs_MNC[0, 0], found.probs_MNC[1, 0], atol=1e-6)
    np.testing.assert_array_equal(pair.probs_MNC[0, 1:], found.probs_MNC[0, 1:])
    assert np.isfinite(found.of([0]).probs_MNC).all()  # no other member is left; the clip is not scored


def test_a_blank_or_not_model_is_no_ensemble_without_the_others(tmp_path) -> None:
    clips = both(60)
    probs = {s: answers(clips.of(s), 2.0, i) for i, s in enumerate(("val", "test"))}
    run_folder(tmp_path / "runs" / "whole", clips, probs)
    blank = {s: p[:, :1] for s, p in probs.items()}
    run_folder(tmp_path / "runs" / "blank", clips, blank, classes=CLASSES[:1])
    said, page = stacked(tmp_path, "stacker=mean")
    found = {m["name"]: m for m in said["judged"]["test"]["members"]}
    assert found["whole frozen"]["without"] is None
    assert found["whole frozen"]["gain"] is None
    assert found["blank frozen"]["gain"] is not None
    assert rows(page)["whole frozen"][-2:] == ["–", "–"]


def test_parts_that_choose_one_member_are_named_where_the_final_fit_uses_several(
    tmp_path, monkeypatch, capsys
) -> None:
    members(tmp_path / "runs", {"good": 2.0, "poor": -0.5}, sharp=4.0)
    original = stack.fit

    def fitted(answers, targets_NC, groups_N, plan):
        whole = len(answers) == 120 and len(answers.probs_MNC) == 2
        return original(
            answers, targets_NC, groups_N, replace(plan, stackers=("loglinear",)) if whole else plan
        )

    monkeypatch.setattr(stack, "fit", fitted)
    said, page = stacked(tmp_path, "stacker=greedy", "calibration=temperature", val_only=True)
    assert said["alone"] is None
    assert [part["alone"] for part in said["nested"]] == ["good frozen"] * 5
    assert min(said["about"]["stacker"]["weights"]) > 0
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "In each of the 5 fits that give the validation scores, all the weight is on good frozen" in text
    assert "5 of 5: greedy choice, calibration: temperature, all the weight on good frozen" in text
    assert "All the weight is on" not in text
    assert "all the weight is on good frozen in each of the 5 fits" in capsys.readouterr().err
    gain = said["judged"]["val"]["gain"]["log_loss"]["value"]
    assert abs(gain) < 5e-5  # the model itself
    assert "Gain over the best member 0.0000 " in text
    assert "interval 0.0000 to 0.0000: no clear difference" in text
    assert "-0.0000" not in page
    assert "+0.0000" not in page
    assert 'class="bar clay"' not in page


@pytest.mark.parametrize(
    ("value", "text"), [(-3e-11, "0.0000"), (3e-11, "0.0000"), (0.0068, "+0.0068"), (-0.00006, "-0.0001")]
)
def test_a_gain_that_is_shown_as_zero_has_no_sign(value, text) -> None:
    assert format_gain(value) == text


def test_a_class_is_worse_only_where_the_shown_log_losses_differ() -> None:
    def score(own: float, best: float) -> ClassScore:
        return ClassScore("hog", 3, own, 0.5, best)

    assert not _is_worse(score(0.26803532, 0.26803531))
    assert not _is_worse(score(0.2, 0.3))
    assert _is_worse(score(0.2682, 0.2680))


def test_members_of_the_same_name_are_told_apart_by_their_folders(tmp_path, monkeypatch) -> None:
    clips = both(60)
    runs = tmp_path / "runs"
    for i, name in enumerate(("0", "1")):
        probs = {s: answers(clips.of(s), 2.0, i) for s in ("val", "test")}
        settings = {"model": {"backbone": "net"}, "seed": i}
        run_folder(runs / name, clips, probs, settings=settings)
    for k in range(2):  # two folds of one model
        val = clips.table["split"] == "val"
        mine = pl.Series(np.arange(len(val)) % 2 == k)
        split = pl.select(
            pl.when(~val).then(pl.lit("test")).when(mine).then(pl.lit("val")).otherwise(pl.lit("train"))
        ).to_series()
        own = clips.with_columns(split=split)
        probs = {s: answers(own.of(s), 2.0, k) for s in ("val", "test")}
        settings = {"model": {"backbone": "folded"}, "data": {"folds": 2, "fold": k}}
        run_folder(tmp_path / "more" / f"fold{k}", own, probs, settings=settings)
    words = ["ensemble", "report", f"members=[{runs},{tmp_path / 'more'}]"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (tmp_path, elsewhere):
        monkeypatch.chdir(folder)
        assert main([*words, f"out={folder / 'page.html'}"]) == 0
        page = (folder / "page.html").read_text()
        shown = {name: cells[0] for name, cells in rows(page).items()}
        assert shown["net"] == "net runs/0"
        assert shown["net (2)"] == "net (2) runs/1"
        assert shown["folded"] == "folded more: fold0, fold1"
        assert str(tmp_path) not in page
    assert main([*words, f"out={tmp_path / 'page.html'}", "report_paths=true"]) == 0
    assert str(runs / "1") in (tmp_path / "page.html").read_text()
