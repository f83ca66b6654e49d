"""Optimizer, parameter groups and learning-rate schedules."""

import math
import sys
from typing import Any, Literal

import torch
from torch import nn

from jungle.errors import UserError
from jungle.models.backbones.backbone import Backbone
from jungle.models.plateau import Plateau, PlateauSchedule
from jungle.models.timm_library import (
    create_optimizer_v2,
    param_groups_layer_decay,
    param_groups_weight_decay,
)

Groups = list[dict[str, Any]]
"""As an optimizer takes them: `params`, `lr`, `weight_decay`."""


def parameter_groups(
    backbone: Backbone,
    head: nn.Module,
    lr: float,
    backbone_lr: float,
    weight_decay: float,
    layer_decay: float,
) -> Groups:
    """Group the weights by learning rate and weight decay, as timm does.

    Norms, biases, and weights that the model names (position embeddings, class tokens) are not decayed. The
    backbone's last layers learn at `backbone_lr`, each earlier layer at `layer_decay` times the rate of the
    next one (Clark et al. 2020, ELECTRA; Bao et al. 2021, BEiT).
    """
    groups: Groups = []
    if any(p.requires_grad for p in backbone.parameters()):
        model = backbone.model
        bare = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()
        if layer_decay < 1:
            groups = param_groups_layer_decay(model, weight_decay, bare, layer_decay=layer_decay)
        else:
            groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=bare)
        for group in groups:
            group["lr"] = backbone_lr * group.pop("lr_scale", 1.0)
    return [*groups, *({**g, "lr": lr} for g in param_groups_weight_decay(head, weight_decay))]


def check_groups(saved: dict[str, Any], groups: Groups) -> None:
    """Refuse a checkpoint whose optimizer has other groups of weights: their averages would be mixed up.

    Raises:
        UserError: it is of a version with other groups.
    """
    for state in saved.get("optimizer_states", []):
        theirs = [(len(g["params"]), g["weight_decay"]) for g in state["param_groups"]]
        if theirs != [(len(g["params"]), g["weight_decay"]) for g in groups]:
            raise UserError(
                "the state of its optimizer is of another version of this program, which dealt the weights "
                "out otherwise: give resume=never to train a new run"
            )


def make_optimizer(name: str, groups: Groups, lr: float) -> torch.optim.Optimizer:
    """Build AdamW, SGD with Nesterov momentum 0.9, or any other optimizer of timm's by its name there."""
    if name == "sgd":
        return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr)
    return create_optimizer_v2(groups, opt=name, lr=lr)


def make_schedule(
    name: str,
    optimizer: torch.optim.Optimizer,
    total: int,
    warmup: float,
    monitor: str,
    mode: Literal["min", "max"],
    plateau: Plateau | None = None,
) -> dict[str, Any]:
    """Return Lightning's description of a schedule over `total` steps, the share `warmup` of them warm-up.

    `cosine` and `constant` follow a linear warm-up; `onecycle` rises for `warmup` of the steps and anneals
    (Smith 2018); `plateau` lowers the rate when `monitor` does not improve.
    """
    if name == "plateau":
        falls = PlateauSchedule(optimizer, mode, plateau or Plateau())
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
