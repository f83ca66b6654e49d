"""What the taps of a backbone give, without its weights."""

import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.backbones.taps import taps_of

# Pri-matrix Factorization, third place: channels and side of the maps that it pooled.
THIRD_PLACE = {
    "resnet152": [(256, 101), (512, 51), (1024, 26), (2048, 13)],
    "inception_v4": [(384, 48), (1024, 23), (1536, 11)],
    "inception_resnet_v2": [(320, 48), (1088, 23), (2080, 11)],
    "nasnet": [(1344, 21), (2688, 11), (4032, 11)],
}


@pytest.mark.parametrize("preset", THIRD_PLACE)
def test_the_presets_are_the_maps_of_the_third_place(preset: str) -> None:
    model = overrides.compose("train", [f"model=primatrix_{preset}"], config_dir()).model
    found = taps_of(model.backbone, model.size, model.taps)
    assert [tap.name for tap in found] == list(model.taps)
    assert [(tap.channels, tap.height, tap.width) for tap in found] == [
        (channels, side, side) for channels, side in THIRD_PLACE[preset]
    ]


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_what_is_told_is_what_a_backbone_gives(name: str) -> None:
    size = (224, 224)
    told = {tap.name: tap for tap in taps_of(name, size)}
    at = {"resnet18": "layer2", "vit_tiny_patch16_224": "blocks.3"}.get(name, "layers.1")
    backbone = Backbone(BackboneSpec(name, False, None, size, (at,)), load=False)
    assert told[at].channels == backbone.dim
    whole = taps_of(name, size, depth=1)
    assert len(whole) < len(told)
    assert {tap.name for tap in whole} <= set(told)


def test_a_frame_may_have_any_shape_and_a_backbone_its_own_size() -> None:
    [tap] = taps_of("resnet18", (180, 320), ["layer3"])
    assert (tap.kind, tap.channels, tap.height, tap.width) == ("Sequential", 256, 12, 20)
    assert taps_of("nasnetalarge", names=["cell_17"])[0].height == 11


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"resnet18 has no module layer5. Nearest: layer"):
        taps_of("resnet18", names=["layer5"])
    with pytest.raises(UsageError, match="resnet"):
        taps_of("resnett18")
