"""Clips drawn by class, and the probabilities of clips as they are: against posteriors that are known."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.data.samplers import Sampler
from jungle.metrics.scores import log_loss
from jungle.models.backbones.backbone import Backbone
from jungle.models.losses import DrawRatios, as_they_are, class_weights, prior_logits
from jungle.training import build
from jungle.training import clips as training_clips

PRIMATRIX = (  # clips of each class as in the competition's training set, but of the two most frequent fewer
    *(2, 8, 9, 10, 16, 22, 33, 74, 83, 89, 210, 282, 345, 439, 653, 1012, 1167, 2018),
    *(2485, 4045, 5085, 6690, 24488, 120000),
)


def toy(shares: list[float], clips: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return labels `[N, C]` of clips of one class each, and how probable each x is in each class, `[N, C]`.

    Classes are Gaussians of deviation 1 on a circle: they overlap.
    """
    rng = np.random.default_rng(0)
    label = rng.choice(len(shares), clips, p=shares)
    label[: len(shares)] = np.arange(len(shares))
    angle = 2 * np.pi * np.arange(len(shares)) / len(shares)
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = centres[label] + rng.normal(size=(clips, 2))
    likely = np.exp(-((x[:, None] - centres) ** 2).sum(2) / 2)
    return np.eye(len(shares), dtype=np.float32)[label], likely


def posterior(likely: np.ndarray, share_C: np.ndarray) -> np.ndarray:
    joint = likely * share_C
    return joint / joint.sum(1, keepdims=True)


def logit(p: np.ndarray) -> torch.Tensor:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return torch.from_numpy(np.log(p) - np.log1p(-p))


@pytest.mark.parametrize("none", [False, True], ids=["each has a class", "some have none"])
@pytest.mark.parametrize(
    ("shares", "sampler"),
    [
        ([0.6, 0.2, 0.15, 0.04, 0.01], "mixed"),
        ([0.35, 0.2, 0.15, 0.1, 0.06, 0.05, 0.04, 0.03, 0.015, 0.005], "mixed"),
        ([0.6, 0.3, 0.1], "balanced"),
    ],
)
def test_sigmoids_of_clips_drawn_by_class_become_the_true_posterior(
    shares: list[float], sampler: str, none: bool
) -> None:
    label, likely = toy(shares)
    drawn = Sampler(label[:, 1:] if none else label, sampler).draws(np.arange(len(label)))
    there_C, drawn_C = label.mean(0), (label * drawn[:, None]).mean(0)
    truth, learnt = posterior(likely, there_C), posterior(likely, drawn_C)  # of the best model there can be
    if none:  # the first class is none at all: no sigmoid says it
        label, truth, learnt = label[:, 1:], truth[:, 1:], learnt[:, 1:]
    ratios = DrawRatios.of(torch.from_numpy(label), torch.from_numpy(drawn))
    found = as_they_are(logit(learnt), torch.tensor(ratios.classes), ratios.none).sigmoid().numpy()
    np.testing.assert_allclose(found, truth, atol=2e-6)
    by_hand = logit(learnt) - ratios.mean_shift(torch.from_numpy(label), "multilabel")  # as version 0.1
    before, after = (log_loss(p, label) - log_loss(truth, label) for p in (by_hand.sigmoid().numpy(), found))
    assert abs(after) < 1e-6 < 1e-4 < before


@pytest.mark.parametrize("sampler", ["mixed", "balanced"])
def test_the_rarest_classes_are_undone_wholly(sampler: str) -> None:
    label = np.repeat(np.eye(len(PRIMATRIX), dtype=np.float32), PRIMATRIX, axis=0)
    drawn = Sampler(label, sampler).draws(np.arange(len(label)))
    ratios = DrawRatios.of(torch.from_numpy(label), torch.from_numpy(drawn))
    shift_C = ratios.mean_shift(torch.from_numpy(label), "exclusive")
    true_C = np.log((label * drawn[:, None]).sum(0) / label.sum(0))  # how often a clip of the class is drawn
    np.testing.assert_allclose(shift_C.numpy(), true_C, atol=1e-5)
    assert shift_C[0] > 2  # two lions in 56,000 clips
    odds_C = ratios.mean_shift(torch.from_numpy(label), "multilabel").numpy()
    p_C, q_C = label.mean(0, dtype=np.float64), (label * drawn[:, None]).mean(0, dtype=np.float64)
    np.testing.assert_allclose(odds_C, np.log(q_C / (1 - q_C)) - np.log(p_C / (1 - p_C)), atol=1e-4)


def test_what_has_no_clip_or_every_clip_is_not_moved() -> None:
    y = torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    ratios = DrawRatios.of(y, torch.tensor([3.0, 1, 0, 0]))
    assert ratios == DrawRatios((3.0, 1.0, 1.0), 1.0)
    assert ratios.mean_shift(y, "exclusive").tolist() == [pytest.approx(math.log(3)), 0, 0]
    assert ratios.mean_shift(y, "multilabel").tolist() == [pytest.approx(math.log(9)), 0, 0]


def test_certain_answers_stay_certain_and_several_classes_stay_possible() -> None:
    ratio_C, none = torch.tensor([0.5, 2.0, 8.0]), 0.7
    z_BC = torch.tensor([[60.0, -60, -60], [60, 60, -60], [-60, -60, -60], [400.0, -400, 3]])
    p_BC = as_they_are(z_BC, ratio_C, none).sigmoid()
    assert torch.isfinite(p_BC).all()
    torch.testing.assert_close(p_BC[:3].round(), z_BC[:3].sigmoid().round())
    both = as_they_are(torch.tensor([[2.0, 2.0, -5.0]]), torch.ones(3), 1.0)  # drawn as they are
    torch.testing.assert_close(both, torch.tensor([[2.0, 2.0, -5.0]]))


def test_clips_of_several_classes_are_undone_better_than_by_one_shift() -> None:
    label, likely = toy([0.5, 0.3, 0.12, 0.05, 0.03])
    second = np.roll(np.arange(len(label)), 7)
    two = np.arange(len(label)) % 10 == 0  # a tenth show a second animal: of the clip seven rows before
    y = np.where(two[:, None], np.maximum(label, label[second]), label)
    drawn = Sampler(y, "mixed").draws(np.arange(len(y)))
    kinds, of = np.unique(y, axis=0, return_inverse=True)
    # The posterior of each set of classes that occurs, where x is what it is for any one of its classes.
    likely_S = (likely @ kinds.T) / kinds.sum(1)

    def marginal(weight_N: np.ndarray) -> np.ndarray:
        share_S = np.bincount(of.ravel(), weight_N) / weight_N.sum()
        return np.clip(posterior(likely_S, share_S) @ kinds, 0, 1)

    truth, learnt = marginal(np.ones(len(y))), marginal(drawn)
    ratios = DrawRatios.of(torch.from_numpy(y), torch.from_numpy(drawn))
    one = logit(learnt) - ratios.mean_shift(torch.from_numpy(y), "multilabel")
    each = as_they_are(logit(learnt), torch.tensor(ratios.classes), ratios.none)

    def harm(p: np.ndarray) -> float:  # log loss above that of the truth, expected
        p, t = np.clip(p, 1e-9, 1 - 1e-9), np.clip(truth, 1e-9, 1 - 1e-9)
        return float((t * np.log(t / p) + (1 - t) * np.log((1 - t) / (1 - p))).mean())

    said = [harm(p) for p in (learnt, one.sigmoid().numpy(), each.sigmoid().numpy())]
    assert 3 * said[2] < said[1] < said[0]


COUNTS = {"hog": 6, "lion": 2}


def build_model(*args: str, weight: list[float] | None = None, task: str = "multilabel"):
    cfg = overrides.compose(
        "train",
        ["model.backbone=test_resnet", "model.pretrained=false", "model.size=32x32", "head=mean", *args],
        config_dir(),
    )
    names = [c for c, n in COUNTS.items() for _ in range(n)]
    table = pl.DataFrame({"clip": [f"{i}" for i in range(8)], "split": ["train"] * 8})
    table = table.with_columns(path=table["clip"])
    table = table.with_columns(pl.Series(c, [int(n == c) for n in names]) for c in COUNTS)
    if weight is not None:
        table = table.with_columns(weight=pl.Series(weight))
    clips = Clips(table, tuple(COUNTS))
    backbone = Backbone(build.make_backbone_spec(cfg))
    return build.build_model(
        cfg, backbone, clips, task, {"priors": training_clips.compute_priors(clips)}
    ), clips


def test_weights_of_clips_count_in_every_share() -> None:
    weight = [1.0] * 6 + [3.0] * 2  # as six hogs and six lions
    made, clips = build_model("sampler=balanced", weight=weight)
    assert training_clips.compute_priors(clips) == {"hog": 0.5, "lion": 0.5}
    # Drawn 4 and 4 times, and weighed: a quarter hogs.
    bias = made.head.classify[-1].bias
    torch.testing.assert_close(bias, torch.logit(torch.tensor([0.25, 0.75])))
    assert made.about["draw_ratios"] == {
        "classes": {"hog": pytest.approx(0.5), "lion": pytest.approx(1.5)},
        "none": 1.0,
    }


def test_class_weights_even_out_only_what_the_sampler_has_left() -> None:
    plans = {}
    for sampler in ("natural", "mixed", "balanced"):
        made, _ = build_model(f"sampler={sampler}", "loss.class_weights=balanced")
        plans[sampler] = made.training_plan.loss.class_weights
    y = torch.eye(2)[torch.tensor([0] * 6 + [1] * 2)]
    assert plans["natural"] == class_weights(y, 1.0)
    assert plans["balanced"] == pytest.approx((1.0, 1.0))
    assert 1 < plans["mixed"][1] < plans["natural"][1]


def test_draws_of_unknown_cells_do_not_count() -> None:
    y = torch.tensor([[1.0], [0.0], [float("nan")]])
    torch.testing.assert_close(prior_logits(y, "multilabel", torch.ones(3)), torch.zeros(1))
    ratios = DrawRatios.of(y, torch.tensor([2.0, 1.0, 7.0]))
    torch.testing.assert_close(ratios.mean_shift(y, "multilabel"), torch.tensor([2.0]).log())
    found = as_they_are(torch.zeros(1, 1), torch.tensor(ratios.classes), ratios.none)
    torch.testing.assert_close(found, -torch.tensor([[2.0]]).log())  # exact: hog or none
