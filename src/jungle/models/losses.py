"""What a wrong answer costs, and how logits become probabilities."""

import torch
from torch import Tensor
from torch.nn import functional as F

TASKS = ("multilabel", "exclusive")


def probabilities(logits_BC: Tensor, task: str) -> Tensor:
    """Turn logits into probabilities: a sigmoid a class (multilabel) or softmax over classes (exclusive)."""
    logits_BC = logits_BC.float()
    return logits_BC.softmax(1) if task == "exclusive" else logits_BC.sigmoid()


def loss(
    logits_BC: Tensor, targets_BC: Tensor, weight_B: Tensor, task: str, label_smoothing: float = 0.0
) -> Tensor:
    """Return the weighted mean loss of a batch, in nats.

    Binary cross-entropy a class for multilabel clips (cells whose target is NaN are unknown and cost
    nothing), cross-entropy for exclusive classes.
    """
    logits_BC = logits_BC.float()
    if task == "exclusive":
        loss_B = F.cross_entropy(logits_BC, targets_BC, label_smoothing=label_smoothing, reduction="none")
        return (loss_B * weight_B).sum() / weight_B.sum().clamp(min=1e-8)
    known_BC = ~targets_BC.isnan() * weight_B.unsqueeze(1)
    smooth_BC = targets_BC.nan_to_num() * (1 - label_smoothing) + 0.5 * label_smoothing
    cell_BC = F.binary_cross_entropy_with_logits(logits_BC, smooth_BC, reduction="none")
    return (cell_BC * known_BC).sum() / known_BC.sum().clamp(min=1e-8)


def prior_logits(targets_NC: Tensor, task: str) -> Tensor:
    """Return the bias at which an untrained head predicts the share of each class in the training clips."""
    share_C = targets_NC.nanmean(0).nan_to_num().clamp(1e-4, 1 - 1e-4)
    return share_C.log() if task == "exclusive" else torch.logit(share_C)
