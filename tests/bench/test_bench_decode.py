import json
from pathlib import Path

import numpy as np
import pytest

from jungle.bench.decode import bench_decode
from jungle.bench.decode_report import format_tables
from jungle.bench.footage import FOOTAGE, Footage, render_all
from jungle.errors import UserError
from jungle.video import probe
from jungle.video.transcode.writer import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "small.mp4"
    write_clip(
        path,
        (np.full((48, 64, 3), n, np.uint8) for n in range(60)),
        options={"g": "20", "x264-params": "scenecut=0"},
    )
    return path


def test_each_way_is_measured_and_written(clip, tmp_path, capsys, monkeypatch):
    from jungle.bench import decode

    monkeypatch.setattr(decode, "WAYS", [way for way in decode.WAYS if way.decoder != "torchcodec"])
    rows = bench_decode(tmp_path, [clip], frames=6, size=(32, 32), repeats=1)
    found = {(row["decoder"], row["asked"]): row for row in rows}
    assert {("pyav", "whole clip"), ("pyav", "uniform"), ("pyav", "keyframe"), ("decord", "uniform")} <= set(
        found
    )
    assert found["pyav", "whole clip"]["frames"] == 60
    assert found["pyav", "uniform"]["frames"] == found["decord", "uniform"]["frames"] == 6
    assert found["pyav", "keyframe"]["frames"] == 3
    assert found["codec alone", "uniform"]["frames"] == 6
    assert found["codec alone", "keyframe"]["frames"] == 3
    for row in rows:
        assert row["clips_s"] == pytest.approx(1 / row["cpu_s"])
        assert row["times_faster"] == pytest.approx(rows[0]["cpu_s"] / row["cpu_s"])
        least = found.get(("codec alone", row["asked"]))
        assert row["times_codec"] == (pytest.approx(row["cpu_s"] / least["cpu_s"]) if least else None)
    assert all(row["cpu_s"] > 0 and 10 < row["peak_mb"] < 1000 for row in rows)
    assert json.loads((tmp_path / "decode.json").read_text())["rows"] == rows
    faster = [
        row for row in (tmp_path / "decode.md").read_text().splitlines() if row.startswith("| pyav, uniform")
    ]
    assert len(faster) == 2  # speed, memory
    assert f"{found['pyav', 'uniform']['peak_mb']:.0f} |" in faster[1]
    assert (tmp_path / "decode.png").read_bytes().startswith(b"\x89PNG")
    assert "pyav        uniform" in capsys.readouterr().out


def test_an_interrupted_bench_goes_on(clip, tmp_path, monkeypatch):
    from jungle.bench import decode

    asked, really = [], decode._run_trial

    def until_the_third(trial):
        asked.append(trial.way)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return really(trial)

    monkeypatch.setattr(decode, "WAYS", decode.WAYS[1:4])
    monkeypatch.setattr(decode, "_run_trial", until_the_third)
    how = {"frames": 4, "size": (32, 32), "repeats": 1}
    with pytest.raises(KeyboardInterrupt):
        bench_decode(tmp_path, [clip], **how)
    assert not (tmp_path / "decode.json").exists()
    rows = bench_decode(tmp_path, [clip], **how)
    assert asked == [*decode.WAYS, decode.WAYS[2]]
    assert [row["asked"] for row in rows] == [way.asked for way in decode.WAYS]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["decode.json", "decode.md", "decode.png"]


def test_a_clip_that_no_way_reads_is_an_error(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match="none of the clips"):
        bench_decode(tmp_path / "out", [tmp_path / "text.mp4"], repeats=1)


def test_rendered_footage_is_as_it_is_named(tmp_path, monkeypatch):
    small = {
        "h264.mp4": Footage(48, 64, 2, "libx264", FOOTAGE["h264_720p30_30s_gop60.mp4"].options, copies=2),
        "mjpeg.avi": Footage(48, 64, 1, "mjpeg", (), copies=3),
    }
    monkeypatch.setattr("jungle.bench.footage.FOOTAGE", small)
    paths = render_all(tmp_path)
    facts = [probe(path) for path in paths]
    assert [f.frames for f in facts] == [120, 90]
    assert [round(f.duration, 3) for f in facts] == [4, 3]
    assert facts[0].key_frames == 2
    assert not facts[0].open_gop
    assert facts[1].key_frames == 90
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(("once", "."))] == []


def test_the_tables_of_the_docs_are_the_figures_committed():
    docs = Path(__file__).parents[2] / "docs"
    rows = json.loads((docs / "bench" / "decode.json").read_text())["rows"]
    assert {row["file"] for row in rows} == set(FOOTAGE)
    assert format_tables(rows) in (docs / "video-speed.md").read_text()
