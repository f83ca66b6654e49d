"""Results of an earlier command never stand beside those of a later one as if they were its own."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.commands import ensemble_stack
from jungle.data.predictions import ClipPrediction
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import DERIVED, Rows
from tests.ensemble.ensemble_cases import CLASSES, both, members


def predicted(out: Path, clips: str, p: float = 0.5) -> None:
    with Rows(out, {"ckpt": ["a"]}, ("lion", "hog"), overwrite=False) as rows:
        for clip in clips:
            probs = np.array([p, 1 - p], np.float32)
            rows.add(clip, "k", ClipPrediction(probs=probs))
        rows.finish([ClipRequest(clip, None) for clip in clips])


def derived(out: Path) -> list[str]:
    return [name for name in DERIVED if (out / name).exists()]


@pytest.mark.parametrize(("clips", "p"), [("ab", 0.5), ("abcd", 0.5), ("abc", 0.9), ("cba", 0.5)])
def test_a_submission_and_a_page_of_other_predictions_are_removed(tmp_path, clips, p) -> None:
    predicted(tmp_path, "abc")
    for name in DERIVED:
        (tmp_path / name).write_text("of abc")
    predicted(tmp_path, "abc")
    assert derived(tmp_path) == list(DERIVED)  # of the same rows: theirs still
    predicted(tmp_path, clips, p)
    assert not derived(tmp_path)


def test_a_stack_leaves_and_names_its_own_results_only(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ensemble_stack, "write_ensemble_report", lambda page, **_: page.write_text("a page"))
    members(tmp_path / "runs", {"good": 3.0})
    names = both().of("test").table["clip"].to_list()
    template, out = tmp_path / "format.csv", tmp_path / "out"
    pl.DataFrame({"filename": names, **{c: [0.3] * len(names) for c in CLASSES}}).write_csv(template)
    args = ["ensemble", "stack", f"members={tmp_path / 'runs'}", f"out={out}"]
    args += ["stacker=mean", "calibration=none"]
    assert main([*args, f"template={template}"]) == 0
    assert {"submission.csv", "report.html"} <= {f.name for f in out.iterdir()}
    capsys.readouterr()
    assert main([*args, "report=false", "overwrite=true"]) == 0
    said = capsys.readouterr().out
    assert "predictions_test.parquet" in said
    for what in ("submission", "report"):
        assert what not in said
        assert not list(out.glob(f"{what}.*"))
    assert main(args) == 0  # the same, with a page that was not asked for before
    assert "report: " in capsys.readouterr().out
    (out / "predictions_val.parquet").unlink()
    assert main(args) == 0
    assert (out / "predictions_val.parquet").is_file()
