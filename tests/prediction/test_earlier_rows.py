"""A prediction never takes rows of an earlier one out of its tables without being told to."""

from pathlib import Path

import numpy as np
import pytest

from jungle.cli.entry import main
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import Rows, check_clips
from tests.prediction.test_prediction import checkpoint

CLASSES = ("lion", "hog")


def predict(out: Path, clips: str, finish: bool = True) -> None:
    with Rows(out, {"ckpt": ["a"]}, CLASSES, overwrite=False) as rows:
        for clip in clips:
            probs = np.array([0.5, 0.5], np.float32)
            rows.add(clip, "k", ClipPrediction(probs=probs))
        rows.flush()
        if finish:
            rows.finish([ClipRequest(clip, None) for clip in clips])


def test_the_same_clips_and_more_of_them_go_on(tmp_path: Path) -> None:
    check_clips(tmp_path, ["a"])  # an empty folder
    predict(tmp_path, "ab")
    check_clips(tmp_path, ["b", "a"])
    check_clips(tmp_path, ["c", "b", "a"])


def test_an_earlier_prediction_that_was_stopped_has_no_table_to_lose(tmp_path: Path) -> None:
    predict(tmp_path, "ab", finish=False)
    check_clips(tmp_path, ["c"])


@pytest.mark.parametrize("kept", ["predictions.parquet", "predictions.csv"])
def test_clips_that_would_leave_the_table_are_counted_and_named(tmp_path: Path, kept: str) -> None:
    predict(tmp_path, "abc")
    for file in tmp_path.glob("predictions.*"):
        if file.name != kept:
            file.unlink()
    with pytest.raises(UsageError, match="holds 2 clips of an earlier prediction, as a, which are not among"):
        check_clips(tmp_path, ["b", "d"])
    with pytest.raises(UsageError, match="holds 1 clip of an earlier prediction, as c, which is not among"):
        check_clips(tmp_path, ["a", "b"])


def test_it_is_said_before_a_checkpoint_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, ckpt, videos = tmp_path / "out", tmp_path / "a.ckpt", tmp_path / "videos"
    predict(out, "abc")
    videos.mkdir()
    (videos / "new.mp4").write_text("a video")
    checkpoint(ckpt)
    before = (out / "predictions.csv").read_bytes()
    words = ["predict", f"ckpt={ckpt}", f"videos={videos}", f"out={out}"]
    assert main(words) == 2
    assert "holds 3 clips of an earlier prediction" in capsys.readouterr().err
    assert (out / "predictions.csv").read_bytes() == before
    with Rows(out, {"ckpt": ["a"]}, CLASSES, overwrite=True):
        check_clips(out, ["new.mp4"])  # overwrite has removed them
