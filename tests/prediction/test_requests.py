"""Which clips are predicted where a checkpoint, or a run's folder, is given without `videos=`."""

from pathlib import Path

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.config import PredictConfig
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.prediction import requests


def make_run(root: Path, clips: Path, split: str = "test") -> Path:
    run = root / "runs" / "train" / "one"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "best.ckpt").write_bytes(b"")
    clips.mkdir(exist_ok=True)
    names = [f"{i}.mp4" for i in range(4)]
    for name in names:
        (clips / name).write_bytes(b"a clip")
    pl.DataFrame(
        {
            "clip": names,
            "path": [str(clips / n) for n in names],
            "split": ["train", "val", split, split],
            "lion": pl.Series([1, 0, 1, 0], dtype=pl.Int8),
            "blank": pl.Series([0, 1, 0, 1], dtype=pl.Int8),
        }
    ).write_parquet(run / "clips.parquet")
    return run


def clips_of(*args: object) -> list[str]:
    cfg: PredictConfig = overrides.compose("predict", [str(a) for a in args], config_dir())
    return [a.clip for a in requests.find_requests(cfg, None)]


def test_a_runs_folder_its_checkpoint_and_latest_have_its_test_clips(tmp_path: Path) -> None:
    run = make_run(tmp_path, tmp_path / "clips")
    latest = run.parent / "latest"
    latest.symlink_to("one")
    for typed in (run, latest, run / "checkpoints" / "best.ckpt", latest / "checkpoints" / "best.ckpt"):
        assert clips_of(f"ckpt={typed}") == ["2.mp4", "3.mp4"]
    latest.unlink()
    latest.write_text("one\n")  # on a disk without links
    for typed in (latest, latest / "checkpoints" / "best.ckpt"):
        assert clips_of(f"ckpt={typed}") == ["2.mp4", "3.mp4"]
    moved = run.rename(tmp_path / "elsewhere")
    assert clips_of(f"ckpt={moved}") == ["2.mp4", "3.mp4"]


def test_a_run_without_test_clips_and_a_lone_checkpoint_say_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, tmp_path / "clips", split="train")
    with pytest.raises(UsageError, match=r"one had no test clips; give videos="):
        clips_of(f"ckpt={run}")
    (tmp_path / "lone.ckpt").write_bytes(b"")
    with pytest.raises(UsageError, match="ckpt is outside its run's folder"):
        clips_of(f"ckpt={tmp_path / 'lone.ckpt'}")


def test_clips_that_are_no_longer_there_are_one_message_one_that_is_gone_is_a_row(tmp_path: Path) -> None:
    run = make_run(tmp_path, tmp_path / "clips")
    (tmp_path / "clips" / "2.mp4").unlink()
    assert clips_of(f"ckpt={run}") == ["2.mp4", "3.mp4"]
    (tmp_path / "clips").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"None of the 2 clips of .*one is where it was .*give videos="):
        clips_of(f"ckpt={run}")
