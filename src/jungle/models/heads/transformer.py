"""Attention between frames, each at its own time."""

import math

import torch
from torch import Tensor, nn


class TransformerMix(nn.Module):
    """A transformer over frames (Vaswani et al. 2017, norms first); positions are times in seconds.

    So clips of any frame rate, or with frames at uneven times, are seen as they are.
    """

    def __init__(self, dim: int, units: int, layers: int, heads: int, mix_dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, units)
        layer = nn.TransformerEncoderLayer(
            units, heads, 2 * units, mix_dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encode = nn.TransformerEncoder(layer, layers, nn.LayerNorm(units), enable_nested_tensor=False)
        self.width = units

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> Tensor:
        """Return what each frame makes of all others."""
        placed_BTE = self.enter(x_BTD) + positions(times_BT.float(), self.width).to(x_BTD.dtype)
        return self.encode(placed_BTE, src_key_padding_mask=~mask_BT)


def positions(times_BT: Tensor, width: int) -> Tensor:
    """Return sines and cosines of times in seconds, `[B, T, width]`: periods from 0.25 s to 256 s."""
    steps = torch.linspace(0, 1, width // 2, device=times_BT.device)
    angle_BTE = times_BT.unsqueeze(2) * (2 * math.pi / (0.25 * 1024**steps))
    return torch.cat([angle_BTE.sin(), angle_BTE.cos()], dim=2)
