"""The picture of a sweep: which trials are one line, in which order, and what is written beside them."""

from typing import Any

import polars as pl
import pytest
from matplotlib.figure import Figure

from jungle.report import sweep
from jungle.report.sweep import draw_sweep, group_trials

SCORE = "val/log_loss"


def trials() -> pl.DataFrame:
    rows = [("gru", "0", 0.4), ("gru", "1", 0.2), ("mean", "0", 0.25), ("mean", "1", 0.25), ("max", "0", 0.5)]
    return pl.DataFrame([*rows, ("max", "1", None)], schema=["head", "data.fold", SCORE], orient="row")


def drawn(monkeypatch, tmp_path, *args: Any) -> list[str]:
    """All texts of the picture."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    table, settings, score, best_is = args
    draw_sweep(table, settings, score, best_is, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    (axes,) = figures[0].axes
    labels = [t.get_text() for t in axes.get_yticklabels()]
    return [figures[0].get_suptitle(), axes.get_xlabel(), *labels, *[t.get_text() for t in axes.texts]]


def test_folds_are_one_line_and_the_best_mean_is_first() -> None:
    lines = group_trials(trials(), ["head", "data.fold"], SCORE, "min")
    assert [(x.label, x.mean) for x in lines] == [
        ("head=mean", 0.25),
        ("head=gru", pytest.approx(0.3)),
        ("head=max", 0.5),
    ]
    assert group_trials(trials(), ["head", "data.fold"], SCORE, "max")[0].label == "head=max"
    apart = group_trials(trials(), ["head"], SCORE, "min")  # without data.fold they are the same settings
    assert len(apart) == 3


def test_everything_is_labelled(monkeypatch, tmp_path) -> None:
    texts = drawn(monkeypatch, tmp_path, trials(), ["head", "data.fold"], SCORE, "min")
    assert texts == [
        "Sweep of 6 trials, the best on top; pale dots are folds, the dark one is their mean",
        "val/log_loss (lower is better)",
        *["head=mean", "head=gru", "head=max"],
        *["0.2500  best", "0.3000", "0.5000  (1 of 2 folds)"],
    ]


def test_more_trials_than_fit_are_counted_and_none_is_no_fault(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sweep, "MOST", 2)
    texts = drawn(monkeypatch, tmp_path, trials(), ["head", "data.fold"], SCORE, "min")
    assert texts[0].endswith("; 1 more in sweep_results.csv")
    texts = drawn(monkeypatch, tmp_path, trials().clear(), ["head"], SCORE, "min")
    assert texts[0] == "Sweep of 0 trials: none has a score"
