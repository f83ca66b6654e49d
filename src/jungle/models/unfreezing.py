"""Which part of a backbone is trained, and when.

A part is `head` (the backbone stays as it is), `last_<n>` (its last n layers, as timm counts them) or `all`.
A plan is a part for each epoch at which it changes: `{0: head, 2: last_3, 5: all}`.
"""

from torch import nn

from jungle.models.backbones.backbone import Backbone


def part_at(plan: dict[int, str], epoch: int) -> str:
    """Return the part that is trained in an epoch."""
    return plan[max(start for start in plan if start <= epoch)]


def largest(plan: dict[int, str], backbone: Backbone) -> str:
    """Return the part that covers all others of the plan."""
    return min(plan.values(), key=lambda part: _first_trained(part, backbone))


def set_trained(backbone: Backbone, part: str) -> None:
    """Let the gradient reach the layers of `part` alone."""
    first = _first_trained(part, backbone)
    depth = backbone.depth_of() if part not in ("head", "all") else {}
    for name, p in backbone.model.named_parameters():
        p.requires_grad_(depth.get(name, 0) >= first)


def settle(backbone: Backbone, norm_stats: str) -> None:
    """Put in eval what must not change in training: an untrained backbone, BatchNorms that are not to move.

    Statistics move with `norm_stats=move`, and only in BatchNorm layers whose own weights are trained. All is
    in training mode before: what waited for its epoch must come back from eval when its turn has come.
    """
    if not any(p.requires_grad for p in backbone.parameters()):
        backbone.eval()
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not (
            norm_stats == "move" and any(p.requires_grad for p in module.parameters(recurse=False))
        ):
            module.eval()


def _first_trained(part: str, backbone: Backbone) -> float:
    """Return the first layer of a part; no layer comes as late as that of `head`."""
    if part in ("head", "all"):
        return {"head": float("inf"), "all": 0}[part]
    return max(max(backbone.depth_of().values()) + 1 - int(part.removeprefix("last_")), 0)
