"""Prediction as a user runs it: the same bytes whatever was stopped, and no answer where no clip was read."""

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data import predictions
from jungle.data.content_key import Content, read_content
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.files import write_json
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.module import ClipClassifier
from jungle.prediction import fill
from jungle.prediction.disk import Disk
from jungle.prediction.predictor import Predictor, average
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import PLAN, SO_FAR, Rows
from jungle.video import ClipSpec, Frames
from tests.conftest import Command
from tests.test_end_to_end import kill_when, start

CLASSES = ("blank", "hog", "lion")
PRIORS = {"blank": 0.5, "hog": 0.3, "lion": 0.2}


def checkpoint(file: Path, seed: int = 0, frames: int = 3, classes: tuple[str, ...] = CLASSES) -> Path:
    """Save a model of random weights, which answers as steadily as a trained one."""
    torch.manual_seed(seed)
    size = (64, 96)
    about = {
        "clip": ClipSpec(Frames("uniform", frames), size).to_dict(),
        "priors": {c: PRIORS[c] for c in classes},
        "weights_hash": f"{seed:08d}",
    }
    head = {"name": "attention", "hidden": 8, "dropout": 0.0}
    backbone = Backbone(BackboneSpec("test_resnet", pretrained=False, size=size))
    made = ClipClassifier(backbone, head, classes, "exclusive", "frozen", about)
    with torch.no_grad():
        for p in made.head.parameters():
            p.mul_(3)
    torch.save({"state_dict": made.state_dict(), "jungle": made.describe()}, file)
    return file


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


def args(ckpt: Path | str, videos: Path, out: Path, *more: str) -> list[str]:
    return [f"ckpt={ckpt}", f"videos={videos}", f"out={out}", "workers=1", "report=false", *more]


def same_files(a: Path, b: Path) -> None:
    for name in ("predictions.parquet", "predictions.csv", "failures.csv"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


@pytest.mark.slow
def test_killed_or_done_in_parts_it_ends_in_the_same_bytes(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    clips = sorted((survey / "clips").iterdir())
    for i in range(120):  # each with a content of its own, or it would be read once for all
        free = struct.pack(">I4sQ", 16, b"free", i)
        (many / f"{i:03d}.mp4").write_bytes(clips[i % len(clips)].read_bytes() + free)
    (many / "090.mp4").unlink()
    (many / "090.mp4").write_text("no video")
    whole = command("predict", *args(ckpt, many, tmp_path / "whole"))
    assert whole.returncode == 3, whole.stderr[-3000:]
    killed = tmp_path / "killed"
    process = start("predict", args(ckpt, many, killed, "flush_s=0.01"), tmp_path)
    kill_when(
        process, lambda: (killed / SO_FAR).is_file() and len((killed / SO_FAR).read_text().splitlines()) > 3
    )
    assert not (killed / "predictions.parquet").exists()
    done = command("predict", *args(ckpt, many, killed))
    assert done.returncode == 3, done.stderr[-3000:]
    assert "of 120 clips were done before" in done.stderr
    same_files(tmp_path / "whole", killed)
    # One clip first, then some in other batches, then all: a clip's answer is its own.
    parts = tmp_path / "parts"
    command("predict", *args(ckpt, many / "007.mp4", parts))
    (tmp_path / "list.txt").write_text("".join(f"{many}/{i:03d}.mp4\n" for i in range(40, 3, -3)))
    command("predict", *args(ckpt, tmp_path / "list.txt", parts, "batch_size=5"))
    command("predict", *args(ckpt, many, parts))
    same_files(tmp_path / "whole", parts)


def test_what_could_not_be_read_has_no_answer_and_is_not_done_before(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    good = survey / "clips" / "lion_01.mp4"
    (tmp_path / "text.avi").write_text("no video")
    (tmp_path / "list.txt").write_text(f"{good}\n{tmp_path}/text.avi\n{tmp_path}/gone.mp4\n")
    first = command("predict", *args(ckpt, tmp_path / "list.txt", tmp_path / "out"))
    assert first.returncode == 3
    assert "done before" not in first.stderr
    assert "2 of 3 clips could not be read and have no prediction" in first.stderr.splitlines()[-1]
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert table["status"].to_list() == ["ok", "failed", "failed"]
    assert table.filter(pl.col("status") == "failed").select(CLASSES).null_count().row(0) == (2, 2, 2)
    written = pl.read_csv(tmp_path / "out" / "predictions.csv")
    assert written["top_class"].null_count() == written["top_probability"].null_count() == 2
    again = command("predict", *args(ckpt, tmp_path / "list.txt", tmp_path / "out"))
    assert "2 of 3 clips were done before, 1 of them could not be read" in again.stderr


def test_a_submission_alone_has_the_class_shares(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("filename,lion,blank\nlion_01.mp4,0,0\ngone.mp4,0,0\n")
    done = command("predict", *args(ckpt, survey / "clips", tmp_path / "out", f"template={tmp_path}/t.csv"))
    assert done.returncode == 3, done.stderr[-3000:]
    written = pl.read_csv(tmp_path / "out" / "submission.csv")
    assert written.row(1) == ("gone.mp4", pytest.approx(0.2), pytest.approx(0.5))
    assert written["lion"][0] != pytest.approx(0.2, abs=1e-4)
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert table.row(1, named=True)["lion"] is None


def test_models_of_the_same_classes_are_joined_by_name(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    saved = torch.load(ckpt, weights_only=True)
    order = [CLASSES.index(c) for c in CLASSES[::-1]]
    last = [
        k for k in saved["state_dict"] if k.startswith("head.classify") and k.endswith(("weight", "bias"))
    ]
    for name in last[-2:]:
        saved["state_dict"][name] = saved["state_dict"][name][order]
    saved["jungle"]["classes"] = list(CLASSES[::-1])
    torch.save(saved, tmp_path / "turned.ckpt")
    clip = survey / "clips" / "lion_01.mp4"
    for out, files in (("one", f"{ckpt}"), ("both", f"[{ckpt},{tmp_path}/turned.ckpt]")):
        done = command("predict", *args(files, clip, tmp_path / out))
        assert done.returncode == 0, done.stderr[-3000:]
    one, both = (predictions.read(tmp_path / n / "predictions.parquet") for n in ("one", "both"))
    np.testing.assert_allclose(
        predictions.get_probabilities(one), predictions.get_probabilities(both), atol=1e-6
    )
    assert np.ptp(predictions.get_probabilities(one)) > 0.01


def _spoilt(spoil: Any) -> Any:
    return pytest.param(spoil, id=spoil.__name__)


def nan_weight(saved: dict[str, Any]) -> None:
    saved["state_dict"]["backbone.model.conv1.0.weight"][0] = float("nan")


def infinite_weight(saved: dict[str, Any]) -> None:
    name = next(k for k in saved["state_dict"] if k.startswith("head.classify") and k.endswith("bias"))
    saved["state_dict"][name][0] = float("inf")


def infinite_variance(saved: dict[str, Any]) -> None:
    name = next(k for k in saved["state_dict"] if k.endswith("running_var"))
    saved["state_dict"][name][0] = float("inf")


def nan_shift(saved: dict[str, Any]) -> None:
    saved["jungle"]["prior_shift"] = {"blank": 0.0, "hog": float("nan"), "lion": 0.0}


def shift_of_other_classes(saved: dict[str, Any]) -> None:
    saved["jungle"]["prior_shift"] = {"blank": 0.0, "hog": 1.0}


@pytest.mark.parametrize(
    "spoil",
    [_spoilt(f) for f in (nan_weight, infinite_weight, infinite_variance, nan_shift, shift_of_other_classes)],
)
def test_a_checkpoint_without_numbers_is_not_loaded(spoil: Any, ckpt: Path, tmp_path: Path) -> None:
    saved = torch.load(ckpt, weights_only=True)
    spoil(saved)
    torch.save(saved, tmp_path / "spoilt.ckpt")
    with pytest.raises(UserError, match=f"ckpt={tmp_path / 'spoilt.ckpt'}: its (weights|prior_shift)"):
        load_checkpoint(tmp_path / "spoilt.ckpt")


def test_a_model_whose_answer_is_no_number_is_named(
    ckpt: Path, survey: Path, command: Command, tmp_path: Path
) -> None:
    saved = torch.load(ckpt, weights_only=True)
    for k, w in saved["state_dict"].items():
        if k.startswith("head.") and w.is_floating_point() and w.ndim == 2:
            w.fill_(1e38)
    torch.save(saved, tmp_path / "spoilt.ckpt")
    files = f"[{ckpt},{tmp_path / 'spoilt.ckpt'}]"
    done = command("predict", *args(files, survey / "clips" / "lion_01.mp4", tmp_path / "out"))
    assert done.returncode == 1, done.stderr[-2000:]
    assert f"ckpt={tmp_path / 'spoilt.ckpt'}: its answer to a clip is not a number" in done.stderr
    assert "Traceback" not in done.stderr


def row(status: str, probs: list[float] | None = None, reason: str = "") -> ClipPrediction:
    return ClipPrediction(status, reason, None if probs is None else np.array(probs, np.float32))


def test_models_that_could_not_read_a_clip_say_nothing_of_it() -> None:
    good, other = row("ok", [0.8, 0.2]), row("degraded", [0.2, 0.8], "2 frames are damaged")
    lost = row("failed", reason="no frames")
    np.testing.assert_allclose(average([(1, good), (3, other)]).probs, [0.35, 0.65], atol=1e-6)
    assert average([(1, good), (3, other)]).status == "degraded"
    for rows in ([(1, good), (2, lost)], [(2, lost), (1, good)]):
        found = average(rows)
        np.testing.assert_array_equal(found.probs, good.probs)
        assert (found.status, found.reason) == (
            "degraded",
            "2 of 3 models could not read it: no frames",
        )
    assert average([(1, lost), (1, lost)]).status == "failed"


def settings(tmp_path: Path, **more: Any) -> Any:
    """Settings of `fill_rows`."""
    known = {
        "batch_size": 4,
        "workers": 0,
        "timeout_s": 60.0,
        "flush_s": 15.0,
        "device": "cpu",
        "decoder": SimpleNamespace(name=None, device="cpu"),
        "paths": SimpleNamespace(features=tmp_path / "features", cache=tmp_path / "cache"),
        "metadata": None,
        "micro": None,
    }
    return SimpleNamespace(**known | more)


def ask(paths: list[Path]) -> list[ClipRequest]:
    return [ClipRequest(f"{i:02d}", str(path)) for i, path in enumerate(paths)]


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Numbers of the clips that models are asked for, call by call."""
    calls: list[list[int]] = []
    predict = Predictor.predict

    def noted(self: Predictor, todo: Any, *rest: Any) -> Any:
        calls.append(list(todo))
        return predict(self, todo, *rest)

    monkeypatch.setattr(Predictor, "predict", noted)
    return calls


@pytest.mark.parametrize("several", [False, True])
def test_on_a_device_of_batches_a_stop_does_not_move_a_bit(
    several: bool,
    ckpt: Path,
    survey: Path,
    tmp_path: Path,
    predicted: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unfinished batch is repeated as a whole where answers may depend on it."""
    monkeypatch.setattr(fill, "resolve_device", lambda _: "cpu:0")  # not "cpu": in whole batches, as on a GPU
    files = [ckpt, checkpoint(tmp_path / "b.ckpt", 1, frames=5)] if several else [ckpt]
    paths = sorted((survey / "clips").iterdir())[:10]
    (tmp_path / "broken.mp4").write_text("no video")
    paths[6] = tmp_path / "broken.mp4"
    paths[9] = paths[1]  # a copy, which is in no batch
    asked, cfg = ask(paths), settings(tmp_path)

    def answer(name: str, first: dict[str, ClipPrediction]) -> dict[str, ClipPrediction]:
        with Rows(tmp_path / name, {"ckpt": ["a"]}, CLASSES, False) as rows:
            for request in asked:
                if row := first.get(request.clip):
                    key = read_content(request.path or "").key_of(row.status)
                    rows.add(request.clip, key, row, request.clip == "09")
            rows.flush()
            fill.fill_rows(cfg, [load_checkpoint(file) for file in files], asked, rows)
            rows.finish(asked)
        with Rows(tmp_path / name, {"ckpt": ["a"]}, CLASSES, False) as rows:
            return {r.clip: rows._store.get([r.clip])[0] for r in asked}

    whole = answer("whole", {})
    assert whole["06"].status == "failed"
    assert predicted == [[0, 1, 2, 3, 4, 5, 6, 7, 8]]
    for stopped_after, again in ((1, list(range(9))), (5, list(range(4, 9))), (9, [])):
        predicted.clear()
        found = answer(f"{stopped_after}", {r.clip: whole[r.clip] for r in asked[:stopped_after]})
        assert predicted == ([again] if again else [])
        for clip, row in found.items():
            assert row.status == whole[clip].status
            np.testing.assert_array_equal(row.probs, whole[clip].probs)


def test_the_same_content_is_read_once(
    ckpt: Path, survey: Path, tmp_path: Path, predicted: list[list[int]]
) -> None:
    lion, hog = sorted((survey / "clips").iterdir())[:2]
    asked = ask([lion, hog, *[lion] * 700, hog])
    with Rows(tmp_path / "out", {"ckpt": ["a"]}, CLASSES, False) as rows:
        fill.fill_rows(settings(tmp_path), [load_checkpoint(ckpt)], asked, rows)
        rows.finish(asked)
    assert predicted == [[0, 1]]
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert table["status"].to_list() == ["ok"] * len(asked)
    assert table["lion"].n_unique() == 2
    assert table["lion"][2] == table["lion"][0] != table["lion"][-1]
    assert table["duration"].min() > 0
    predicted.clear()
    renamed = [*asked, ClipRequest("moved", str(hog))]  # a name from later
    with Rows(tmp_path / "out", {"ckpt": ["a"]}, CLASSES, False) as rows:
        fill.fill_rows(settings(tmp_path), [load_checkpoint(ckpt)], renamed, rows)
        assert rows.table(["moved"])["lion"][0] == table["lion"][1]
    assert predicted == []


def test_a_sound_clip_is_no_copy_of_one_that_was_read_in_part(
    ckpt: Path, survey: Path, tmp_path: Path, predicted: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A content key is of some bytes of a file only: another clip with the same key may be sound."""
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    good.write_bytes((survey / "clips" / "lion_01.mp4").read_bytes())
    bad.write_text("no video")
    monkeypatch.setattr(fill, "read_contents", lambda paths: [Content("k", f"k of {p}") for p in paths])
    asked = ask([bad, good, good])
    with Rows(tmp_path / "out", {"ckpt": ["a"]}, CLASSES, False) as rows:
        fill.fill_rows(settings(tmp_path), [load_checkpoint(ckpt)], asked, rows)
        assert rows.table(["00", "01", "02"])["status"].to_list() == ["failed", "ok", "ok"]


def test_a_clip_of_which_something_else_is_told_is_predicted_again(survey: Path) -> None:
    asked = ask(sorted((survey / "clips").iterdir())[:2])
    told = np.array([[1.0, np.nan], [2.0, 3.0]], np.float32)

    def keys() -> list[Content]:
        [window] = fill.read_windows(asked, told, 4, Disk([]))
        return list(window.keys.values())

    before = keys()
    assert keys() == before
    told[1, 0] = 4
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [True, False]


def test_windows_are_of_whole_batches(survey: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "WINDOW", 8)
    asked = ask(sorted((survey / "clips").iterdir())[:10])
    assert [list(w.numbers) for w in fill.read_windows(asked, None, 3, Disk([]))] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
    ]
    assert list(fill.read_windows([], None, 3, Disk([]))) == []


def test_the_order_of_checkpoints_is_part_of_what_a_folder_holds(tmp_path: Path) -> None:
    with Rows(tmp_path, {"ckpt": ["a", "b"]}, CLASSES, False):
        pass
    with (
        pytest.raises(UsageError, match="in another order"),
        Rows(tmp_path, {"ckpt": ["b", "a"]}, CLASSES, False),
    ):
        pass


def test_a_folder_of_version_1_goes_on_without_its_numbers_for_failed_clips(tmp_path: Path) -> None:
    table = predictions.make_table(["x.mp4"], [ClipPrediction.failure("no frames")], CLASSES)
    numbers = table.with_columns(
        *(pl.lit(0.0, pl.Float32).alias(c) for c in CLASSES), pl.lit("k").alias("key")
    )
    (tmp_path / ".parts").mkdir()
    numbers.write_parquet(tmp_path / ".parts" / "part-000000.parquet")
    write_json(tmp_path / PLAN, {"ckpt": ["a"]})
    with Rows(tmp_path, {"ckpt": ["a"]}, CLASSES, False) as rows:
        assert rows.table(["x.mp4"])["lion"].to_list() == [None]
        assert rows.find("x.mp4", Content("", "k")) == "failed"
