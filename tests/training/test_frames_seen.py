"""Which part of a clip training draws from, and how many frames each epoch is judged on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jungle.cli import overrides
from jungle.config import TrainConfig
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.models.backbones.concat import make_backbone
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.video import Frames
from jungle.video.frames.sampling import pick
from tests.conftest import survey_args

TIMES = np.arange(360) / 24
KEY = np.arange(360) % 30 == 0
FINE = ["model=finetune", "model.backbone=test_efficientnet", "model.pretrained=false", "model.size=32"]


def composed(*args: str) -> TrainConfig:
    return overrides.compose("train", [*FINE, *args], config_dir())


def drawn(frames: Frames, draws: int = 400) -> np.ndarray:
    return np.concatenate([pick(frames, TIMES, KEY, seed) for seed in range(draws)])


def test_the_first_seconds_alone_are_drawn_from_and_all_of_them() -> None:
    """The first place's: one frame of the first eight seconds of fifteen."""
    found = drawn(Frames("random", 1, first_s=8.0))
    assert found.max() < 8 * 24 <= drawn(Frames("random", 1)).max()
    assert np.histogram(found, 8, (0, 192))[0].min() > 20
    likely = ((0.0, 0.05), (7.0, 1.0), (15.0, 1.0))
    found = drawn(Frames("random", 1, first_s=8.0, likely=likely))
    assert found.max() < 8 * 24
    assert (found > 96).mean() > 0.7
    assert pick(Frames("random", 4, first_s=0.01), TIMES, KEY, 1).tolist() == [0]
    short = pick(Frames("random", 2, first_s=8.0), TIMES[:24], KEY[:24], 1)
    assert short.tolist() == pick(Frames("random", 2), TIMES[:24], KEY[:24], 1).tolist()


def test_frames_without_it_are_told_as_ever() -> None:
    assert Frames("random", 4).to_dict() == {"kind": "random", "count": 4, "fps": None}
    told = Frames("random", 4, first_s=8.0)
    assert Frames.from_dict(told.to_dict()) == told
    for wrong in (lambda: Frames("uniform", 4, first_s=8.0), lambda: Frames("random", 4, first_s=0.0)):
        with pytest.raises(UsageError, match="first_s"):
            wrong()


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_training_draws_from_the_start_and_epochs_are_judged_on_fewer_frames(
    cache: str, survey: Any, tmp_path: Any
) -> None:
    asked = [a for a in survey_args(survey) if not a.startswith(("model", "frames"))]
    more = [
        f"data.cache={cache}",
        f"paths.cache={tmp_path}",
        "data.workers=1",
        "trainer=cpu",
        "frames=random",
    ]
    counts = ["frames.count=1", "frames.first_s=0.5", "frames.eval_count=6", "frames.val_count=2"]
    cfg = composed(*asked, *more, *counts)
    clips, _ = training_clips.load(cfg)
    train, judged = build.make_clip_specs(cfg, make_backbone(build.make_backbone_spec(cfg)))
    assert judged.frames == Frames("uniform", 6)
    data = datamodules.build_video_datamodule(cfg, clips, train, judged)
    try:
        seen = [s.times for epoch in range(4) for _, s in data.read_train([0, 1, 2], epoch)]
        assert all(len(t) == 1 and t[0] < 0.5 for t in seen), seen
        assert len({float(t[0]) for t in seen}) > 1
        during = next(iter(data.val_dataloader()))
        in_the_end = next(iter(data.loader("val", labelled=False)))
        assert (during["mask_BT"].shape[1], in_the_end["mask_BT"].shape[1]) == (2, 6)
        fewer = replace(judged, frames=Frames("uniform", 2))
        assert data.read_epoch_end.spec == fewer
    finally:
        datamodules.close_datamodule(data)


@pytest.mark.parametrize("setting", ["frames.first_s=8", "frames.val_count=4"])
def test_they_are_of_frames_drawn_at_random(setting: str) -> None:
    with pytest.raises(UsageError, match="frames=random"):
        composed(f"+{setting}")
