"""Fold BatchNorm into the convolution before it: the same answers from a frozen backbone, sooner."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> None:
    """Let every convolution take over the BatchNorm declared right behind it, for inference alone.

    Jacob et al. 2018, section 3.2. Which layer follows which is read off the order of declaration, and a
    model may run them otherwise: the caller compares the answers before and after.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if (
            before
            and isinstance(before[1], nn.Conv2d)
            and isinstance(child, nn.BatchNorm2d)
            and child.running_mean is not None
            and child.num_features == before[1].out_channels
        ):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, _Rest(child))
        else:
            fold_norms(child)
        before = (name, child)


class _Rest(nn.Module):
    """What timm's BatchNorm layers do behind the norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        act = getattr(norm, "act", None)
        self.act: nn.Module = act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Apply the activation."""
        return self.act(x_NCHW)
