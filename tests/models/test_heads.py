from functools import cache
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.heads import HEADS, POOLS, completed, make_head
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier
from jungle.video import ClipSpec, Frames

DIM, CLASSES = 12, 4
CONFIGS = sorted(f.stem for f in (config_dir() / "head").glob("*.yaml"))
KINDS = [
    *CONFIGS,
    *(f"attention head.score={s} head.span={span}" for s in ("tanh", "linear") for span in ("true", "false")),
    "gru head.bidirectional=false",
]
ORDERED = {"gru", "tcn", "transformer", "flatten", "primatrix_gru"}
LOOKING = {"attention", "gated_attention", "multi_query", "gru", "tcn", "transformer"}
LOOKING |= {f"primatrix_{n}" for n in ("attention", "gru", "attention_original", "gru_original")}
ORDERED |= {"primatrix_gru_original", "primatrix_attention_original"}  # a short clip repeats its last frame


@cache
def values(kind: str) -> dict:
    """What a checkpoint holds of `head=kind`, small."""
    name, *own = kind.split()
    found = overrides.compose("train", [f"head={name}", *own], config_dir()).head.model_dump()
    small = {"hidden": 8, "units": 16, "width": 64, "frames": 9, "zero": False}  # of zeros nothing is seen
    return {k: small.get(k, v) if v else v for k, v in found.items()}


def head(kind: str, **changes):
    torch.manual_seed(0)
    return make_head({**values(kind), **changes}, DIM, CLASSES).eval()


def clips(batch: int = 3, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    times = torch.arange(frames).float().expand(batch, frames) / 2
    return torch.randn(batch, frames, DIM), torch.ones(batch, frames, dtype=torch.bool), times


def test_every_head_has_a_config_of_its_name() -> None:
    assert set(CONFIGS) == set(HEADS)


@pytest.mark.parametrize("padding", [99.0, float("nan")])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str, padding: float) -> None:
    x, mask, times = clips()
    made = head(kind)
    plain = made(x, mask, times)
    padded = made(
        torch.cat([x, torch.full((3, 4, DIM), padding)], dim=1),
        torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1),
        torch.cat([times, torch.full((3, 4), 77.0)], dim=1),
    )
    torch.testing.assert_close(plain.logits_BC, padded.logits_BC)
    if plain.attention_BT is not None:
        assert not padded.attention_BT[:, 5:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_alone_gets_the_answer_it_gets_in_a_batch(kind: str) -> None:
    x, mask, times = clips()
    mask[1, 3:] = False
    made = head(kind)
    alone = made(x[1:2, :3], mask[1:2, :3], times[1:2, :3]).logits_BC
    torch.testing.assert_close(made(x, mask, times).logits_BC[1:2], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_frames_matters_where_it_should_alone(kind: str) -> None:
    x, mask, times = clips(2, 6)
    made = head(kind)
    forward, backward = made(x, mask, times).logits_BC, made(x.flip(1), mask, times).logits_BC
    assert torch.allclose(forward, backward, atol=1e-5) == (kind.split()[0] not in ORDERED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [0, 8])
def test_any_number_of_frames_and_a_gradient(kind: str, hidden: int) -> None:
    made = head(kind, **({"hidden": hidden} if "hidden" in values(kind) else {})).train()
    for frames in (1, 2, 9 if "frames" in values(kind) else 33):
        answer = made(*clips(2, frames))
        assert answer.logits_BC.shape == (2, CLASSES)
        answer.logits_BC.square().sum().backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any() or p.ndim == 1, name  # max - min and softmax do not see a bias


@pytest.mark.parametrize("kind", KINDS)
def test_attention_weights_sum_to_one(kind: str) -> None:
    x, mask, times = clips(2, 3)
    mask[1, 1:] = False
    attention = head(kind)(x, mask, times).attention_BT
    assert (attention is not None) == (kind.split()[0] in LOOKING)
    if attention is not None:
        torch.testing.assert_close(attention.sum(1), torch.ones(2))
        assert attention[1].tolist() == pytest.approx([1.0, 0.0, 0.0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_steps_learn_a_few_clips(kind: str) -> None:
    x, mask, times = clips(8, 6)
    classes = torch.arange(8) % CLASSES
    wide = {"hidden": 16 if values(kind)["hidden"] else 0} if "hidden" in values(kind) else {}
    mix = {"mix_dropout": 0.0} if "mix_dropout" in values(kind) else {}
    made = head(kind, dropout=0.0, **wide, **mix)
    # One layer, and no norm before it: its features are small.
    optimizer = torch.optim.AdamW(made.parameters(), 1e-1 if kind == "linear" else 1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(made(x, mask, times).logits_BC, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_predicts_the_same_answers(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    about = {
        "clip": ClipSpec(Frames(count=5), size=(32, 32)).to_dict(),
        "priors": {"a": 0.5, "b": 0.5},
        "weights_hash": "w",
    }
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    model = ClipClassifier(backbone, values(kind), ("a", "b"), "exclusive", "frozen", about).eval()
    saved: dict = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(saved)
    torch.save(saved, tmp_path / "m.ckpt")
    loaded = load_checkpoint(tmp_path / "m.ckpt").model
    batch = {
        "frames_BTHWC": torch.randint(0, 256, (2, 5, 32, 32, 3), dtype=torch.uint8),
        "mask_BT": torch.tensor([[True] * 5, [True] * 3 + [False] * 2]),
        "times_BT": torch.arange(5.0).expand(2, 5),
        "number_B": torch.arange(2),
        "status": ["ok", "ok"],
        "reason": ["", ""],
    }
    ours, theirs = (list(predict_batches(m, [dict(batch)], "cpu", "float32")) for m in (model, loaded))
    for a, b, frames in zip(ours, theirs, (5, 3), strict=True):
        assert a.probs.tolist() == b.probs.tolist()
        assert a.probs.sum() == pytest.approx(1)
        if a.attention is not None:
            assert len(a.attention) == len(a.times) == frames
            assert a.attention.sum() == pytest.approx(1)


def test_heads_of_before_there_were_settings_are_built_as_they_were() -> None:
    old = make_head({"name": "attention", "hidden": 8, "dropout": 0.5}, DIM, CLASSES)
    assert {k: tuple(v.shape) for k, v in old.state_dict().items() if "pool" in k} == {
        "pool.score.0.weight": (128, DIM),
        "pool.score.0.bias": (128,),
        "pool.score.2.weight": (1, 128),
        "pool.score.2.bias": (1,),
    }
    assert old.classify[0].normalized_shape == (2 * DIM,)
    assert completed({"name": "attention", "hidden": 8, "dropout": 0.5}) == values("attention")


def test_statistics_are_what_they_say() -> None:
    x, mask, times = clips(2, 4)
    mask[1, 2:] = False
    seen = x[1, :2]
    wanted = {
        "max": seen.amax(0),
        "mean": seen.mean(0),
        "maxmin": seen.amax(0) - seen.amin(0),
        "lse": ((4 * seen).exp().mean(0).log() / 4),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(POOLS[name](DIM)(x, mask, times)[0][1], value)
    near_mean = POOLS["lse"](DIM, sharpness=1e-3)(x, mask, times)[0][1]
    torch.testing.assert_close(near_mean, wanted["mean"], atol=2e-3, rtol=0.01)


def test_the_seeds_two_scores() -> None:
    x, mask, times = clips(2, 4)
    for score in ("tanh", "linear"):
        pool = POOLS["attention"](DIM, score=score, span=False)
        weights = dict(pool.named_parameters())
        w = next(v for k, v in weights.items() if k.endswith("weight"))[0]
        b = next((v for k, v in weights.items() if k.endswith("bias")), torch.zeros(1))
        s = x @ w + b
        torch.testing.assert_close(pool(x, mask, times)[1], (s.tanh() if score == "tanh" else s).softmax(1))


def test_padding_is_in_no_statistic_of_the_seeds_norm() -> None:
    x, mask, times = clips(4, 6)
    mask[:, 3:] = False
    long, short = (head("primatrix_attention", dropout=0.0).train() for _ in range(2))
    padded = long(x.masked_fill(~mask.unsqueeze(2), 50.0), mask, times).logits_BC
    torch.testing.assert_close(padded, short(x[:, :3], mask[:, :3], times[:, :3]).logits_BC)
    torch.testing.assert_close(long.norm.running_mean, short.norm.running_mean)


def test_a_batch_of_one_clip_trains() -> None:
    made = head("primatrix_attention").train()
    assert made(*clips(1, 1)).logits_BC.isfinite().all()


def test_a_recurrent_head_of_one_way_looks_back_from_the_end() -> None:
    x, mask, times = clips(1, 5)
    mix = head("gru head.bidirectional=false").pool.mix
    before = mix(x, mask, times)
    x[:, 3] += 1
    moved = (mix(x, mask, times) - before).abs().sum(2)[0] > 0
    assert moved.tolist() == [True, True, True, True, False]


def test_a_transformer_sees_when_and_not_where() -> None:
    x, mask, times = clips(2, 5)
    made = head("transformer")
    turned = made(x.flip(1), mask, times.flip(1)).logits_BC
    torch.testing.assert_close(made(x, mask, times).logits_BC, turned)
    assert not torch.allclose(made(x, mask, times * 3).logits_BC, turned, atol=1e-4)


def test_flatten_refuses_more_frames_than_it_has_places_for() -> None:
    with pytest.raises(ValueError, match="places for 9 frames"):
        head("flatten")(*clips(2, 10))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["head=atention"], "Nearest: attention"),
        (["head=mean", "head.score=tanh"], "head.score belongs to head=attention"),
        (["head=mean", "+head.score=tanh"], "head.score"),
        (["head.score=tan"], r"head.score=tan is not valid. Nearest: tanh"),
        (["head.name=grew"], r"head.name=grew is not valid. Nearest: gru"),
        (["head=transformer", "head.units=250"], "not a multiple"),
        (["trainer.devices=x"], r"trainer.devices=x"),
    ],
)
def test_wrong_settings_are_named(wrong: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        overrides.compose("train", wrong, config_dir())


def test_flatten_has_as_many_places_as_frames_are_read() -> None:
    cfg = overrides.compose("train", ["head=flatten", "frames.count=7"], config_dir())
    assert cfg.head.frames == 7
    assert "frames" not in OmegaConf.load(config_dir() / "head" / "gru.yaml")
