"""The second level: what it reports was never fitted on what it reports, and rows are matched by clip."""

import json

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.ensemble import network, stack, stacking_features, wide_network
from jungle.ensemble.blend import BLENDS
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import build_matrix
from jungle.ensemble.stackers import STACKERS
from jungle.errors import UsageError
from jungle.metrics import calibration_fits
from jungle.metrics.bootstrap import compute_intervals
from jungle.metrics.calibration_fits import calibrate_held_out
from jungle.metrics.cross_validation import split_parts
from jungle.metrics.scores import log_loss
from tests.ensemble.ensemble_cases import CLASSES, answers, both, labelled, members, run_folder


@pytest.fixture(autouse=True)
def small_networks(monkeypatch) -> None:
    """As many layers as ever, but narrow, few and soon done."""
    for name, value in {"NETWORKS": 2, "WIDTH": 32, "EPOCHS": 12}.items():
        monkeypatch.setattr(network, name, value)
    for name in ("OVER_ALL", "OVER_ONE"):
        monkeypatch.setattr(wide_network, name, wide_network.Shape(64, 0.5, 32, 16))


SKILLS = {"good": 3.0, "fair": 2.5, "poor": 1.0}


def fixed(stacker: str, calibration: str = "none") -> stack.Plan:
    return stack.Plan((stacker,), (calibration,))


def test_a_stack_beats_its_best_member_and_writes_all_of_it(tmp_path, capsys) -> None:
    members(tmp_path / "runs", SKILLS)
    clips = both()
    names = clips.of("test").table["clip"].to_list()[::-1]
    shares = {c: [0.3] * len(names) for c in reversed(CLASSES)}
    pl.DataFrame({"filename": names, **shares}).write_csv(tmp_path / "format.csv")
    out = tmp_path / "out"
    args = [
        "ensemble",
        "stack",
        f"members={tmp_path / 'runs'}",
        f"out={out}",
        f"template={tmp_path / 'format.csv'}",
    ]
    assert main(args) == 0
    said = json.loads((out / "stack.json").read_text())
    found = json.loads((out / "metrics.json").read_text())
    judged = said["judged"]["test"]
    assert judged["best"] == "good frozen"
    assert found["test/log_loss"] == pytest.approx(judged["scores"]["log_loss"]["value"])
    assert judged["gain"]["log_loss"]["value"] > 0  # better
    assert found["test/log_loss"] < min(m["log_loss"] for m in judged["members"])
    written = pl.read_csv(out / "submission.csv")
    assert written.columns == ["filename", *reversed(CLASSES)]
    assert written["filename"].to_list() == names
    answered = predictions.read(out / "predictions_test.parquet")
    joined = written.join(answered, left_on="filename", right_on="clip", suffix="_own")
    assert np.allclose(joined["lion"], joined["lion_own"], atol=1e-6)
    page = (out / "report.html").read_text()
    assert all(f"{name} frozen" in page for name in SKILLS)
    before = (out / "report.html").stat().st_mtime_ns
    assert main(args) == 0
    assert "finished already" in capsys.readouterr().err
    assert (out / "report.html").stat().st_mtime_ns == before
    assert main([*args, "stacker=mean"]) == 2
    assert "other members or settings" in capsys.readouterr().err
    assert main([*args, "stacker=mean", "overwrite=true"]) == 0


def test_the_order_of_rows_and_columns_is_nothing(tmp_path) -> None:
    paths = members(tmp_path, SKILLS)
    plain = build_matrix(load_members(paths), "val")
    for split in ("val", "test"):
        file = paths[1] / f"predictions_{split}.parquet"
        mixed = pl.read_parquet(file).sample(fraction=1, shuffle=True, seed=1)
        mixed.select("clip", "status", "reason", *reversed(CLASSES), "times", "attention").write_parquet(file)
    other = build_matrix(load_members(paths), "val")
    assert plain is not None
    assert other is not None
    np.testing.assert_array_equal(plain.probs_MNC, other.probs_MNC)


@pytest.mark.parametrize("name", [*BLENDS, *STACKERS])
def test_every_stacker_uses_what_is_known_and_gives_probabilities(name, tmp_path) -> None:
    matrix = build_matrix(load_members(members(tmp_path, SKILLS, n=240)), "val")
    assert matrix is not None
    at = np.arange(240)
    probs_NC = stack.predict_nested(matrix, at, fixed(name)).probs_NC
    assert ((probs_NC >= 0) & (probs_NC <= 1)).all()
    np.testing.assert_allclose(probs_NC.sum(1), 1, atol=1e-5)
    worst = max(log_loss(p, matrix.targets_NC) for p in matrix.probs_MNC)
    assert log_loss(probs_NC, matrix.targets_NC) < worst


def test_trees_and_network_together_are_the_mean_of_both(tmp_path) -> None:
    matrix = build_matrix(load_members(members(tmp_path, SKILLS)), "val")
    assert matrix is not None
    answers = matrix.rows(np.arange(120))
    of = {
        name: STACKERS[name](answers, matrix.targets_NC, 3, True)[0](answers)
        for name in ("lightgbm", "nn", "lightgbm_nn")
    }
    assert not np.allclose(of["lightgbm"], of["nn"], atol=0.01)
    np.testing.assert_allclose(of["lightgbm_nn"], (of["lightgbm"] + of["nn"]) / 2)


@pytest.mark.parametrize(
    ("stacker", "calibration"),
    [("loglinear", "isotonic"), ("logistic", "clip"), ("lightgbm", "platt"), ("nn", "none")],
)
def test_what_is_reported_was_not_fitted_on(stacker, calibration, tmp_path) -> None:
    """Members of pure noise: a number that was fitted on its own rows would beat the class shares."""
    matrix = build_matrix(load_members(members(tmp_path, {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0})), "val")
    assert matrix is not None
    probs_NC = stack.predict_nested(matrix, np.arange(120), fixed(stacker, calibration)).probs_NC
    y_NC = matrix.targets_NC
    shares = log_loss(np.tile(y_NC.mean(0), (120, 1)), y_NC)
    assert log_loss(probs_NC, y_NC) > shares * 0.97


def test_a_clips_site_never_shapes_its_answer(tmp_path, monkeypatch) -> None:
    matrix = build_matrix(load_members(members(tmp_path, SKILLS)), "val")
    assert matrix is not None
    seen: list[set[int]] = []
    asked: list[set[int]] = []
    original = stack.fit

    def watched(answers, targets_NC, groups_N, plan):
        seen.append(set(groups_N.tolist()))
        return original(answers, targets_NC, groups_N, plan)

    monkeypatch.setattr(stack, "fit", watched)
    parts = split_parts(matrix.targets_NC, matrix.groups_N, stack.PARTS, seed=1)
    asked = [set(matrix.groups_N[held].tolist()) for held in parts]
    stack.predict_nested(matrix, np.arange(120), fixed("mean"))
    assert len(seen) == len(asked) == stack.PARTS
    assert all(not (s & a) for s, a in zip(seen, asked, strict=True))
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))


def test_parts_of_few_clips_are_whole_sites_too() -> None:
    groups_N = np.array([0, 0, 1, 2])
    parts = split_parts(np.eye(4), groups_N, 5, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3]
    assert len(parts) == 3


def test_the_seeds_clipping_is_not_scored_on_the_rows_it_was_tuned_on(monkeypatch) -> None:
    clips = labelled(200, seed=5)
    probs_NC = answers(clips, 3.0, 1, sharp=3.0)
    fitted_on: list[int] = []
    original = calibration_fits.clip

    def watched(p, y, task):
        fitted_on.append(len(p))
        return original(p, y, task)

    monkeypatch.setitem(calibration_fits.CALIBRATIONS, "clip", watched)
    parts = split_parts(clips.targets(), np.arange(200), 5, seed=0)
    calibrate_held_out("clip", probs_NC, clips.targets(), "exclusive", parts)
    assert len(fitted_on) == 5
    assert max(fitted_on) < 200


@pytest.mark.parametrize("name", ["temperature", "platt", "isotonic", "clip"])
@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
def test_calibration_mends_what_is_too_sure(name, task) -> None:
    fit_on, judge_on = labelled(1500, seed=1), labelled(1500, seed=2)
    a, b = (answers(c, 2.0, 7 + i, sharp=3.0) for i, c in enumerate((fit_on, judge_on)))
    move = calibration_fits.CALIBRATIONS[name](a, fit_on.targets(), task)
    assert move.describe()
    assert log_loss(move(b), judge_on.targets()) < log_loss(b, judge_on.targets()) * 0.99
    if task == "exclusive" and name != "clip":
        np.testing.assert_allclose(move(b).sum(1), 1, atol=1e-6)


def test_a_class_of_few_clips_is_left_as_it_is() -> None:
    clips = labelled(60, seed=3)
    y_NC = clips.targets()
    y_NC[:, 2] = 0
    y_NC[0, 2] = 1
    p = answers(clips, 1.0, 1)
    for name in ("platt", "isotonic"):
        move = calibration_fits.CALIBRATIONS[name](p, y_NC, "multilabel")
        np.testing.assert_allclose(move(p)[:, 2], p[:, 2], atol=1e-5)


def test_runs_of_folds_are_one_member_out_of_fold(tmp_path) -> None:
    whole = both(100)
    val = whole.of("val").table["clip"].to_list()
    paths = []
    for k in range(2):
        mine = pl.Series([c not in val or val.index(c) % 2 == k for c in whole.table["clip"]])
        split = pl.Series(
            [
                "val" if m and c in val else "train" if c in val else "test"
                for c, m in zip(whole.table["clip"], mine, strict=True)
            ]
        )
        clips = whole.with_columns(split=split)
        probs = {s: answers(clips.of(s), 2.0, k) for s in ("val", "test")}
        later = {"also": []} if k else {}  # a setting that came between the two runs
        settings = {"model": {"backbone": "net", **later}, "data": {"folds": 2, "fold": k}}
        paths.append(run_folder(tmp_path / f"fold{k}", clips, probs, settings=settings))
    (member,) = load_members([tmp_path])
    assert member.name == "net"
    assert member.runs == tuple(p.resolve() for p in paths)
    assert sorted(member.answers["val"]["clip"]) == sorted(val)
    first = predictions.read(paths[0] / "predictions_test.parquet")
    second = predictions.read(paths[1] / "predictions_test.parquet")
    mean = (predictions.get_probabilities(first) + predictions.get_probabilities(second)) / 2
    np.testing.assert_allclose(predictions.get_probabilities(member.answers["test"]), mean, atol=1e-6)
    matrix = build_matrix([member], "val")
    assert matrix is not None
    assert len(matrix.clips) == 100


def test_the_network_has_the_seeds_layers(monkeypatch) -> None:
    monkeypatch.setattr(network, "WIDTH", 512)
    layers = list(network._layers(193, 24))
    assert [type(x).__name__ for x in layers] == [
        *("BatchNorm1d", "Dropout"),
        *("Linear", "BatchNorm1d", "ReLU", "Dropout") * 2,
        "Linear",
    ]
    assert [(x.in_features, x.out_features) for x in layers if hasattr(x, "in_features")] == [
        (193, 512),
        (512, 512),
        (512, 24),
    ]
    assert [x.p for x in layers if type(x).__name__ == "Dropout"] == [0.15, 0.25, 0.25]


def test_two_runs_of_the_same_settings_on_the_same_clips_are_refused(tmp_path) -> None:
    clips = both(40)
    probs = {"val": answers(clips.of("val"), 1.0, 1)}
    for name in ("one", "two"):
        run_folder(tmp_path / name, clips, probs, settings={"model": {"backbone": "net"}, "data": {}})
    with pytest.raises(UsageError, match="same settings and both use"):
        load_members([tmp_path])


def test_what_cannot_be_a_member_is_said(tmp_path, capsys) -> None:
    paths = members(tmp_path / "runs", {"a": 1.0, "b": 1.0})
    out = f"out={tmp_path / 'out'}"

    def refused(*args: str) -> str:
        assert main(["ensemble", "stack", out, *args]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("error: ")
        return said

    assert "no such folder" in refused(f"members={tmp_path / 'nowhere'}")
    assert "nothing matches this pattern" in refused(f"members={tmp_path / 'x*'}")
    (paths[1] / "run.json").write_text('{"state": "running"}')
    assert "has not finished" in refused(f"members={tmp_path / 'runs'}")
    (paths[1] / "run.json").unlink()
    half = predictions.read(paths[1] / "predictions_val.parquet")[:50]
    predictions.write(half, paths[1] / "predictions_val.parquet")
    assert "has predicted" in refused(f"members={tmp_path / 'runs'}")
    (tmp_path / "format.csv").write_text("filename,blank,hog,lion\nnobody.mp4,0,0,0\n")
    assert "have not predicted 1 of its 1 clip, as" in refused(
        f"members={paths[0]}", f"template={tmp_path / 'format.csv'}"
    )
    assert "no time" in refused(f"members={paths[0]}", "neighbours=true")
    assert "Nearest: loglinear" in refused(f"members={paths[0]}", "stacker=loglinar")


def test_a_member_of_one_class_helps_with_that_class_alone(tmp_path) -> None:
    paths = members(tmp_path, {"all": 1.0})
    clips = both()
    probs = {s: np.clip(clips.of(s).labels()[:, :1] * 0.96 + 0.02, 0, 1) for s in ("val", "test")}
    paths.append(run_folder(tmp_path / "blank_only", clips, probs, classes=("blank",)))
    matrix = build_matrix(load_members(paths), "val")
    assert matrix is not None
    assert np.isnan(matrix.probs_MNC[1][:, 1:]).all()
    assert stacking_features.build_features(matrix.rows(np.arange(120))).shape == (120, 4)
    for name in (*BLENDS, "logistic"):
        probs_NC = stack.predict_nested(matrix, np.arange(120), fixed(name)).probs_NC
        assert log_loss(probs_NC[:, :1], matrix.targets_NC[:, :1]) < log_loss(
            matrix.probs_MNC[0][:, :1], matrix.targets_NC[:, :1]
        )


def test_neighbours_are_those_of_the_same_camera(tmp_path) -> None:
    clips = both(40)
    times = pl.Series([f"2020-01-01T00:{i:02d}:00" for i in range(40)][::-1] * 2)
    timed = Clips(clips.table.with_columns(time=times), CLASSES)
    probs = {"val": answers(timed.of("val"), 1.0, 1)}
    matrix = build_matrix(load_members([run_folder(tmp_path / "a", timed, probs)]), "val")
    assert matrix is not None
    seen_NF = stacking_features.build_neighbour_features(matrix)
    site = matrix.clips.table["site"].to_list()
    before = next(i for i in range(38, -1, -1) if site[i] == site[39]) if site[39] in site[:39] else 39
    own_NC = stacking_features.build_features(matrix.rows(np.arange(40)))
    np.testing.assert_allclose(seen_NF[before, :3], own_NC[39], atol=1e-5)  # times run backwards
    timeless = build_matrix(load_members(members(tmp_path / "b", {"a": 1.0})), "val")
    assert timeless is not None
    with pytest.raises(UsageError, match="no time"):
        stacking_features.build_neighbour_features(timeless)


def test_intervals_hold_the_truth_and_sites_count_as_one() -> None:
    clips = labelled(300, sites=10, seed=9)
    probs_NC, y_NC = answers(clips, 2.0, 1), clips.targets()
    found = compute_intervals(probs_NC, y_NC, np.arange(300))["log_loss"]
    assert found.low < found.value < found.high
    cells = -np.log(np.where(y_NC == 1, probs_NC, 1 - probs_NC)).mean(1)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * cells.std() / np.sqrt(300), rel=0.15)
    same = compute_intervals(probs_NC, y_NC, np.arange(300), probs_NC)["log_loss"]
    assert (same.low, same.value, same.high) == (0, 0, 0)
    pairs_N = np.repeat(np.arange(300), 2)
    twice = compute_intervals(probs_NC[pairs_N], y_NC[pairs_N], pairs_N)["log_loss"]
    assert (twice.low, twice.high) == pytest.approx((found.low, found.high))  # a copy of each is no evidence


def test_unlabelled_clips_are_answered_and_do_not_count(tmp_path) -> None:
    clips = both(60)
    dark = pl.Series([i % 3 == 0 for i in range(120)])
    blinded = Clips(
        clips.table.with_columns(pl.when(dark).then(None).otherwise(pl.col(c)).alias(c) for c in CLASSES),
        CLASSES,
    )
    probs = {s: answers(clips.of(s), 2.0, 1) for s in ("val", "test")}
    run_folder(tmp_path / "a", blinded, probs)
    assert (
        main(["ensemble", "stack", f"members={tmp_path / 'a'}", f"out={tmp_path / 'out'}", "report=false"])
        == 0
    )
    assert len(predictions.read(tmp_path / "out" / "predictions_val.parquet")) == 60
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["val/clips"] == 40
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_report_alone_fits_nothing(tmp_path, capsys) -> None:
    members(tmp_path / "runs", SKILLS)
    page = tmp_path / "page.html"
    assert main(["ensemble", "report", f"members={tmp_path / 'runs'}", f"out={page}"]) == 0
    matrix = build_matrix(load_members([tmp_path / "runs"]), "test")
    assert matrix is not None
    mean = log_loss(matrix.probs_MNC.mean(0), matrix.targets_NC)
    assert f"<b>{mean:.4f}</b>" in page.read_text()
    assert main(["ensemble", "report", f"members={tmp_path / 'runs'}", f"out={tmp_path}"]) == 2
    assert "ends in .html" in capsys.readouterr().err
