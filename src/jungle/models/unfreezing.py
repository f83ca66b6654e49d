"""Schedules of which part of a backbone is trained.

A part is `head` (nothing of the backbone), `last_<n>` (its last n layers, as timm counts) or `all`. A plan
maps the epochs at which the part changes to parts: `{0: head, 2: last_3, 5: all}`.
"""

from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.fuse_batchnorm import BATCH_NORMS


def part_at(plan: dict[int, str], epoch: int) -> str:
    """Return the part that is trained in an epoch."""
    return plan[max(start for start in plan if start <= epoch)]


def largest(plan: dict[int, str], backbone: Backbone) -> str:
    """Return the part that covers all others of the plan."""
    return min(plan.values(), key=lambda part: _first_trained(part, backbone))


def set_trained(backbone: Backbone, part: str) -> None:
    """Train only the layers of `part`."""
    first = _first_trained(part, backbone)
    depth = backbone.depth_of() if part not in ("head", "all") else {}
    for name, p in backbone.model.named_parameters():
        p.requires_grad_(depth.get(name, 0) >= first)


def settle(backbone: Backbone, norm_stats: str) -> None:
    """Set modules to eval that must not change: an untrained backbone, and BatchNorm layers that are kept.

    Statistics move with `norm_stats=move`, and only in BatchNorm layers whose own weights are trained. All
    modules are in training mode before: layers whose epoch has come must leave eval.
    """
    if not any(p.requires_grad for p in backbone.parameters()):
        backbone.eval()
    for module in backbone.modules():
        if isinstance(module, BATCH_NORMS) and not (
            norm_stats == "move" and any(p.requires_grad for p in module.parameters(recurse=False))
        ):
            module.eval()


def _first_trained(part: str, backbone: Backbone) -> float:
    """Return the first trained layer of a part; infinity for `head`."""
    if part in ("head", "all"):
        return {"head": float("inf"), "all": 0}[part]
    return max(max(backbone.depth_of().values()) + 1 - int(part.removeprefix("last_")), 0)
