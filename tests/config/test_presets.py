"""Every choice that shapes a model is built from its config and takes one step."""

import polars as pl
import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.models.backbones.backbone import Backbone
from jungle.training import build

CLASSES = ("blank", "hog", "lion")
SMALL = ["model.pretrained=false", "model.size=96x96", "optim.schedule=constant", "optim.warmup=0"]
SMALL += ["optim.plateau=null"]
LIGHT = ["model=finetune", "model.backbone=test_efficientnet"]


def choices(group: str) -> list[str]:
    return sorted(f"{group}={file.stem}" for file in (config_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize("args", [
    *([choice] for choice in choices("model") if choice not in ("model=frozen", "model=finetune")),
    *([*LIGHT, choice] for group in ("head", "loss", "optim") for choice in choices(group)),
    ["model=frozen", LIGHT[1]], [*LIGHT, "model.unfreeze={0: last_2}"], [*LIGHT, "model.norm_stats=keep"],
    [*LIGHT, "model.grad_checkpointing=true"], [*LIGHT, "optim.layer_decay=0.8", "optim.backbone_lr=1e-4"],
], ids=lambda args: " ".join(a.removeprefix("model.backbone=") for a in args))  # fmt: skip
def test_it_is_built_and_takes_a_step(args: list[str], clips: Clips) -> None:
    cfg = overrides.compose("train", [*args, *SMALL], config_dir())
    torch.manual_seed(0)
    task = build.resolve_task(cfg, clips)
    model = build.build_model(cfg, Backbone(build.make_backbone_spec(cfg)), clips, task, {})
    frames_BTHWC = torch.randint(0, 256, (2, 2, 96, 96, 3), dtype=torch.uint8)
    mask_BT = torch.tensor([[True, True], [True, False]])
    times_BT = torch.tensor([[0.5, 1.5], [0.5, 0.0]])
    batch = {
        "frames_BTHWC": frames_BTHWC, "mask_BT": mask_BT, "times_BT": times_BT,
        "targets_BC": torch.eye(3)[:2], "weight_B": torch.ones(2),
    }  # fmt: skip
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = model.configure_optimizers()
    model.train()
    value = model.training_step(batch, 0)
    value.backward()
    optimizer.step()
    assert torch.isfinite(value)
    moved = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == ({"head"} if cfg.model.mode == "frozen" else {"head", "backbone"})


@pytest.fixture(scope="module")
def clips() -> Clips:
    names = [f"{i}.mp4" for i in range(6)]
    seen = {name: [int(i % 3 == n) for i in range(6)] for n, name in enumerate(CLASSES)}
    return Clips(pl.DataFrame({"clip": names, "path": names, "split": ["train"] * 6, **seen}), CLASSES)
