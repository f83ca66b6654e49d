import importlib.util
import json

import pytest
from benchmarks.feature_store import bench_store

from jungle.errors import UsageError


def test_bench_measures_the_feature_store(tmp_path, capsys):
    found = bench_store(
        tmp_path, clips=64, frames=2, dim=8, formats=["shards"], seconds=0.05, index_clips=400
    )
    assert json.loads((tmp_path / "store.json").read_text())["formats"] == found
    (row,) = found
    assert row.pop("format") == "shards"
    assert row.pop("open_mb") >= 0
    assert all(value > 0 for value in row.values())
    assert "warm/s" in capsys.readouterr().out


def test_a_format_without_its_library_is_skipped_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert bench_store(tmp_path, clips=64, formats=["lance"]) == []
    assert 'lance is not installed; pip install "pylance>=0.20"' in caplog.text


def test_unknown_formats_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"'zar' is not a format. Nearest: zarr"):
        bench_store(tmp_path, formats=["zar"])
    with pytest.raises(UsageError, match="clips=3"):
        bench_store(tmp_path, clips=3)
