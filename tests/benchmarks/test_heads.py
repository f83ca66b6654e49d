import json
from pathlib import Path

import pytest
from benchmarks.heads import bench_heads, main

from jungle.errors import UsageError
from tests.conftest import survey_args


def test_heads_are_set_side_by_side_and_kept(survey: Path, tmp_path: Path, capsys) -> None:
    paths = [f"paths.cache={tmp_path / 'cache'}", f"paths.runs={tmp_path / 'runs'}"]
    settings = [*survey_args(survey), *paths, "trainer.max_epochs=2"]
    args = [*settings, "--out", str(tmp_path), "--seeds", "2", "--heads"]
    main([*args, "mean", "attention head.score=tanh"])
    shown = capsys.readouterr().out
    rows = {r["head"]: r for r in json.loads((tmp_path / "heads.json").read_text())}
    assert set(rows) == {"mean", "attention head.score=tanh"}
    for row in rows.values():
        assert row["runs"] == 2
        assert row["val/log_loss/sd"] > 0  # the seed does something
        assert f"| {row['head']} | {row['val/accuracy']:.3f}" in shown
    runs = {f.parent.name: f.stat().st_mtime_ns for f in tmp_path.glob("runs/*/bench.json")}
    assert set(runs) == {"mean-0", "mean-1", "attention,score=tanh-0", "attention,score=tanh-1"}

    again = bench_heads(tmp_path, settings, heads=["mean", "max"], seeds=2)
    assert {r["head"]: r for r in again}["mean"] == rows["mean"]
    after = {f.parent.name: f.stat().st_mtime_ns for f in tmp_path.glob("runs/*/bench.json")}
    assert {k: after[k] for k in runs} == runs
    assert {"max-0", "max-1"} <= set(after)


def test_invalid_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Nearest: gru"):
        bench_heads(tmp_path, [], heads=["grew"])
    with pytest.raises(UsageError, match="frozen"):
        bench_heads(tmp_path, ["model=finetune"])
