"""Fold BatchNorm into the convolution before it, which makes a frozen backbone faster."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def fold_norms(module: nn.Module) -> None:
    """Fold each BatchNorm into the convolution declared before it, for inference (Jacob et al. 2018, 3.2).

    A model may run its layers in another order than it declares them: the caller compares its answers.
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
    """The activation inside timm's BatchNorm layers."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        act = getattr(norm, "act", None)
        self.act: nn.Module = act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Apply the activation."""
        return self.act(x_NCHW)
