"""The first place's second level: its network, its trees, what it joins, and its rule for soft labels."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.ensemble import stackers, wide_network
from jungle.ensemble.agreement import compute_deviation
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import StackerInput, build_matrix
from jungle.ensemble.wide_network import OVER_ALL, OVER_ONE, Shape, compute_rate, fit_wide
from jungle.metrics.scores import log_loss
from tests.ensemble.ensemble_cases import CLASSES, members


def test_the_schedule_is_the_first_places() -> None:
    assert [compute_rate(e) for e in (0, 31, 32, 47, 48, 79, 80, 127)] == [
        1e-3, 1e-3, 4e-4, 4e-4, 1e-4, 1e-4, 1e-5, 1e-5,
    ]  # fmt: skip
    assert [compute_rate(e, 4) for e in (0, 7, 8, 11, 12, 19, 20)] == [
        1e-3,
        1e-3,
        4e-4,
        4e-4,
        1e-4,
        1e-4,
        1e-5,
    ]
    assert (OVER_ALL.width, OVER_ALL.dropout, OVER_ALL.second, OVER_ALL.epochs) == (2048, 0.75, 128, 80)
    assert (OVER_ONE.width, OVER_ONE.dropout, OVER_ONE.second, OVER_ONE.epochs) == (1024, 0.5, 128, 128)


def test_the_network_learns_each_class_by_itself_and_knows_what_is_unknown() -> None:
    rng = np.random.default_rng(0)
    x_NF = rng.normal(5, 3, (400, 6)).astype(np.float32)
    y_NC = (x_NF[:, :2] > 5).astype(np.float32)  # both, one or none of the two
    y_NC[::3, 1] = np.nan
    predict = fit_wide(x_NF[:300], y_NC[:300], 0, Shape(64, 0.5, 60))
    probs_NC = predict(x_NF[300:])
    assert probs_NC.shape == (100, 2)
    assert log_loss(probs_NC, (x_NF[300:, :2] > 5).astype(np.float32)) < 0.35
    assert (probs_NC.sum(1) > 1.5).any()
    assert (probs_NC.sum(1) < 0.5).any()
    again = fit_wide(x_NF[:300], y_NC[:300], 0, Shape(64, 0.5, 60))
    np.testing.assert_allclose(again(x_NF[300:]), probs_NC, atol=1e-6)
    far = fit_wide(x_NF[:300], y_NC[:300], 1, Shape(64, 0.5, 60), quick=True)(x_NF[300:])
    assert not np.allclose(far, probs_NC, atol=0.01)


def test_the_penalty_holds_the_last_layer_small(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(200, 4)).astype(np.float32)
    y_NC = (x_NF[:, :1] > 0).astype(np.float32)
    monkeypatch.setattr(wide_network, "L1", 1.0)
    flat = fit_wide(x_NF, y_NC, 0, Shape(32, 0.0, 40))(x_NF)
    assert flat.std() < 0.02


@pytest.mark.parametrize(("clips", "trees", "rate"), [
    (10, 120, 0.05), (800, 120, 0.05), (1_000, 120, 0.05), (200_000, 1600, 0.03), (10**6, 1600, 0.03),
])  # fmt: skip
def test_the_number_of_trees_goes_with_that_of_the_clips(clips: int, trees: int, rate: float) -> None:
    assert stackers.choose_forest(clips) == (trees, pytest.approx(rate))


def test_more_clips_never_have_fewer_trees() -> None:
    found = [stackers.choose_forest(n) for n in (1000, 3000, 10_000, 50_000, 200_000)]
    assert [trees for trees, _ in found] == sorted({trees for trees, _ in found})
    assert [rate for _, rate in found] == sorted({rate for _, rate in found}, reverse=True)


def test_a_member_alone_sees_its_own_columns_and_those_of_nobody() -> None:
    extra_NF = np.arange(12.0).reshape(2, 6)
    answers = StackerInput(np.arange(18.0).reshape(3, 2, 3), extra_NF, "multilabel", (1, 0, 3))
    for i, columns in enumerate(([0, 1, 2], [0, 1], [0, 1, 3, 4, 5])):
        alone = answers.member(i)
        np.testing.assert_array_equal(alone.probs_MNC, answers.probs_MNC[i : i + 1])
        np.testing.assert_array_equal(alone.extra_NF, extra_NF[:, columns])
        np.testing.assert_array_equal(answers.rows(np.array([1])).member(i).extra_NF, extra_NF[1:, columns])
    plain = StackerInput(answers.probs_MNC, extra_NF, "multilabel").member(2)
    np.testing.assert_array_equal(plain.extra_NF, extra_NF)


def test_all_members_weigh_four_times_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"OVER_ALL": Shape(16, 0.5, 6, 8), "OVER_ONE": Shape(8, 0.5, 6, 8)}
    for name, shape in small.items():
        monkeypatch.setattr(wide_network, name, shape)
    matrix = build_matrix(load_members(members(tmp_path, {"good": 3.0, "poor": 1.0})), "val")
    assert matrix is not None
    answers = matrix.rows(np.arange(120))

    def both(seen: StackerInput, name: str) -> np.ndarray:
        trees = stackers.lightgbm(seen, matrix.targets_NC, 3)[0](seen)
        x = stackers.build_features(seen)
        wide = stackers.normalise(fit_wide(x, matrix.targets_NC, 3, small[name])(x), seen.task)
        return (trees + wide) / 2

    alone = [both(answers.member(i), "OVER_ONE") for i in range(2)]
    wanted = (4 * both(answers, "OVER_ALL") + np.mean(alone, axis=0)) / 5
    found, about = stackers.primatrix_first(answers, matrix.targets_NC, 3)
    np.testing.assert_allclose(found(answers), wanted, atol=1e-6)
    assert about == {"together": 0.8}


def test_deviation_is_the_sum_over_members_and_classes() -> None:
    probs_MNC = np.array([[[0.1, 0.9], [0.5, 0.5]], [[0.1, 0.9], [0.9, 0.1]], [[0.1, 0.9], [0.1, 0.9]]])
    np.testing.assert_allclose(compute_deviation(probs_MNC), [0, 4 * 0.16], atol=1e-12)


def test_clips_of_small_deviation_are_taken_with_the_mean(tmp_path: Path, capsys) -> None:
    runs = members(tmp_path / "runs", {"a": 1.5, "b": 1.5})
    matrix = build_matrix(load_members(runs), "test")
    assert matrix is not None
    named = f"members=[{','.join(map(str, runs))}]"
    assert main(["ensemble", "pseudo", named, f"out={tmp_path / 'out'}", "deviation=0.1"]) == 0
    soft = pl.read_parquet(tmp_path / "out" / "pseudo.parquet")
    near_N = compute_deviation(matrix.probs_MNC) < 0.1
    assert 5 < near_N.sum() < len(near_N) - 5
    assert soft["clip"].to_list() == matrix.clips.table["clip"].filter(pl.Series(near_N)).to_list()
    mean_NC = matrix.probs_MNC.mean(0)[near_N]
    np.testing.assert_allclose(soft.select(CLASSES).to_numpy(), mean_NC, atol=1e-6)
    assert (mean_NC.max(1) < 0.9).any()  # which the other rule would leave out
    asked = pl.read_csv(tmp_path / "out" / "to_label.csv")["filepath"]
    assert not set(asked) & set(soft["clip"])
    said = capsys.readouterr().err
    assert f"{near_N.sum()} of {len(near_N)} test clips taken" in said
    assert "the 2 members' squared differences add up to less than 0.1" in said
    code = main(["ensemble", "pseudo", named, f"out={tmp_path / 'two'}", "deviation=0.1", "threshold=0.8"])
    assert code == 2
    assert "deviation is a rule of its own" in capsys.readouterr().err
