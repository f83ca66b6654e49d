"""What a wrong answer costs, and how logits become probabilities."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TASKS = ("multilabel", "exclusive")


@dataclass(frozen=True)
class LossPlan:
    """Which loss, as plain values. The default is the cross-entropy of the task."""

    name: str = "auto"
    """`auto`, `bce` and `ce` are the cross-entropy of the task; `focal`; `asymmetric`."""
    label_smoothing: float = 0.0
    gamma: float = 0.0
    """Of `focal`: 0 is cross-entropy."""
    gamma_positive: float = 0.0
    gamma_negative: float = 0.0
    margin: float = 0.0
    """Of `asymmetric`: a class that is absent and less probable than this costs nothing."""
    class_weights: tuple[float, ...] | None = None
    """What it costs to miss each class; see `class_weights`."""


def probabilities(logits_BC: Tensor, task: str) -> Tensor:
    """Turn logits into probabilities: a sigmoid a class (multilabel) or softmax over classes (exclusive)."""
    logits_BC = logits_BC.float()
    return logits_BC.softmax(1) if task == "exclusive" else logits_BC.sigmoid()


def loss(
    logits_BC: Tensor, targets_BC: Tensor, weight_B: Tensor, task: str, plan: LossPlan | None = None
) -> Tensor:
    """Return the weighted mean loss of a batch, in nats: over cells (multilabel) or clips (exclusive).

    Cells whose target is NaN are unknown and cost nothing. Targets between 0 and 1 are soft labels.
    """
    plan = plan or LossPlan()
    logits_BC = logits_BC.float()
    class_weight_C = 1.0 if plan.class_weights is None else logits_BC.new_tensor(plan.class_weights)
    if task == "exclusive":
        smooth_BC = targets_BC * (1 - plan.label_smoothing) + plan.label_smoothing / logits_BC.shape[1]
        log_p_BC = logits_BC.log_softmax(1)
        cell_BC = -smooth_BC * log_p_BC * class_weight_C
        if plan.gamma:
            # Not quite 0, where a power below 1 has no slope.
            cell_BC = cell_BC * (1 - log_p_BC.exp()).clamp(min=1e-8) ** plan.gamma
        return (cell_BC.sum(1) * weight_B).sum() / weight_B.sum().clamp(min=1e-8)
    known_BC = ~targets_BC.isnan() * weight_B.unsqueeze(1)
    smooth_BC = targets_BC.nan_to_num() * (1 - plan.label_smoothing) + 0.5 * plan.label_smoothing
    present_BC, absent_BC = _binary(logits_BC, plan)
    cell_BC = smooth_BC * present_BC * class_weight_C + (1 - smooth_BC) * absent_BC
    return (cell_BC * known_BC).sum() / known_BC.sum().clamp(min=1e-8)


def _binary(logits_BC: Tensor, plan: LossPlan) -> tuple[Tensor, Tensor]:
    """Return what each cell costs where its class is present, and where it is absent."""
    present_BC, absent_BC = F.softplus(-logits_BC), F.softplus(logits_BC)  # -log p, -log(1 - p)
    p_BC, other_BC = logits_BC.sigmoid(), (-logits_BC).sigmoid()
    if plan.name == "focal" and plan.gamma:
        # Lin et al. 2017; their alpha is the class weight.
        return present_BC * other_BC**plan.gamma, absent_BC * p_BC**plan.gamma
    if plan.name == "asymmetric":
        # Ridnik et al. 2021: a power each for present and absent, a margin for what is surely absent.
        if plan.margin:
            p_BC = (p_BC - plan.margin).clamp(min=1e-8)
            absent_BC = -torch.log1p(-p_BC)
        return present_BC * other_BC**plan.gamma_positive, absent_BC * p_BC**plan.gamma_negative
    return present_BC, absent_BC


def class_weights(targets_NC: Tensor, power: float) -> tuple[float, ...]:
    """Return what it costs to miss each class: the inverse of its clips' number to the `power`.

    A label weighs 1 on average over the training clips, so that the learning rate still fits. Weights move
    probabilities towards rare classes, and nothing undoes that: where they count, draw clips by class instead
    (`sampler`).
    """
    count_C = targets_NC.nansum(0)
    weight_C = count_C.clamp(min=1).pow(-power)
    weight_C = weight_C * count_C.sum() / (weight_C * count_C).sum().clamp(min=1e-8)
    return tuple(torch.where(count_C > 0, weight_C, 1.0).tolist())


def prior_logits(targets_NC: Tensor, task: str, draws_N: Tensor | None = None) -> Tensor:
    """Return the bias at which an untrained head predicts the share of each class in the training clips.

    Args:
        targets_NC: 0, 1, or NaN where unknown.
        task: one of `TASKS`.
        draws_N: how often each clip is drawn; each the same if not given.
    """
    draws_NC = torch.ones(len(targets_NC), 1) if draws_N is None else draws_N.unsqueeze(1)
    known_NC = ~targets_NC.isnan() * draws_NC
    share_C = (targets_NC.nan_to_num() * draws_NC).sum(0) / known_NC.sum(0).clamp(min=1e-8)
    share_C = share_C.clamp(1e-4, 1 - 1e-4)
    return share_C.log() if task == "exclusive" else torch.logit(share_C)


def prior_shift(targets_NC: Tensor, task: str, draws_N: Tensor) -> Tensor:
    """Return by how much drawing clips unevenly moves each class's logit, `[C]` (Saerens et al. 2002).

    Taken off the logits, it gives back probabilities of clips as they are. That is exact for exclusive
    classes; for sigmoids it is where other classes are drawn as often as the average clip without the class.
    """
    return prior_logits(targets_NC, task, draws_N) - prior_logits(targets_NC, task)
