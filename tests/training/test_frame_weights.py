"""Frames in which a trained model has seen an animal are drawn more often in training."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.errors import UsageError, UserError
from jungle.training import clips as training_clips
from jungle.training import datamodules, frame_weights
from tests.conftest import survey_args
from tests.ensemble.ensemble_cases import CLASSES, answers, both, run_folder

FINE = ["model=finetune", "model.backbone=test_efficientnet", "frames=random", "model.pretrained=false"]


def composed(*args: str):
    return overrides.compose("train", [*FINE, *args], config_dir())


def mined(run: Path, split: str, clips: Clips, animal_NT: np.ndarray, times_NT: np.ndarray) -> None:
    """Frames' answers of the last class alone, which has to be the likeliest."""
    table = predictions.read(run / f"predictions_{split}.parquet")
    predictions.write(table.with_columns(times=pl.Series(times_NT.tolist(), dtype=pl.List(pl.Float32))),
                      run / f"predictions_{split}.parquet")  # fmt: skip
    names = clips.of(split).table["clip"].to_list()
    lists = {c: (animal_NT * (c == CLASSES[-1])).tolist() for c in CLASSES}
    pl.DataFrame({"clip": names, **lists}).reverse().write_parquet(run / f"frames_{split}.parquet")


@pytest.fixture
def run(tmp_path, monkeypatch) -> tuple[Path, Clips]:
    monkeypatch.setattr(frame_weights, "is_blank", lambda _: False)
    clips = both(6)
    folder = run_folder(tmp_path / "a", clips, {s: answers(clips.of(s), 1.0, 1) for s in ("val", "test")})
    times = np.tile([0.5, 1.5, 2.5], (6, 1))
    for split in ("val", "test"):
        mined(folder, split, clips, np.arange(18).reshape(6, 3) / 20, times)
    return folder, clips


def trained(clips: Clips) -> Clips:
    """The val clips of a run, as training clips of another, in another order."""
    table = clips.table.reverse()
    return Clips(table.with_columns(split=table["split"].replace({"val": "train"})), CLASSES)


def test_weights_are_matched_by_clip_and_none_is_zero(run, caplog) -> None:
    folder, clips = run
    other = trained(clips)
    caplog.set_level("INFO", "jungle")
    found = frame_weights.load_frame_weights(composed(f"frames.weights={folder}"), other)
    assert found is not None
    by_clip = dict(zip(other.table["clip"], found, strict=True))
    for split in ("val", "test"):
        for i, name in enumerate(clips.of(split).table["clip"]):
            weights = 0.05 + 0.95 * (3 * i + np.arange(3)) / 20
            np.testing.assert_allclose(by_clip[name], np.stack([[0.5, 1.5, 2.5], weights], 1), rtol=1e-5)
    assert "6 of 6 training clips" in caplog.text
    assert frame_weights.load_frame_weights(composed(), other) is None


def test_a_blank_class_says_what_is_empty(run, monkeypatch) -> None:
    folder, clips = run
    monkeypatch.setattr(frame_weights, "is_blank", lambda name: name == CLASSES[-1])
    found = frame_weights.load_frame_weights(composed(f"frames.weights=[{folder}]"), trained(clips))
    assert found is not None
    first = dict(zip(trained(clips).table["clip"], found, strict=True))[clips.of("val").table["clip"][0]]
    np.testing.assert_allclose(np.array(first)[:, 1], 0.05 + 0.95 * (1 - np.arange(3) / 20), rtol=1e-5)


def test_several_runs_are_averaged_and_unread_clips_left_to_chance(run, tmp_path) -> None:
    folder, clips = run
    second = run_folder(tmp_path / "b", clips, {s: answers(clips.of(s), 1.0, 1) for s in ("val", "test")})
    times = np.tile([0.5, 1.5, 2.5], (6, 1))
    for split in ("val", "test"):
        mined(second, split, clips, np.ones((6, 3)), times)
    lost = clips.of("val").table["clip"][5]
    for each in (folder, second):
        table = pl.read_parquet(each / "frames_val.parquet")
        table.filter(pl.col("clip") != lost).write_parquet(each / "frames_val.parquet")
    other = trained(clips)
    found = frame_weights.load_frame_weights(composed(f"frames.weights=[{folder},{second}]"), other)
    assert found is not None
    by_clip = dict(zip(other.table["clip"], found, strict=True))
    assert by_clip[lost] == ()
    weights = np.array(by_clip[clips.of("val").table["clip"][0]])[:, 1]
    np.testing.assert_allclose(weights, (1 + 0.05 + 0.95 * np.arange(3) / 20) / 2, rtol=1e-5)


def test_what_is_wrong_is_told_in_one_line(run, tmp_path) -> None:
    folder, clips = run
    asked = composed(f"frames.weights={folder}")
    with pytest.raises(UsageError, match=r"of no training clip.*data\.folds"):
        frame_weights.load_frame_weights(asked, clips)
    with pytest.raises(UsageError, match=r"frames\.weights=.*no such folder"):
        frame_weights.load_frame_weights(composed(f"frames.weights={tmp_path}/none"), clips)
    mined(folder, "val", clips, np.ones((6, 2)), np.tile([0.5, 1.5, 2.5], (6, 1)))
    with pytest.raises(UserError, match="its frames are not those of"):
        frame_weights.load_frame_weights(asked, trained(clips))
    table = predictions.read(folder / "predictions_val.parquet")
    for wrong in ([["a"]] * 6, [[0.5, float("nan")]] * 6):
        table.with_columns(times=pl.Series(wrong)).write_parquet(folder / "predictions_val.parquet")
        with pytest.raises(UserError, match=r"no lists of seconds|not those of"):
            frame_weights.load_frame_weights(asked, trained(clips))
    (folder / "frames_val.parquet").unlink()
    with pytest.raises(UsageError, match="frame_answers=true"):
        frame_weights.load_frame_weights(asked, trained(clips))
    with pytest.raises(UsageError, match=r"frames\.weights"):
        overrides.compose("train", ["frames.weights=x"], config_dir())


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_training_sees_them_and_evaluation_does_not(cache: str, survey, tmp_path, monkeypatch) -> None:
    late = ((0.0, 1e-9), (0.7, 1e-9), (0.9, 1.0))
    monkeypatch.setattr(frame_weights, "load_frame_weights", lambda cfg, clips: [late] * len(clips))
    more = [
        f"data.cache={cache}",
        "data.workers=1",
        "frames.count=2",
        "model.size=32",
        f"paths.cache={tmp_path}",
    ]
    asked = [a for a in survey_args(survey) if not a.startswith(("model", "frames"))]
    cfg = composed(*asked, *more, "trainer=cpu")
    from jungle.models.backbones.concat import make_backbone
    from jungle.training import build

    clips, _ = training_clips.load(cfg)
    specs = build.make_clip_specs(cfg, make_backbone(build.make_backbone_spec(cfg)))
    data = datamodules.build_video_datamodule(cfg, clips, *specs)
    try:
        for epoch in range(2):
            seen = [s.times for _, s in data.read_train([0, 1, 2], epoch)]
            assert all((t > 0.6).all() and len(t) == 2 for t in seen), seen
        assert any((s.times < 0.6).any() for _, s in data.read_eval([0, 1, 2], 0))
    finally:
        datamodules.close_datamodule(data)
