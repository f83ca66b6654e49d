"""Which weights move, how fast, and how that changes over a run."""

import math
import sys
from typing import Any

import torch
from torch import nn

from jungle.models.backbone import Backbone

PLATEAU = (0.5, 2, 0.0)
"""What a plateau does unless told: the factor of the rate, after how many epochs, and the lowest rate."""


def parameter_groups(
    backbone: Backbone,
    head: nn.Module,
    lr: float,
    backbone_lr: float,
    weight_decay: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """Deal the weights out by learning rate; norms and biases are not decayed.

    The backbone's last layers learn at `backbone_lr`, each layer before at `layer_decay` times the rate of
    the one behind it (Clark et al. 2020, ELECTRA; Bao et al. 2021, BEiT).
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    trained = [(n.removeprefix("model."), p) for n, p in backbone.named_parameters() if p.requires_grad]
    if trained:
        depth = backbone.depth_of() if layer_decay < 1 else {}
        deepest = max(depth.values(), default=0)
        for name, p in trained:
            rate = backbone_lr * layer_decay ** (deepest - depth.get(name, deepest))
            groups.setdefault((rate, p.ndim > 1), []).append(p)
    for p in head.parameters():
        groups.setdefault((lr, p.ndim > 1), []).append(p)
    return [
        {"params": found, "lr": rate, "weight_decay": weight_decay if decays else 0.0}
        for (rate, decays), found in groups.items()
    ]


def make_optimizer(name: str, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """Build AdamW, SGD with Nesterov momentum 0.9, or any other optimizer of timm's by its name there."""
    if name == "sgd":
        return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr)
    from timm.optim._optim_factory import create_optimizer_v2

    return create_optimizer_v2(groups, opt=name, lr=lr)


def make_schedule(
    name: str,
    optimizer: torch.optim.Optimizer,
    total: int,
    warmup: float,
    monitor: str,
    mode: Any,
    plateau: tuple[float, int, float] = PLATEAU,
) -> dict[str, Any]:
    """Return Lightning's description of a schedule over `total` steps, the share `warmup` of them warm-up.

    `cosine` and `constant` follow a linear warm-up; `onecycle` rises for `warmup` of the steps and anneals
    (Smith 2018); `plateau` lowers the rate by a factor after so many epochs in which `monitor` got no better,
    at most to a lowest one: the three numbers of `plateau`.
    """
    if name == "plateau":
        factor, patience, lowest = plateau
        falls = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, factor=factor, patience=patience, min_lr=lowest
        )
        # The module steps it; Lightning, which would behind the epoch's checkpoint, never comes to so many.
        return {"scheduler": falls, "interval": "epoch", "frequency": sys.maxsize, "monitor": monitor}
    if name == "onecycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        # One step more than is taken, because the last one would otherwise ask for a step behind the end.
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            peaks,
            total_steps=total + 1,
            pct_start=max(warmup, 1.5 / (total + 1)),  # its top lies behind the first step
            cycle_momentum=False,
        )
        return {"scheduler": cycle, "interval": "step"}
    warm = round(warmup * total)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if name == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min((step - warm) / max(total - warm, 1), 1.0)))

    return {"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, share), "interval": "step"}
