"""A stack that has something to choose needs a site to judge it by, beside those that it chose by."""

from pathlib import Path

import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data.clips import Clips
from tests.ensemble.ensemble_cases import CLASSES, answers, labelled, run_folder


def stacked(root: Path, sites: int, *more: str) -> int:
    clips = Clips(
        pl.concat([labelled(36, sites, split="val").table, labelled(12, 2, 1, "test").table]), CLASSES
    )
    for i, name in enumerate("ab"):
        probs = {s: answers(clips.of(s), 2.0, i) for s in ("val", "test")}
        run_folder(root / "runs" / name, clips, probs)
    words = [f"members={root / 'runs'}", f"out={root / 'out'}", "report=false", *more]
    return main(["ensemble", "stack", *words])


@pytest.mark.parametrize("more", [(), ("stacker=mean",), ("calibration=none",)])
def test_two_sites_are_refused_with_the_number_that_is_needed(tmp_path, capsys, more) -> None:
    assert stacked(tmp_path, 2, *more) == 2
    said = capsys.readouterr().err
    assert "at least three sites, two to choose on and one to predict; these are of two" in said
    assert not (tmp_path / "out" / "predictions_test.parquet").exists()


@pytest.mark.parametrize(
    ("sites", "more"), [(2, ("stacker=mean", "calibration=none")), (3, ("stacker=mean",))]
)
def test_as_many_sites_as_are_needed_are_enough(tmp_path, sites, more) -> None:
    assert stacked(tmp_path, sites, *more) == 0
