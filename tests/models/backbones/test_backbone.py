import hashlib
from dataclasses import replace

import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError, UserError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.cpu_parallel import map_parallel
from jungle.training import build

SMALL = BackboneSpec("tf_efficientnet_lite0", size=(64, 96))


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return Backbone(SMALL).eval()


def frames(n: int = 3) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_the_bundled_weights_are_imagenet(lite: Backbone) -> None:
    """Weights under wrong names load too, and give other numbers than these.

    The numbers are of weights that told photographs of leopards (class 288) from ImageNet's others.
    """
    y, x = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    picture = torch.stack([x * 2, y * 3, x + y], dim=-1).to(torch.uint8)[None]
    with torch.no_grad():
        feature = lite(picture)[0]
    assert feature.topk(5).indices.tolist() == [423, 71, 238, 1104, 425]
    assert feature.topk(5).values.tolist() == pytest.approx(
        [5.2411, 4.4403, 3.7892, 3.5125, 3.1552], abs=0.01
    )


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "tf_efficientnet_lite2"])
def test_its_larger_sisters_load_too(name: str) -> None:
    with_weights, without = Backbone(BackboneSpec(name)), Backbone(BackboneSpec(name, pretrained=False))
    assert with_weights.weights_hash() != without.weights_hash()


def test_features_have_the_width_it_says(lite: Backbone) -> None:
    assert lite.dim == 1280
    assert lite(frames()).shape == (3, 1280)
    assert lite.size == (64, 96)


@pytest.mark.parametrize(
    ("name", "taps", "left"),
    [
        ("tf_efficientnet_lite0", (), 0),
        ("tf_efficientnet_lite0", ("blocks.2", "bn2"), 0),
        ("resnet18", ("layer2", "bn1"), 0),
        ("densenet121", ("features.denseblock1",), 62),
        ("nasnetalarge", ("cell_0",), 224),
    ],
)
def test_folding_gives_the_same_features(name: str, taps: tuple[str, ...], left: int) -> None:
    backbone = Backbone(BackboneSpec(name, pretrained=False, size=(64, 96), taps=taps)).eval()
    for norm in (m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.2)
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    before = backbone.weights_hash()
    twin = backbone.folded()
    assert twin is not backbone
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in twin.modules()) == left
    with torch.inference_mode():
        own, new = backbone(frames()), twin(frames())
    assert torch.allclose(own, new, atol=1e-3 * float(own.abs().max()))
    assert backbone.weights_hash() == before


def test_a_fold_that_changes_the_features_is_not_used(
    monkeypatch: pytest.MonkeyPatch, lite: Backbone
) -> None:
    def spoil(module: torch.nn.Module) -> None:
        module.conv_stem.weight.data.mul_(1.01)  # type: ignore[union-attr]

    monkeypatch.setattr("jungle.models.backbones.backbone.fold_norms", spoil)
    assert lite.folded() is lite


def test_normalisation_is_the_models_own(lite: Backbone) -> None:
    seen = {}
    lite.model.conv_stem.register_forward_pre_hook(lambda _m, args: seen.update(x=args[0]))
    lite(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    assert seen["x"].unique().tolist() == [-1.0]  # (0 - 0.5) / 0.5


def test_random_weights_are_the_same_everywhere() -> None:
    torch.manual_seed(1)
    first = Backbone(BackboneSpec("resnet18", pretrained=False, size=(64, 64))).weights_hash()
    torch.manual_seed(2)
    assert Backbone(BackboneSpec("resnet18", pretrained=False, size=(64, 64))).weights_hash() == first


def test_it_is_rebuilt_from_its_description(lite: Backbone) -> None:
    again = Backbone.from_dict(lite.to_dict()).eval()
    again.load_state_dict(lite.state_dict())
    assert torch.equal(again(frames()), lite(frames()))
    assert again.weights_hash() == lite.weights_hash()


def test_taps_are_pooled_and_joined() -> None:
    spec = BackboneSpec("resnet18", pretrained=False, size=(64, 64), taps=("layer1", "layer4"))
    assert Backbone(spec).dim == 64 + 512
    with pytest.raises(UsageError, match="layer4"):
        Backbone(BackboneSpec("resnet18", pretrained=False, taps=("layer5",)))


@pytest.mark.parametrize("pool", ["mean", "max", "gem"])
@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_every_kind_of_map_is_pooled_over_space(name: str, pool: str) -> None:
    taps = {"resnet18": ("layer2",), "swin_tiny_patch4_window7_224": ("layers.1",)}.get(name, ("blocks.3",))
    made = Backbone(BackboneSpec(name, False, None, (64, 64), taps, pool)).eval()
    kept: list[torch.Tensor] = []
    dict(made.model.named_modules())[taps[0]].register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.inference_mode():
        x_ND = made(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    out = kept[-1] if name != "vit_tiny_patch16_224" else kept[-1][:, 1:]  # the first token is no place
    places = {"resnet18": (2, 3), "swin_tiny_patch4_window7_224": (1, 2)}.get(name, (1,))
    wanted = {
        "mean": lambda: out.mean(places),
        "max": lambda: out.amax(places),
        "gem": lambda: out.clamp(min=1e-6).pow(3).mean(places).pow(1 / 3),
    }[pool]()
    torch.testing.assert_close(x_ND, wanted)
    again = Backbone.from_dict(made.to_dict())
    assert again.spec.pool == pool


@pytest.mark.parametrize(
    ("preset", "size", "parts"),
    [
        ("resnet152", (404, 404), [256, 512, 1024, 2048]),
        ("inception_v4", (404, 404), [384, 1024, 1536]),
        ("inception_resnet_v2", (404, 404), [320, 1088, 2080]),
        ("nasnet", (331, 331), [1344, 2688, 4032]),
    ],
)
def test_the_seeds_four_backbones_have_its_dimensions(preset: str, size: tuple, parts: list[int]) -> None:
    cfg = overrides.compose("train", [f"model=primatrix_{preset}", "model.pretrained=false"], config_dir())
    spec = build.make_backbone_spec(cfg)
    assert spec.size == size
    made = Backbone(replace(spec, size=(96, 96)))
    kept: dict[str, int] = {}
    for tap in spec.taps:
        module = dict(made.model.named_modules())[tap]
        module.register_forward_hook(lambda _m, _i, out, tap=tap: kept.update({tap: out.shape[1]}))
    with torch.inference_mode():
        made.eval()(torch.zeros(1, 96, 96, 3, dtype=torch.uint8))
    assert [kept[tap] for tap in spec.taps] == parts
    assert made.dim == sum(parts)
    halves = [0.5 * 255] * 3
    assert (made.mean.flatten().tolist() == halves) == (preset != "resnet152")


@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("resnet152", 775, "a35e6e3c03f70697"),
        ("inception_v4", 745, "b96b08bf109eef5f"),
        ("inception_resnet_v2", 1100, "0ed3c8b2a8cd3e9a"),
        ("nasnetalarge", 1544, "81385234a94a6a4e"),
    ],
)
def test_the_original_zoo_names_its_weights_as_we_do(name: str, count: int, digest: str) -> None:
    """Digests of the names and shapes in `pretrainedmodels` 0.7.4, without counters and classifier."""
    with torch.device("meta"):
        state = Backbone(BackboneSpec(name, pretrained=False)).model.state_dict()
    rows = sorted(f"{k} {tuple(v.shape)}" for k, v in state.items() if not k.endswith("num_batches_tracked"))
    assert len(rows) == count
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16] == digest


def test_weights_in_the_original_zoos_key_names(tmp_path) -> None:
    """Its files are of 2017: no counters in BatchNorm, `last_linear` for the classes, `module.` before."""
    made = Backbone(BackboneSpec("inception_v4", pretrained=False, size=(96, 96)))
    state = {k: v + 0.25 for k, v in made.model.state_dict().items() if not k.endswith("num_batches_tracked")}
    zoo = {f"module.{k}": v for k, v in state.items()}
    zoo |= {
        "module.last_linear.weight": torch.zeros(1000, 1536),
        "module.last_linear.bias": torch.zeros(1000),
    }
    torch.save(zoo, tmp_path / "inceptionv4-8e4777a0.pth")
    spec = replace(made.spec, weights=str(tmp_path / "inceptionv4-8e4777a0.pth"))
    loaded = Backbone(spec).model.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())
    del zoo["module.features.0.conv.weight"]
    torch.save(zoo, tmp_path / "inceptionv4-8e4777a0.pth")
    with pytest.raises(UserError, match=r"of \d+ tensors it lacks 1 \(features.0.conv.weight"):
        Backbone(spec)


def test_a_vision_transformer_takes_another_size() -> None:
    made = Backbone(BackboneSpec("vit_tiny_patch16_224", pretrained=False, size=(96, 160)))
    assert made(torch.zeros(1, 96, 160, 3, dtype=torch.uint8)).shape == (1, 192)


def test_a_weights_file_is_loaded_or_refused(lite: Backbone, tmp_path) -> None:
    import safetensors.torch

    good = tmp_path / "good.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in lite.model.state_dict().items()}, good)
    loaded = Backbone(BackboneSpec("tf_efficientnet_lite0", weights=str(good)))
    assert loaded.weights_hash() == lite.weights_hash()
    with pytest.raises(UserError, match="does not fit"):
        Backbone(BackboneSpec("resnet18", weights=str(good)))
    with pytest.raises(UserError, match="no such file"):
        Backbone(BackboneSpec("resnet18", weights=str(tmp_path / "none.pth")))


def test_a_weights_file_cannot_run_code(tmp_path) -> None:
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(UserError, match="read safely"):
        Backbone(BackboneSpec("resnet18", weights=str(tmp_path / "hostile.pth")))
    assert not (tmp_path / "ran").exists()


def test_clips_side_by_side_keep_their_own_taps(lite: Backbone) -> None:
    tapped = Backbone(
        BackboneSpec("tf_efficientnet_lite0", size=(64, 96), taps=("blocks.1", "blocks.3"))
    ).eval()

    def features(clip: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return tapped(clip)

    clips = [frames(2) // (i + 1) for i in range(16)]
    alone = [features(clip) for clip in clips]
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        together = map_parallel(features, clips)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(alone, together, strict=True))
