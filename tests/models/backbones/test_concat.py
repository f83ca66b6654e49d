import pytest
import torch
import yaml

from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.backbones.concat import MOST, Joined, backbone_from, backbones_of, make_backbone

SIZE = (64, 96)
PARTS = (
    BackboneSpec("test_resnet", False, size=SIZE),
    BackboneSpec("test_efficientnet", False, size=SIZE, taps=("blocks.0", "blocks.2"), pool="max"),
)


def made() -> Joined:
    return make_backbone(BackboneSpec("test_resnet", False, size=SIZE, also=PARTS[1:])).eval()


def test_its_features_are_those_of_its_parts_side_by_side() -> None:
    frames_NHWC = torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8)
    joined, parts = made(), [Backbone(p).eval() for p in PARTS]
    with torch.inference_mode():
        expected = torch.cat([p(frames_NHWC) for p in parts], dim=1)
        torch.testing.assert_close(joined(frames_NHWC), expected)
        torch.testing.assert_close(joined.folded()(frames_NHWC), expected, rtol=1e-3, atol=1e-3)
    assert joined.dim == expected.shape[1]
    assert [p.weights_hash() for p in backbones_of(joined)] == [p.weights_hash() for p in parts]


def test_it_is_built_again_from_its_description() -> None:
    joined = made()
    again = backbone_from(joined.to_dict())
    again.load_state_dict(joined.state_dict())
    assert again.weights_hash() == joined.weights_hash()
    assert again.to_dict() == joined.to_dict()
    with pytest.raises(UsageError, match="17 backbones"):
        backbone_from({**joined.to_dict(), "also": joined.to_dict()["also"] * (MOST + 1)})


def test_parts_of_two_sizes_are_refused() -> None:
    other = BackboneSpec("test_efficientnet", False, size=(64, 64))
    with pytest.raises(UsageError, match="sees 64x96, test_efficientnet sees 64x64"):
        make_backbone(BackboneSpec("test_resnet", False, size=SIZE, also=(other,)))


def test_the_third_places_are_those_of_its_single_models() -> None:
    """Its three have 3840, 2944 and 3488 numbers a frame (see test_backbone): 10272 together."""

    def read(name: str) -> dict:
        text = (config_dir() / "model" / f"{name}.yaml").read_text()
        values = yaml.safe_load(text)
        base = values.pop("defaults", [])[0]
        return values if base == "frozen" else {**read(base), **values}

    joined = read("primatrix_joined")
    singles = [read(f"primatrix_{n}") for n in ("resnet152", "inception_v4", "inception_resnet_v2")]
    assert len({s["size"] for s in singles}) == 1
    assert [(joined["backbone"], joined["taps"]), *((a["backbone"], a["taps"]) for a in joined["also"])] == [
        (s["backbone"], s["taps"]) for s in singles
    ]
