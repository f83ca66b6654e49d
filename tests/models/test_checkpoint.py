"""Checkpoints of strangers: refused in one line, before they cost memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jungle.errors import UserError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.module import ClipClassifier
from jungle.video import ClipSpec, Frames

Saved = dict[str, Any]


def saved(backbone: str = "resnet18", size: int = 32) -> Saved:
    clip = ClipSpec(Frames("uniform", 2), (size, size)).to_dict()
    about = {"clip": clip, "priors": {"hog": 0.5, "lion": 0.5}, "weights_hash": "0" * 8}
    made = ClipClassifier(
        Backbone(BackboneSpec(backbone, pretrained=False, size=(size, size))),
        {"name": "attention", "hidden": 8, "dropout": 0.0},
        ("hog", "lion"),
        "exclusive",
        "frozen",
        about,
    )
    return {"state_dict": made.state_dict(), "jungle": made.describe()}


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
def test_an_honest_one_loads(tmp_path: Path, backbone: str) -> None:
    torch.save(saved(backbone), tmp_path / "a.ckpt")
    assert load_checkpoint(tmp_path / "a.ckpt").model.classes == ("hog", "lion")


def _claims(**values: Any) -> Callable[[Saved], None]:
    return lambda s: s["jungle"].update(values)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s["jungle"].pop("weights_hash"), "weights_hash"),
        (_claims(extra=torch.zeros(2)), "Tensor"),
        (_claims(extra={1: 2, "a": 3}), "no text"),
        (_claims(task="nonsense"), "task nonsense"),
        (_claims(mode="nonsense"), "mode nonsense"),
        (_claims(classes=["hog", "hog"]), "name of its own"),
        (_claims(classes=["clip", "lion"]), "'clip'"),
        (_claims(classes=["top_class", "lion"]), "'top_class'"),
        (_claims(priors={"hog": float("nan"), "lion": 0.5}), "share"),
        (lambda s: s["jungle"]["backbone"].update(size=[20000, 20000]), "another size"),
        (lambda s: s["jungle"]["head"].update(hidden=2_000_000), "another shape"),
        (
            lambda s: s["jungle"]["backbone"].update(name="vit_giant_patch14_224"),
            "cannot build|another shape",
        ),
        (
            lambda s: s["state_dict"].update({"head.norm.bias": torch.zeros(1).expand(10**6, 10**5)}),
            "larger than the file",
        ),
    ],
)
def test_a_hostile_one_is_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[Saved], None], said: str
) -> None:
    spoiled = saved()
    spoil(spoiled)
    torch.save(spoiled, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=said) as refused:
        load_checkpoint(tmp_path / "a.ckpt")
    assert "a.ckpt" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_a_description_claims_is_not_allocated(tmp_path: Path) -> None:
    import resource

    spoiled = saved()
    spoiled["jungle"]["head"]["hidden"] = 2_000_000  # 8 GB of weights
    torch.save(spoiled, tmp_path / "a.ckpt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "a.ckpt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
