from collections import Counter

import numpy as np
import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.loader import ClipLoader, Sample
from jungle.data.samplers import MOST, Sampler
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.losses import DrawRatios, as_they_are, loss, probabilities
from jungle.models.module import ClipClassifier
from jungle.models.warm_start import warm_start
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.video import ClipSpec, Frames

COUNTS = (160, 32, 8)


def targets() -> np.ndarray:
    return np.repeat(np.eye(3, dtype=np.float32), COUNTS, axis=0)


def drawn(name: str, epochs: int = 1, numbers: np.ndarray | None = None) -> np.ndarray:
    y = targets()
    numbers = np.arange(len(y)) if numbers is None else numbers
    sampler = Sampler(y, name)
    return np.stack([sampler(numbers, np.random.default_rng([0, e])) for e in range(epochs)])


def test_natural_has_each_clip_once() -> None:
    assert sorted(drawn("natural")[0]) == list(range(200))


@pytest.mark.parametrize("name", ["natural", "mixed", "balanced"])
def test_an_epoch_is_as_long_as_ever_and_the_draws_are_as_said(name: str) -> None:
    numbers = np.arange(3, 200)  # some clips are left out: they are never drawn
    got = drawn(name, 400, numbers)
    assert got.shape == (400, 197)
    assert set(np.unique(got)) == set(numbers)
    often = np.bincount(got.ravel(), minlength=200)[numbers] / 400
    wanted = Sampler(targets(), name).draws(numbers)
    assert wanted.sum() == pytest.approx(197)
    np.testing.assert_allclose(often, wanted, rtol=0.2)
    assert np.ptp(wanted[:100]) == 0


def test_the_shares_of_the_classes() -> None:
    classes = {n: np.bincount(targets().argmax(1)[drawn(n)[0]]) for n in ("mixed", "balanced")}
    assert classes["balanced"].tolist() == pytest.approx([66.7, 66.7, 66.7], abs=1)
    assert classes["mixed"].tolist() == pytest.approx([0.6 * n + 0.4 * 200 / 3 for n in COUNTS], abs=4)


def test_no_clip_is_learnt_by_heart() -> None:
    y = np.repeat(np.eye(2, dtype=np.float32), (99, 1), axis=0)
    got = Counter(Sampler(y, "balanced")(np.arange(100), np.random.default_rng(0)).tolist())
    assert MOST <= got[99] <= MOST + 1


def test_a_clip_is_drawn_by_each_of_its_classes_and_none_is_a_class() -> None:
    y = np.zeros((8, 2), np.float32)
    y[0] = 1
    y[1, 1] = 1
    y[2] = np.nan  # unknown: of no class, not even of none
    draws = Sampler(y, "balanced").draws(np.arange(8))
    assert draws[0] == pytest.approx(8 / 3 * 1.5)
    assert draws[1] == pytest.approx(8 / 3 / 2)
    assert draws[2] == pytest.approx(0)
    assert draws[3:].tolist() == pytest.approx([8 / 3 / 5] * 5)


def loader(rank: int, world: int, epoch: int = 0) -> ClipLoader:
    def read(numbers, epoch, draws):
        for n in map(int, numbers):
            yield n, Sample(np.zeros((1, 2), np.float16), np.zeros(1, np.float32))

    return ClipLoader(
        read,
        "x_BTD",
        np.arange(200),
        targets(),
        np.ones(200, np.float32),
        7,
        train=True,
        rank=rank,
        world=world,
        draw=Sampler(targets(), "balanced"),
        epoch_now=lambda: epoch,
    )


def seen(made: ClipLoader) -> list[int]:
    return [int(n) for batch in made for n in batch["number_B"]]


def test_devices_share_one_draw_out_and_epochs_differ() -> None:
    whole = seen(loader(0, 1))
    assert whole == seen(loader(0, 1))
    assert whole != seen(loader(0, 1, epoch=1))
    halves = [seen(loader(r, 2)) for r in range(2)]
    assert len(halves[0]) == len(halves[1]) == 100
    assert [n for pair in zip(*halves, strict=True) for n in pair] == whole


def fitted(task: str, name: str, corrected: bool) -> tuple[float, float]:
    """Train a linear model on clips drawn so; return its mean probability of the rare class, and the truth.

    Two classes that overlap: what a model that is right says depends on how many clips there are of each.
    """
    rng = np.random.default_rng(0)
    rare = rng.random(4000) < 0.1
    x = torch.from_numpy(rng.normal(rare * 1.0, 1.0)).float().unsqueeze(1)
    y = torch.from_numpy(np.stack([~rare, rare], axis=1)).float()
    sampler = Sampler(y.numpy(), name)
    model = torch.nn.Linear(1, 2)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for epoch in range(30):
        for part in np.array_split(sampler(np.arange(4000), np.random.default_rng([1, epoch])), 10):
            optimizer.zero_grad()
            loss(model(x[part]), y[part], torch.ones(len(part)), task).backward()
            optimizer.step()
    ratios = DrawRatios.of(y, torch.from_numpy(sampler.draws(np.arange(4000))))
    with torch.no_grad():
        z = model(x)
        if corrected and task == "exclusive":
            z = z - ratios.mean_shift(y, task)
        elif corrected:
            z = as_they_are(z, torch.tensor(ratios.classes), ratios.none)
    p = probabilities(z, task)
    return float(p[:, 1].mean()), float(rare.mean())


@pytest.mark.parametrize("task", ["exclusive", "multilabel"])
@pytest.mark.parametrize("name", ["mixed", "balanced"])
def test_probabilities_stay_calibrated(task: str, name: str) -> None:
    said, true = fitted(task, name, corrected=True)
    assert said == pytest.approx(true, abs=0.015)
    assert fitted(task, name, corrected=False)[0] > true + 0.1


def test_the_shift_is_in_the_checkpoint_and_only_in_evaluation(tmp_path) -> None:
    about = {
        "clip": ClipSpec(Frames(count=2), size=(32, 32)).to_dict(),
        "priors": {"a": 0.5, "b": 0.5},
        "weights_hash": "w",
    }
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    head = {"name": "mean", "hidden": 0, "dropout": 0.0}
    batch = {
        "x_BTD": torch.randn(3, 2, backbone.dim),
        "mask_BT": torch.ones(3, 2, dtype=torch.bool),
        "times_BT": torch.zeros(3, 2),
    }
    args = (backbone, head, ("a", "b"), "multilabel", "frozen")
    model = ClipClassifier(*args, {**about, "prior_shift": {"a": 0.0, "b": 2.0}})
    in_training = model.train()(batch).logits_BC
    model.eval()
    torch.testing.assert_close(model(batch).logits_BC, in_training - torch.tensor([0.0, 2.0]))
    saved: dict = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(saved)
    torch.save(saved, tmp_path / "m.ckpt")
    loaded = load_checkpoint(tmp_path / "m.ckpt").model
    assert torch.equal(loaded(batch).logits_BC, model(batch).logits_BC)
    again = ClipClassifier(*args, {**about, "prior_shift": {"a": 1.0, "b": -1.0}}).eval()
    warm_start(again, tmp_path / "m.ckpt")  # trained on, its clips drawn in another way
    torch.testing.assert_close(again(batch).logits_BC, model(batch).logits_BC)
    model.start_from_priors(torch.eye(2), torch.tensor([3.0, 1.0]))  # as drawn
    bias = model.head.classify[-1].bias
    torch.testing.assert_close(bias, torch.tensor([3.0, 1 / 3]).log())
    given = {"classes": {"a": 0.5, "b": 2.0}, "none": 1.5}
    model = ClipClassifier(*args, {**about, "draw_ratios": given})
    drawn = model.train()(batch).logits_BC
    torch.testing.assert_close(
        model.eval()(batch).logits_BC, as_they_are(drawn, torch.tensor([0.5, 2.0]), 1.5)
    )
    model.on_save_checkpoint(saved := {"state_dict": model.state_dict()})
    torch.save(saved, tmp_path / "m.ckpt")
    assert torch.equal(load_checkpoint(tmp_path / "m.ckpt").model(batch).logits_BC, model(batch).logits_BC)


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_training_draws_as_the_config_says_and_evaluation_does_not(mode: str, survey, tmp_path) -> None:
    rows = (survey / "labels.csv").read_text().splitlines()
    hogs = [r for r in rows if ",hog,train," in r]
    (tmp_path / "l.csv").write_text("\n".join(r for r in rows if r not in hogs[2:]) + "\n")
    args = ["data=csv", f"data.root={survey}", f"data.labels={tmp_path / 'l.csv'}", f"model={mode}"]
    args += ["model.backbone=test_vit", "model.pretrained=false", "model.size=32x32", "frames.count=1"]
    args += [f"paths.cache={tmp_path}", "data.workers=1", "sampler=balanced"]
    cfg = overrides.compose("train", args, config_dir())
    clips, _ = training_clips.load(cfg)
    backbone = Backbone(build.make_backbone_spec(cfg))
    specs = build.make_clip_specs(cfg, backbone)
    if mode == "frozen":
        data = datamodules.build_feature_datamodule(cfg, clips, backbone, specs[1], backbone.weights_hash())
    else:
        data = datamodules.build_video_datamodule(cfg, clips, *specs)
    try:
        drawn = seen(data.loader("train", True))
        evaluated = seen(data.loader("val"))
    finally:
        datamodules.close_datamodule(data)
    y = clips.targets()
    assert y[drawn].sum(0).tolist() == pytest.approx([6, 6, 6], abs=1)  # of 8, 2 and 8
    assert sorted(evaluated) == data.numbers("val", labelled=True).tolist()
