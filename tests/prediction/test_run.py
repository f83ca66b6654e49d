"""Prediction as clips come, tried, or while their disk is away."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.metrics.thresholds import Thresholds
from jungle.models.checkpoint import load_checkpoint
from jungle.prediction import disk, fill
from jungle.prediction.requests import ClipRequest, find_requests
from jungle.prediction.writer import Rows
from tests.conftest import Command
from tests.forked import Forked
from tests.prediction.test_prediction import CLASSES, args, ask, checkpoint, settings
from tests.test_end_to_end import start


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


def wait_until(done: Callable[[], bool], process: Forked) -> None:
    began = time.monotonic()
    while not done():
        assert process.poll() is None, process.returncode
        assert time.monotonic() - began < 200
        time.sleep(0.05)


def table(out: Path) -> pl.DataFrame:
    return pl.read_csv(out / "predictions.csv")


def test_some_clips_of_a_table_with_sites(ckpt: Path, survey: Path, command: Command, tmp_path: Path) -> None:
    lines = ["filename,site,time", "lion_01.mp4,A,2024-05-01 10:00:00", "gone.mp4,B,2024-05-01 11:00:00"]
    names = sorted(p.name for p in (survey / "clips").iterdir())
    lines += [f"{name},C,2024-05-02 12:00:00" for name in names if name != "lion_01.mp4"]
    (tmp_path / "sites.csv").write_text("\n".join(lines) + "\n")
    more = (f"sites={tmp_path}/sites.csv", "limit=3")
    done = command("predict", *args(ckpt, survey / "clips", tmp_path / "out", *more))
    assert done.returncode == 0, done.stderr[-3000:]
    found = table(tmp_path / "out")
    assert found["clip"].to_list() == [names[0], names[17], names[35]]
    assert set(found["site"]) == {"C"}
    assert found["time"][0].startswith("2024-05-02T12:00:00")
    assert found["path"][0] == str(survey / "clips" / names[0])
    assert found["duration"].min() > 0


def test_a_table_of_sites_of_other_clips_is_refused(survey: Path, tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("filename,site\nother.mp4,A\n")
    cfg = settings(tmp_path, videos=str(survey / "clips"), limit=None, sites=tmp_path / "sites.csv")
    with pytest.raises(UserError, match="none of its names is a clip"):
        find_requests(cfg, None)


def test_a_dry_run_writes_nothing_and_says_how_long(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    done = command("predict", *args(ckpt, survey / "clips", tmp_path / "out", "dry_run=true"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "dry run: would predict 36 of 36 clips: about " in done.stdout
    assert "s per clip, measured on 16" in done.stdout
    assert not (tmp_path / "out").exists()
    command("predict", *args(ckpt, survey / "clips", tmp_path / "out", "limit=6"))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("[!.]*")}
    done = command("predict", *args(ckpt, survey / "clips", tmp_path / "out", "dry_run=true"))
    assert "would predict 30 of 36 clips (6 were done before)" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("[!.]*")} == before


def test_a_watched_folder_is_followed(ckpt: Path, survey: Path, tmp_path: Path) -> None:
    clips = sorted((survey / "clips").iterdir())
    folder, out = tmp_path / "folder", tmp_path / "out"
    folder.mkdir()
    process = start("predict", args(ckpt, folder, out, "watch=true", "watch_s=2"), tmp_path)
    try:
        for n in (1, 3):
            for clip in clips[:n]:
                (folder / clip.name).write_bytes(clip.read_bytes())
            wait_until(lambda n=n: (out / "predictions.csv").is_file() and len(table(out)) == n, process)
        half = clips[3].read_bytes()
        growing = folder / clips[3].name
        for at in range(0, len(half), 1 + len(half) // 8):  # a copy that takes a while
            with growing.open("ab") as file:
                file.write(half[at : at + 1 + len(half) // 8])
            time.sleep(0.1)
        wait_until(lambda: len(table(out)) == 4, process)
        assert table(out)["status"].to_list() == ["ok"] * 4
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("more", [{"template": "t.csv"}, {"limit": 3}, {"dry_run": True}])
def test_what_does_not_go_with_watching_is_refused(more: dict[str, object], tmp_path: Path) -> None:
    words = [f"{k}={str(v).lower()}" for k, v in more.items()]
    with pytest.raises(UsageError, match="watch=true"):
        compose("predict", ["ckpt=a.ckpt", f"videos={tmp_path}", "watch=true", *words], config_dir())


def test_a_disk_that_is_away_pauses_and_no_clip_has_failed(
    ckpt: Path,
    survey: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    mounted, away = tmp_path / "disk", tmp_path / "away"
    mounted.mkdir()
    for i, clip in enumerate(sorted((survey / "clips").iterdir())[:12]):
        (mounted / f"{i:02d}.mp4").write_bytes(clip.read_bytes())
    asked = ask(sorted(mounted.iterdir()))
    monkeypatch.setattr(disk, "WAIT_S", 0.05)
    monkeypatch.setattr(fill, "WINDOW", 4)
    unplugged = threading.Event()

    def plug_in() -> None:
        unplugged.wait(60)
        time.sleep(0.5)
        os.rename(away, mounted)

    with Rows(tmp_path / "out", {"ckpt": ["a"]}, CLASSES, False) as rows:
        add = rows.add

        def unplug(clip: str, key: str, row: ClipPrediction, copied: bool = False) -> None:
            if clip == "01" and not unplugged.is_set():
                os.rename(mounted, away)
                unplugged.set()
            add(clip, key, row, copied)

        monkeypatch.setattr(rows, "add", unplug)
        thread = threading.Thread(target=plug_in)
        thread.start()
        fill.fill_rows(settings(tmp_path), [load_checkpoint(ckpt)], asked, rows)
        thread.join()
        assert rows.table([a.clip for a in asked])["status"].to_list() == ["ok"] * 12
    assert "the disk seems to be away" in caplog.text
    assert "going on" in caplog.text


def test_a_clip_that_is_gone_alone_has_failed(ckpt: Path, survey: Path, tmp_path: Path) -> None:
    clips = sorted((survey / "clips").iterdir())[:3]
    asked = [*ask(clips), ClipRequest("gone", str(tmp_path / "gone.mp4"))]
    with Rows(tmp_path / "out", {"ckpt": ["a"]}, CLASSES, False) as rows:
        fill.fill_rows(settings(tmp_path), [load_checkpoint(ckpt)], asked, rows)
        assert rows.table(["gone"])["status"].to_list() == ["failed"]
        assert np.isfinite(rows.table(["00"])["lion"][0])


def test_answers_of_the_checkpoint_become_decisions_and_formats(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    """A calibration that is stored later is of the same model: its rows stay."""
    own, out = tmp_path / "own.ckpt", tmp_path / "out"
    own.write_bytes(ckpt.read_bytes())
    first = command("predict", *args(own, survey / "clips", out, "limit=6", "export=[long,zamba]"))
    assert first.returncode == 0, first.stderr[-3000:]
    assert not (out / "decisions.csv").exists()
    assert {"long", "zamba"} <= {line.split(":")[0] for line in first.stdout.splitlines()}
    saved = torch.load(own, weights_only=True)
    thresholds = Thresholds(blank=0.999, blank_classes=("blank",), classes={"lion": 0.999, "hog": 0.999})
    saved["jungle"]["thresholds"] = thresholds.to_dict()
    torch.save(saved, own)
    again = command("predict", *args(own, survey / "clips", out, "limit=6"))
    assert again.returncode == 0, again.stderr[-3000:]
    assert "6 of 6 clips were done before" in again.stderr
    decisions = pl.read_csv(out / "decisions.csv")
    assert decisions["clip"].to_list() == table(out)["clip"].to_list()
    sure = (table(out)["top_probability"] >= 0.999).to_list()
    assert [d != "unsure" for d in decisions["decision"]] == sure
    assert not all(sure)


def test_a_format_that_needs_more_is_refused_before_anything_runs(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    done = command("predict", *args(ckpt, survey / "clips", tmp_path / "out", "export=camtrap_dp"))
    assert done.returncode == 2
    assert "export=camtrap_dp: it needs more settings (" in done.stderr
    assert "jungle export from=<out> formats=camtrap_dp" in done.stderr
    assert not (tmp_path / "out").exists()
