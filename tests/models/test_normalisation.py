"""How frames are normalised travels with features and checkpoints: another timm may have another default."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jungle.errors import UserError
from jungle.features.spec import make_feature_spec
from jungle.features.store import FeatureStore
from jungle.models.backbones import backbone
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.backbones.concat import Joined, backbone_from
from jungle.models.checkpoint import load_checkpoint
from jungle.models.warm_start import warm_start
from jungle.prediction import predictor
from jungle.video import ClipSpec, Frames
from tests.models.test_checkpoint import saved

SPEC = BackboneSpec("test_resnet", pretrained=False, size=(32, 32))
FRAMES = torch.arange(2 * 32 * 32 * 3).remainder(256).to(torch.uint8).view(2, 32, 32, 3)
OTHER = ([0.4, 0.5, 0.5], [0.25, 0.5, 0.5])


@pytest.fixture
def another_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm normalise this model otherwise."""
    own = backbone.resolve_model_data_config

    def changed(model: Any) -> dict[str, Any]:
        return {**own(model), "mean": OTHER[0], "std": OTHER[1]}

    monkeypatch.setattr(backbone, "resolve_model_data_config", changed)


def test_a_checkpoint_says_how_it_normalises(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    first = Backbone(SPEC).eval()
    told = first.to_dict()
    torch.save(whole := saved("test_resnet"), tmp_path / "a.ckpt")
    old = {k: v for k, v in told.items() if k not in ("mean", "std")}  # of version 0.1
    request.getfixturevalue("another_timm")
    again, older = (Backbone.from_dict(d).eval() for d in (told, old))
    for made in (again, older):
        made.load_state_dict(first.state_dict())
    assert torch.equal(again(FRAMES), first(FRAMES))
    assert again.to_dict() == told
    assert not torch.equal(older(FRAMES), first(FRAMES))  # timm's own, as that version had it
    assert older.normalisation == tuple(map(tuple, OTHER))
    loaded = load_checkpoint(tmp_path / "a.ckpt").model
    assert loaded.backbone.to_dict() == whole["jungle"]["backbone"]
    parts = Joined([Backbone(SPEC), first])
    assert [p.normalisation for p in backbone_from(parts.to_dict()).parts] == [
        p.normalisation for p in parts.parts
    ]


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.5, 0.5], [0.5] * 3),
        ([float("nan")] * 3, [0.5] * 3),
        ([0.5] * 3, [0.0] * 3),
        ([1e9] * 3, [0.5] * 3),
        ("abc", [0.5] * 3),
    ],
)
def test_a_strangers_normalisation_is_checked(mean: Any, std: Any, tmp_path: Path) -> None:
    given = saved("test_resnet")
    given["jungle"]["backbone"].update(mean=mean, std=std)
    torch.save(given, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"a\.ckpt"):
        load_checkpoint(tmp_path / "a.ckpt")


def test_weights_are_not_taken_from_a_model_that_sees_frames_otherwise(tmp_path: Path) -> None:
    given = saved("test_resnet")
    torch.save(given, tmp_path / "a.ckpt")
    model = load_checkpoint(tmp_path / "a.ckpt").model
    warm_start(model, tmp_path / "a.ckpt")
    given["jungle"]["backbone"].update(mean=OTHER[0], std=OTHER[1])
    torch.save(given, tmp_path / "b.ckpt")
    with pytest.raises(UserError, match=r"b\.ckpt: its normalisation of frames"):
        warm_start(model, tmp_path / "b.ckpt")


def spec_of(mean: list[float] | None = None) -> dict[str, Any]:
    made = make_feature_spec(Backbone(SPEC), ClipSpec(Frames(count=2), (32, 32)), "w", "float32")
    return made if mean is None else {**made, "mean": mean}


def old_store(root: Path) -> FeatureStore:
    """Make a store as version 0.1 did: its spec says nothing of normalisation."""
    store = FeatureStore.open(root, "a", {k: v for k, v in spec_of().items() if k not in ("mean", "std")})
    with store.writer() as writer:
        writer.add("k", "", np.zeros((2, 3), np.float16), np.zeros(2, np.float32))
    return store


def test_features_normalised_otherwise_are_other_features(tmp_path: Path) -> None:
    one, two = spec_of(), spec_of(OTHER[0])
    assert FeatureStore.open(tmp_path, "a", one).folder != FeatureStore.open(tmp_path, "a", two).folder


def test_a_store_of_version_0_1_is_found_until_the_normalisation_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old = old_store(tmp_path)
    assert FeatureStore.find_folder(tmp_path, "a", spec_of()) == old.folder
    assert FeatureStore.find_folder(tmp_path, "a", {**spec_of(), "pool": "max"}) != old.folder
    for _ in range(2):
        found = FeatureStore.open(tmp_path, "a", spec_of())
        assert found.folder == old.folder
        assert "k" in found
    assert caplog.text.count("did not note by which mean") == 1
    changed = FeatureStore.open(tmp_path, "a", spec_of(OTHER[0]))  # another timm, later
    assert changed.folder != old.folder
    assert "k" not in changed
    assert FeatureStore.open(tmp_path, "a", spec_of()).folder == old.folder
    assert FeatureStore.open(tmp_path, "a", old.spec).folder == old.folder
    held = json.loads((old.folder / "spec.json").read_text())
    assert held["later"] == {k: spec_of()[k] for k in ("mean", "std")}


def test_members_share_features_only_where_they_see_the_same() -> None:
    def member(spec: BackboneSpec) -> Any:
        return SimpleNamespace(weights_hash="w", model=SimpleNamespace(backbone=Backbone(spec)))

    taps: dict[str, Any] = {"pretrained": False, "size": (32, 32), "taps": ("layer4",)}
    specs = [
        SPEC,
        BackboneSpec("test_resnet", mean=(0.4, 0.5, 0.5), pretrained=False, size=(32, 32)),
        BackboneSpec("test_resnet", **taps),
        BackboneSpec("test_resnet", **taps, pool="max"),
    ]
    seeing = [predictor._hash_backbone(member(s)) for s in specs]
    assert len(set(seeing)) == len(seeing)
    assert predictor._hash_backbone(member(SPEC)) == seeing[0]
