from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.config.losses import TASK_OF, Loss
from jungle.errors import UsageError
from jungle.models.losses import SIGMOID_LOSSES, SOFTMAX_LOSSES, LossPlan, class_weights, loss, probabilities
from jungle.training.build import plan_loss

TARGETS = {
    "multilabel": torch.tensor([[1.0, 0, 0], [0, 1.0, 1.0], [0, 0, 0], [0, 0, 1.0]]),
    "exclusive": torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 1.0]]),
}
ONES = torch.ones(4)
FAMILIES = {"multilabel": SIGMOID_LOSSES, "exclusive": SOFTMAX_LOSSES}


def for_their_tasks(*plans: LossPlan) -> list[tuple[str, LossPlan]]:
    return [(task, plan) for task, family in FAMILIES.items() for plan in plans if plan.name in family]


def logits(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("task", TARGETS)
def test_without_its_powers_a_loss_is_cross_entropy(task: str) -> None:
    y, z = TARGETS[task], logits()
    wanted = F.cross_entropy(z, y) if task == "exclusive" else F.binary_cross_entropy_with_logits(z, y)
    names = ("focal", "asymmetric") if task == "multilabel" else ("focal",)
    for plan in (LossPlan(), *map(LossPlan, names)):
        torch.testing.assert_close(loss(z, y, ONES, task, plan), wanted)
    smooth = loss(z, y, ONES, task, LossPlan(label_smoothing=0.1))
    if task == "exclusive":
        torch.testing.assert_close(smooth, F.cross_entropy(z, y, label_smoothing=0.1))
    else:
        torch.testing.assert_close(smooth, F.binary_cross_entropy_with_logits(z, 0.9 * y + 0.05))


@pytest.mark.parametrize("task", TARGETS)
def test_focal_is_its_formula(task: str) -> None:
    y, z = TARGETS[task], logits(3)
    p = probabilities(z, task)
    cells = -y * (1 - p) ** 2 * p.log()
    wanted = cells.sum(1).mean() if task == "exclusive" else (cells - (1 - y) * p**2 * (1 - p).log()).mean()
    torch.testing.assert_close(loss(z, y, ONES, task, LossPlan("focal", gamma=2.0)), wanted)


def test_asymmetric_is_its_formula() -> None:
    y, z = TARGETS["multilabel"], logits(3)
    p = z.sigmoid()
    m = (p - 0.05).clamp(min=0)
    wanted = (-y * (1 - p) * p.log() - (1 - y) * m**4 * (1 - m).log()).mean()
    plan = LossPlan("asymmetric", gamma_positive=1.0, gamma_negative=4.0, margin=0.05)
    torch.testing.assert_close(loss(z, y, ONES, "multilabel", plan), wanted)
    sure = torch.full((1, 1), -4.0)
    assert loss(sure, torch.zeros(1, 1), torch.ones(1), "multilabel", plan) < 1e-30


@pytest.mark.parametrize(
    ("task", "plan"),
    for_their_tasks(
        LossPlan("focal", gamma=0.5),
        LossPlan("asymmetric", gamma_positive=0.5, gamma_negative=0.5, margin=0.05),
        LossPlan(label_smoothing=0.1, class_weights=(1.0, 2.0, 3.0)),
    ),
)
def test_sure_answers_right_or_wrong_have_a_gradient(task: str, plan: LossPlan) -> None:
    z = (60 * (2 * TARGETS[task] - 1)).requires_grad_()
    for y in (TARGETS[task], TARGETS[task].flip(1)):
        (grad,) = torch.autograd.grad(loss(z, y, ONES, task, plan), z)
        assert grad.isfinite().all()


@pytest.mark.parametrize("task", TARGETS)
def test_class_weights_make_rare_classes_dear(task: str) -> None:
    y = torch.eye(3)[torch.tensor([0] * 8 + [1] * 2)]
    balanced, root = class_weights(y, 1.0), class_weights(y, 0.5)
    assert balanced == pytest.approx((10 / 16, 10 / 4, 1.0))  # a class without clips weighs 1
    assert root[1] / root[0] == pytest.approx(2.0)
    assert (y.sum(0) * torch.tensor(root)).sum() == pytest.approx(10.0)
    z = logits().requires_grad_()
    slopes = []
    for weights in (None, (1.0, 5.0, 1.0)):
        value = loss(z, TARGETS[task], ONES, task, LossPlan(class_weights=weights))
        slopes.append(torch.autograd.grad(value, z)[0])
    torch.testing.assert_close(slopes[1][0], slopes[0][0])  # a clip without the class
    torch.testing.assert_close(slopes[1][1, 1], 5 * slopes[0][1, 1])


def test_the_config_becomes_the_loss() -> None:
    y = torch.eye(3)[torch.tensor([0] * 8 + [1] * 2)]

    def plan(*args: str) -> LossPlan:
        return plan_loss(overrides.compose("train", list(args), config_dir()), y)

    assert plan("loss=focal", "loss.gamma=3") == LossPlan("focal", gamma=3.0)
    assert plan("loss=asymmetric") == LossPlan("asymmetric", gamma_negative=4.0, margin=0.05)
    assert plan("loss.class_weights=balanced").class_weights == class_weights(y, 1.0)
    assert plan("loss.class_weights=sqrt", "loss.label_smoothing=0.1") == LossPlan(
        label_smoothing=0.1, class_weights=class_weights(y, 0.5)
    )
    with pytest.raises(UsageError, match="loss=asymmetric is of another task"):
        plan("loss=asymmetric", "task=exclusive")
    with pytest.raises(UsageError, match=r"loss\.gamma belongs to loss=focal"):
        plan("loss.gamma=2")


@pytest.mark.parametrize("far", [90.0, 110.0, 1e4])
@pytest.mark.parametrize(
    ("task", "plan"),
    for_their_tasks(
        LossPlan("focal", gamma=0.5),
        LossPlan("focal", gamma=2.0),
        LossPlan("asymmetric", gamma_positive=0.5, gamma_negative=0.5),
        LossPlan("asymmetric", gamma_negative=0.5, margin=0.05),
        LossPlan("asymmetric", gamma_negative=4.0),
        LossPlan(label_smoothing=0.1),
    ),
)
def test_every_loss_has_a_slope_however_sure_the_model_is(plan: LossPlan, task: str, far: float) -> None:
    for sign in (1, -1):  # sure and right, sure and wrong
        z = torch.tensor([[sign * far, -sign * far]], requires_grad=True)
        value = loss(z, torch.tensor([[1.0, 0.0]]), torch.ones(1), task, plan)
        value.backward()
        assert torch.isfinite(value)
        assert z.grad is not None
        assert torch.isfinite(z.grad).all()


def test_the_config_takes_the_words_of_the_table() -> None:
    members = get_args(get_args(Loss)[0])
    words = {word for m in members for word in get_args(m.model_fields["name"].annotation)}
    assert words == SIGMOID_LOSSES.keys() | SOFTMAX_LOSSES.keys()
    for word in words:
        tasks = {task for task, family in FAMILIES.items() if word in family}
        assert tasks == ({TASK_OF[word]} if word in TASK_OF else set(FAMILIES)), word


def test_a_loss_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="loss 'ce' is not one for the task 'multilabel'"):
        loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1), "multilabel", LossPlan("ce"))
