"""From a config to objects: what hangs on the machine."""

from typing import Any

import pytest
import torch

from jungle import build, overrides
from jungle.cli import config_dir


def composed(*settings: str) -> Any:
    return overrides.composed("train", list(settings), config_dir())


@pytest.mark.parametrize(
    ("in_hardware", "asked", "precision"),
    [(True, "auto", "bf16-mixed"), (False, "auto", "32-true"), (False, "16-mixed", "16-mixed")],
)
def test_bf16_is_for_gpus_that_have_it_in_hardware(
    in_hardware: bool, asked: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated=True: emulated or in_hardware)
    assert build.precision_of(composed("trainer=gpu", f"trainer.precision={asked}")) == precision
    assert build.precision_of(composed("trainer=cpu")) == "32-true"


def test_a_short_trainer_steps_as_the_runs_own(tmp_path: Any) -> None:
    cfg = composed("trainer=ddp_sim", "trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.5")
    short = build.short_trainer(cfg, 7, [])
    whole = build.trainer_of(cfg, tmp_path, False)
    for name in ("accumulate_grad_batches", "gradient_clip_val", "precision", "log_every_n_steps"):
        assert getattr(short, name) == getattr(whole, name)
    assert short.max_steps == 7
    assert (short.num_devices, whole.num_devices) == (1, 2)
    assert short.checkpoint_callbacks == []
