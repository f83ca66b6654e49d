"""Heads that know the order of frames: what each says among its neighbours is learnt, then looked at."""

import torch
from torch import Tensor, nn

from jungle.models.heads.attention import AttentionPool


class SequencePool(nn.Module):
    """Joins each frame's feature with what `mix` makes of it among its neighbours, then attends over both.

    Args:
        mix: called with `x_BTD`, `mask_BT`, `times_BT`; gives `[B, T, mix.width]`.
        dim: width of a frame's feature.
    """

    def __init__(self, mix: nn.Module, dim: int) -> None:
        super().__init__()
        self.mix = mix
        self.look = AttentionPool(dim + mix.width, "mlp", span=True)  # type: ignore[operator]  # an int
        self.width = self.look.width

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, 2 (D + mix.width)]`; the weights come with it."""
        mixed_BTE = self.mix(x_BTD, mask_BT, times_BT).to(x_BTD.dtype)
        return self.look(torch.cat([x_BTD, mixed_BTE], dim=2), mask_BT, times_BT)
