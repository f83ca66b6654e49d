import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.errors import UsageError, UserError
from jungle.video.container.timestamps import NAME_PATTERN, compile_pattern, find_recording_time
from jungle.video.indexing.index import SCHEMA, index_clips
from jungle.video.indexing.infrared import measure_light
from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered


def by_day(count):
    for image in numbered(count):
        image[:, :64, 0] //= 3
        image[:, 64:, 2] //= 3
        yield image


@pytest.fixture
def disk(tmp_path):
    root = tmp_path / "disk"
    (root / "Site Á").mkdir(parents=True)
    gop = {"options": {"g": "10"}}
    write_clip(root / "Site Á" / "IMG_20240317_061500.MP4", numbered(20), audio_s=2, rotation=90, **gop)
    write_clip(root / "b.mp4", by_day(20), metadata={"creation_time": "2023-05-06T07:08:09Z"}, **gop)
    (root / "copy of b.mp4").write_bytes((root / "b.mp4").read_bytes())
    write_clip(root / "night.avi", (np.full((48, 64, 3), 60 + n, np.uint8) for n in range(12)), codec="mjpeg",
               pix_fmt="yuvj420p")  # fmt: skip
    (root / "text.mp4").write_text("no video")
    data = (root / "night.avi").read_bytes()
    (root / "cut.avi").write_bytes(data[: len(data) * 8 // 10])
    return root


def files(root):
    return [p for p in root.rglob("*") if p.is_file()]


def test_every_file_has_a_row_that_says_what_it_is(disk, tmp_path):
    table = index_clips(files(disk), tmp_path / "index.parquet", root=disk, workers=2)
    assert table.equals(pl.read_parquet(tmp_path / "index.parquet"))
    assert dict(table.schema) == SCHEMA
    rows = {r["clip"]: r for r in table.iter_rows(named=True)}
    assert list(rows) == sorted(rows)
    assert len(rows) == 6
    first = rows["Site Á/IMG_20240317_061500.MP4"]
    assert (first["width"], first["height"], first["rotation"]) == (96, 128, 90)
    assert (first["frames"], first["key_frames"], first["codec"], first["audio"]) == (20, 2, "h264", True)
    assert (first["time"], first["time_source"]) == (datetime(2024, 3, 17, 6, 15), "name")
    assert (rows["b.mp4"]["time"], rows["b.mp4"]["time_source"]) == (
        datetime(2023, 5, 6, 7, 8, 9),
        "container",
    )
    assert rows["b.mp4"]["hash"] == rows["copy of b.mp4"]["hash"] != first["hash"]
    assert rows["night.avi"]["infrared"]
    assert not rows["b.mp4"]["infrared"]
    assert rows["night.avi"]["time"] is None
    assert (rows["text.mp4"]["status"], rows["text.mp4"]["frames"]) == ("failed", None)
    assert "not a readable video" in rows["text.mp4"]["reason"]
    assert rows["cut.avi"]["status"] == "degraded"
    assert 1 <= rows["cut.avi"]["frames"] < 12


def test_only_new_and_changed_files_are_looked_at_again(disk, tmp_path, monkeypatch):
    out = tmp_path / "index.parquet"
    before = index_clips(files(disk), out, root=disk, workers=1)
    (disk / "b.mp4").write_bytes((disk / "night.avi").read_bytes())
    (disk / "night.avi").unlink()
    seen = []
    from jungle.video.indexing import journal
    from jungle.video.indexing.inspect_file import inspect
    from jungle.video.workers.process_pool import WorkerPool

    class Watched(WorkerPool):
        def submit(self, job):
            seen.append(job[0])
            return super().submit(job)

    monkeypatch.setattr(journal, "WorkerPool", Watched)
    after = index_clips(files(disk), out, root=disk, workers=1, file_time=True)
    assert seen == ["b.mp4"]
    assert inspect(("b.mp4", str(disk / "b.mp4")))[0]["codec"] == "mjpeg"
    assert set(before["clip"]) - set(after["clip"]) == {"night.avi"}
    assert after.filter(clip="b.mp4")["codec"].item() == "mjpeg"
    assert after.filter(clip="text.mp4")["time_source"].item() == "file"


def test_killed_it_goes_on_and_ends_with_the_same_table(disk, tmp_path):
    for n in range(20):
        (disk / f"more {n}.mp4").write_bytes((disk / "b.mp4").read_bytes())
    whole = index_clips(files(disk), tmp_path / "whole.parquet", root=disk, workers=2)
    out = tmp_path / "killed.parquet"
    code = (
        "import os, signal, sys, pathlib; from jungle.video.indexing.journal import Journal; "
        "from jungle.video.indexing.index import index_clips; rows, add = [], Journal.add\n"
        "def add_or_die(journal, row):\n"
        "    rows.append(add(journal, row))\n"
        "    if len(rows) == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Journal.add = add_or_die; root = pathlib.Path(sys.argv[1])\n"
        "index_clips([p for p in root.rglob('*') if p.is_file()], sys.argv[2], root=root, workers=1)"
    )
    journal = out.with_name(f".{out.name}.journal")
    run = subprocess.run([sys.executable, "-c", code, str(disk), str(out)], stderr=subprocess.DEVNULL)
    assert run.returncode == -signal.SIGKILL
    assert not out.exists()
    noted = [json.loads(line)["clip"] for line in journal.read_text().splitlines() if line.endswith("}")]
    assert len(noted) == 9 < len(whole)
    with journal.open("a") as file:
        file.write('{"clip": "cut in the mid')
    assert index_clips(files(disk), out, root=disk, workers=2).equals(whole)
    assert not journal.exists()


def test_user_errors_name_the_fix(disk, tmp_path):
    with pytest.raises(UserError, match="no video files"):
        index_clips([], tmp_path / "i.parquet")
    with pytest.raises(UserError, match="outside the root"):
        index_clips(files(disk), tmp_path / "i.parquet", root=disk / "Site Á")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 of someone else")
    with pytest.raises(UserError, match="is not an index of clips"):
        index_clips(files(disk), tmp_path / "labels.parquet")
    with pytest.raises(UsageError, match="lacks the named groups"):
        index_clips(files(disk), tmp_path / "i.parquet", name_pattern=r"\d+")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20171124_140533.AVI", datetime(2017, 11, 24, 14, 5, 33)),
        ("2017-11-24 14-05-33.mp4", datetime(2017, 11, 24, 14, 5, 33)),
        ("FID_20_Duboscia_2013-6-14_0083.AVI", None),
        ("cam3_20171124.mp4", datetime(2017, 11, 24)),
        ("11060025.AVI", None),
        ("20171324.mp4", None),
        ("0485466_0567428.AVI", None),
    ],
)
def test_time_from_names(name, expected):
    assert find_recording_time("", name, compile_pattern(NAME_PATTERN))[0] == expected


def test_clocks_that_lost_power_are_not_believed():
    assert find_recording_time("1970-01-01T00:00:00.000000Z", "x.mp4", compile_pattern(NAME_PATTERN)) == (
        None,
        "",
    )
    assert find_recording_time("Fri Nov 24 14:05:33 2017", "x", compile_pattern(NAME_PATTERN))[0] == datetime(
        2017, 11, 24, 14, 5, 33
    )


def test_a_tinted_infrared_sensor_is_infrared_and_a_coloured_logo_no_daylight():
    draw = np.random.default_rng(0)
    grey = draw.integers(10, 200, (3, 36, 64, 1)).astype(float)
    tinted = (grey * [1.0, 0.9, 1.08] + draw.normal(0, 0.7, (3, 36, 64, 3))).clip(0, 255).astype(np.uint8)
    assert measure_light(tinted).infrared
    tinted[:, 32:, :12] = [220, 90, 20]
    assert measure_light(tinted).infrared
    coloured = draw.integers(0, 200, (3, 36, 64, 3)).astype(np.uint8)
    assert not measure_light(coloured).infrared
    assert measure_light(np.zeros((1, 4, 4, 3), np.uint8)).infrared


SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "real_clips"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data")
def test_real_clips_by_infrared_are_told_apart(tmp_path):
    table = index_clips(files(SHARED), tmp_path / "real.parquet", root=SHARED, workers=2)
    assert set(table["status"]) == {"ok"}
    night = {os.path.basename(c) for c in table.filter("infrared")["clip"]}
    # Looked at by eye.
    assert {"01110103.AVI", "PICT0026.AVI", "09190048_Hyena.AVI", "PICT0021.ASF"} <= night
    assert not {"chimp.mp4", "EK000059.AVI", "PICT0265.AVI", "04250002.MP4"} & night


def test_a_name_that_is_no_text_has_a_row(tmp_path):
    import os

    file = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mp4")
    with open(file, "wb"):
        pass
    gone = tmp_path / "gone.mp4"
    gone.symlink_to(tmp_path / "nowhere.mp4")
    for _ in range(2):
        table = index_clips([file, gone], tmp_path / "index.parquet", workers=1)
        assert table.select("clip", "status").rows() == [("bad?.mp4", "failed"), ("gone.mp4", "failed")]
