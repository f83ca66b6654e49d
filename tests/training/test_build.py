"""From a config to objects: what hangs on the machine."""

from typing import Any

import numpy as np
import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data import predictions
from jungle.errors import UsageError
from jungle.models.backbones.backbone import BackboneSpec
from jungle.models.backbones.concat import make_backbone
from jungle.training import build
from jungle.training import clips as training_clips
from jungle.training.hardware import check_hardware, resolve_hardware
from tests.conftest import survey_args


def composed(*settings: str) -> Any:
    return overrides.compose("train", list(settings), config_dir())


@pytest.mark.parametrize(
    ("in_hardware", "asked", "precision"),
    [(True, "auto", "bf16-mixed"), (False, "auto", "32-true"), (False, "16-mixed", "16-mixed")],
)
def test_bf16_is_for_gpus_that_have_it_in_hardware(
    in_hardware: bool, asked: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated=True: emulated or in_hardware)
    assert resolve_hardware(composed("trainer=gpu", f"trainer.precision={asked}")).precision == precision
    assert resolve_hardware(composed("trainer=cpu")).precision == "32-true"


@pytest.mark.parametrize(
    ("model", "has", "said"),
    [
        ("efficientnet_lite0_finetune", {"avx512_bf16": False, "amx_bf16": False}, True),
        ("efficientnet_lite0_finetune", {"avx512_bf16": True, "amx_bf16": False}, False),
        ("efficientnet_lite0_finetune", {}, False),  # not known
        ("efficientnet_lite0_frozen", {"avx512_bf16": False}, False),  # its head computes in 32 bits
    ],
)
def test_emulated_bf16_is_said(
    model: str,
    has: dict[str, bool],
    said: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    check_hardware(composed("trainer=cpu", "trainer.precision=bf16-mixed", f"model={model}"))
    assert ("this CPU has no bf16 instructions" in caplog.text) == said


def test_a_short_trainer_steps_as_the_runs_own(tmp_path: Any) -> None:
    cfg = composed("trainer=ddp_sim", "trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.5")
    short = build.build_short_trainer(cfg, 7, [])
    whole = build.build_trainer(cfg, tmp_path, False)
    for name in ("accumulate_grad_batches", "gradient_clip_val", "precision", "log_every_n_steps"):
        assert getattr(short, name) == getattr(whole, name)
    assert short.max_steps == 7
    assert (short.num_devices, whole.num_devices) == (1, 2)
    assert short.checkpoint_callbacks == []


def test_a_model_of_some_classes_alone_learns_against_the_others(survey, command, tmp_path) -> None:
    """`data.only=[blank]`: blank or not, with the clips of all other classes as its negatives."""
    cfg = composed(*survey_args(survey), "data.only=[blank]")
    clips, _ = training_clips.load(cfg)
    assert clips.classes == ("blank",)
    assert len(clips) == 36
    assert clips.targets().sum() == 12
    assert np.isfinite(clips.targets()).all()
    assert build.resolve_task(cfg, clips) == "multilabel"  # softmax over one class would always be 1
    done = command("train", *survey_args(survey), "data.only=[blank]")
    assert done.returncode == 0, done.stderr[-3000:]
    table = predictions.read(tmp_path / "runs" / "train" / "latest" / "predictions_test.parquet")
    assert predictions.get_classes(table) == ("blank",)
    assert 0 < table["blank"].min() < table["blank"].max() < 1
    done = command("train", *survey_args(survey), "data.only=[blnk]")
    assert done.returncode == 2
    assert "data.only: there is no class 'blnk'. Nearest: blank" in done.stderr


@pytest.mark.parametrize(
    ("asked", "kind"), [([], "uniform"), (["frames.eval_kind=early_bias"], "early_bias")]
)
def test_frames_drawn_at_random_are_judged_on_others(asked: list[str], kind: str) -> None:
    settings = ["data=sample", "model=finetune", "frames=random", "frames.eval_count=7"]
    cfg = composed(*settings, *asked)
    backbone = make_backbone(BackboneSpec("test_resnet", pretrained=False, size=(64, 96)))
    train, judged = build.make_clip_specs(cfg, backbone)
    assert train.frames.kind == "random"
    assert (judged.frames.kind, judged.frames.count) == (kind, 7)
    with pytest.raises(UsageError, match="eval_kind"):
        composed(*settings, "frames.eval_kind=random")
