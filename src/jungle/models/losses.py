"""Losses, and the link functions (sigmoid, softmax) that turn logits into probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TASKS = ("multilabel", "exclusive")
TINY = 1e-8


@dataclass(frozen=True)
class LossPlan:
    """Settings of a loss. The default is the cross-entropy of the task."""

    name: str = "auto"
    """`auto`, `bce` and `ce` are the cross-entropy of the task; `focal`; `asymmetric`."""
    label_smoothing: float = 0.0
    gamma: float = 0.0
    """Of `focal`: 0 is cross-entropy."""
    gamma_positive: float = 0.0
    gamma_negative: float = 0.0
    margin: float = 0.0
    """Of `asymmetric`: an absent class below this probability costs nothing."""
    class_weights: tuple[float, ...] | None = None
    """Cost of missing each class; see `class_weights`."""


def probabilities(logits_BC: Tensor, task: str) -> Tensor:
    """Turn logits into probabilities: a sigmoid a class (multilabel) or softmax over classes (exclusive)."""
    logits_BC = logits_BC.float()
    return logits_BC.softmax(1) if task == "exclusive" else logits_BC.sigmoid()


def loss(
    logits_BC: Tensor, targets_BC: Tensor, weight_B: Tensor, task: str, plan: LossPlan | None = None
) -> Tensor:
    """Return the weighted mean loss of a batch, in nats: over cells (multilabel) or clips (exclusive).

    Cells whose target is NaN are unknown and cost nothing. Targets between 0 and 1 are soft labels. Where
    cells are unknown, or clips have weights, each batch is a mean over what it has itself: then several small
    batches (accumulated, or of several devices) are not exactly one large one.
    """
    plan = plan or LossPlan()
    logits_BC = logits_BC.float()
    class_weight_C = 1.0 if plan.class_weights is None else logits_BC.new_tensor(plan.class_weights)
    if task == "exclusive":
        smooth_BC = targets_BC * (1 - plan.label_smoothing) + plan.label_smoothing / logits_BC.shape[1]
        cell_BC = smooth_BC * _terms(plan, task)(logits_BC, plan)[0] * class_weight_C
        return (cell_BC.sum(1) * weight_B).sum() / weight_B.sum().clamp(min=1e-8)
    known_BC = ~targets_BC.isnan() * weight_B.unsqueeze(1)
    smooth_BC = targets_BC.nan_to_num() * (1 - plan.label_smoothing) + 0.5 * plan.label_smoothing
    present_BC, absent_BC = _terms(plan, task)(logits_BC, plan)
    cell_BC = smooth_BC * present_BC * class_weight_C + (1 - smooth_BC) * absent_BC
    return (cell_BC * known_BC).sum() / known_BC.sum().clamp(min=1e-8)


def _terms(plan: LossPlan, task: str) -> "CellTerms":
    """Return the function of a loss for a task.

    Raises:
        ValueError: the loss has none for it.
    """
    family = SOFTMAX_LOSSES if task == "exclusive" else SIGMOID_LOSSES
    if plan.name not in family:
        raise ValueError(f"loss {plan.name!r} is not one for the task {task!r}: use {', '.join(family)}")
    return family[plan.name]


def sigmoid_cross_entropy(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return `-log p` and `-log(1 - p)` of each class by itself."""
    return F.softplus(-logits_BC), F.softplus(logits_BC)


def softmax_cross_entropy(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return `-log p` over classes; an absent class costs nothing by itself."""
    present_BC = -logits_BC.log_softmax(1)
    return present_BC, torch.zeros_like(present_BC)


def sigmoid_focal(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return the focal loss of each class by itself (Lin et al. 2017; their alpha is the class weight)."""
    present_BC, absent_BC = sigmoid_cross_entropy(logits_BC, plan)
    if not plan.gamma:
        return present_BC, absent_BC
    p_BC, other_BC = _shares_of_one(logits_BC)
    return present_BC * other_BC**plan.gamma, absent_BC * p_BC**plan.gamma


def softmax_focal(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return the focal loss over classes (Lin et al. 2017)."""
    present_BC, absent_BC = softmax_cross_entropy(logits_BC, plan)
    if plan.gamma:
        # Not quite 0, where a power below 1 has no slope.
        present_BC = present_BC * (1 - (-present_BC).exp()).clamp(min=TINY) ** plan.gamma
    return present_BC, absent_BC


def sigmoid_asymmetric(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return the asymmetric loss (Ridnik et al. 2021).

    Present and absent classes have a power each; below a margin an absent class costs nothing.
    """
    present_BC, absent_BC = sigmoid_cross_entropy(logits_BC, plan)
    p_BC, other_BC = _shares_of_one(logits_BC)
    if plan.margin:
        p_BC = (p_BC - plan.margin).clamp(min=TINY)
        absent_BC = -torch.log1p(-p_BC)
    return present_BC * other_BC**plan.gamma_positive, absent_BC * p_BC**plan.gamma_negative


def _shares_of_one(logits_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Return `p` and `1 - p`, not quite 0, where a power below 1 has no slope."""
    return logits_BC.sigmoid().clamp(min=TINY), (-logits_BC).sigmoid().clamp(min=TINY)


# Costs of each cell if its class is present, and if it is absent, both `[B, C]`.
CellTerms = Callable[[Tensor, LossPlan], tuple[Tensor, Tensor]]

# The words of `loss.name`, by task.
SIGMOID_LOSSES: dict[str, CellTerms] = {
    "auto": sigmoid_cross_entropy,
    "bce": sigmoid_cross_entropy,
    "focal": sigmoid_focal,
    "asymmetric": sigmoid_asymmetric,
}
SOFTMAX_LOSSES: dict[str, CellTerms] = {
    "auto": softmax_cross_entropy,
    "ce": softmax_cross_entropy,
    "focal": softmax_focal,
}


def class_weights(targets_NC: Tensor, power: float, counted_N: Tensor | None = None) -> tuple[float, ...]:
    """Return the cost of missing each class: the inverse of its number of clips to the `power`.

    A label weighs 1 on average over the training clips, so that the learning rate still fits. Weights shift
    probabilities towards rare classes, which nothing corrects: if probabilities matter, draw clips by class
    instead (`sampler`).

    Args:
        targets_NC: 0, 1, or NaN if unknown.
        power: 0 for no weights, 1 for equal classes.
        counted_N: effective number of each clip with its sampler, whose balancing is not repeated.
    """
    count_C = targets_NC.nan_to_num().mul(_column(targets_NC, counted_N)).sum(0)
    weight_C = torch.where(count_C > 0, count_C, 1.0).pow(-power)
    weight_C = weight_C * count_C.sum() / (weight_C * count_C).sum().clamp(min=TINY)
    return tuple(torch.where(count_C > 0, weight_C, 1.0).tolist())


def prior_logits(targets_NC: Tensor, task: str, counted_N: Tensor | None = None) -> Tensor:
    """Return the bias at which an untrained head predicts the share of each class in the training clips.

    Args:
        targets_NC: 0, 1, or NaN where unknown.
        task: one of `TASKS`.
        counted_N: how often each clip is drawn, times its weight; 1 by default.
    """
    share_C = _shares(targets_NC, counted_N).float().clamp(1e-4, 1 - 1e-4)
    return share_C.log() if task == "exclusive" else torch.logit(share_C)


@dataclass(frozen=True)
class DrawRatios:
    """Share of each class among the drawn clips, divided by its share among all clips.

    `none` is the ratio of clips without a class. A class without clips has a ratio of 1.
    """

    classes: tuple[float, ...]
    none: float = 1.0

    @classmethod
    def of(cls, targets_NC: Tensor, draws_N: Tensor, weight_N: Tensor | None = None) -> "DrawRatios":
        """Compute the ratios.

        Args:
            targets_NC: 0, 1, or NaN where unknown.
            draws_N: how often each clip is drawn.
            weight_N: weight of each clip apart from drawing; 1 by default.
        """
        none_N = torch.where(targets_NC.isnan().any(1), torch.nan, (targets_NC == 0).all(1).float())
        cells = torch.cat([targets_NC, none_N[:, None].to(targets_NC)], 1)
        counted_N = draws_N if weight_N is None else draws_N * weight_N
        drawn, there = _shares(cells, counted_N), _shares(cells, weight_N)
        *classes, none = torch.where((drawn > 0) & (there > 0), drawn / there, 1.0).tolist()
        return cls(tuple(classes), none)

    def mean_shift(self, targets_NC: Tensor, task: str, weight_N: Tensor | None = None) -> Tensor:
        """Return the mean shift of each class's logit by drawing, `[C]`.

        For exclusive classes that is exact for each clip too (Saerens et al. 2002).
        """
        ratio_C = torch.tensor(self.classes, dtype=torch.float64)
        if task == "exclusive":
            return ratio_C.log().float()
        share_C = _shares(targets_NC, weight_N)
        rest_C = (1 - share_C * ratio_C) / (1 - share_C)  # the ratio of the clips without the class
        return torch.where((share_C > 0) & (rest_C > 0), (ratio_C / rest_C).log(), 0.0).float()


def as_they_are(logits_BC: Tensor, ratio_C: Tensor, none: float) -> Tensor:
    """Correct the sigmoid logits of a model for how its training clips were drawn.

    The odds of a class are divided by its ratio, and by the mean inverse ratio of the clip without it: each
    other class as probable as predicted, and none with the rest. For clips with at most one class that is the
    exact posterior, p_c / r_c over the sum of all p_j / r_j, with none as one more class; for several classes
    it is an approximation. Certain answers stay certain.

    Args:
        logits_BC: as drawn.
        ratio_C: `DrawRatios.classes`.
        none: `DrawRatios.none`.
    """
    q_BC = logits_BC.double().sigmoid()
    total_B1, inverse_B1 = q_BC.sum(1, keepdim=True), (q_BC / ratio_C).sum(1, keepdim=True)
    none_B1 = (1 - total_B1).clamp(min=0)
    rest_BC = none_B1 + total_B1 - q_BC
    inverse_BC = (none_B1 / none + inverse_B1 - q_BC / ratio_C) / rest_BC.clamp(min=1e-12)
    known_BC = rest_BC > 1e-12  # else the class is as good as certain, and nothing of the others is left
    shift_BC = ratio_C.log() + torch.where(known_BC, inverse_BC, 1.0).log()
    return logits_BC - shift_BC.to(logits_BC.dtype)


def _shares(targets_NC: Tensor, counted_N: Tensor | None) -> Tensor:
    """Return the share of each class, `[C]`, among the clips of which it is known."""
    counted_N1 = _column(targets_NC, counted_N)
    known_C = (~targets_NC.isnan() * counted_N1).sum(0)
    return (targets_NC.nan_to_num() * counted_N1).sum(0) / known_C.clamp(min=TINY)


def _column(targets_NC: Tensor, counted_N: Tensor | None) -> Tensor:
    ones = torch.ones(len(targets_NC)) if counted_N is None else counted_N
    return ones.double().unsqueeze(1)
