"""Pools that use the order of frames: a layer over time, then attention over its inputs and outputs."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from jungle.models.heads.attention import AttentionPool
from jungle.models.heads.statistics import filled


class Mix(nn.Module):
    """A layer over time: called with `x_BTD`, `mask_BT` and `times_BT`, gives `[B, T, width]`."""

    width: int


class SequencePool(nn.Module):
    """Attention over each frame's feature, of width `dim`, joined with the output of `mix` for that frame."""

    def __init__(self, mix: Mix, dim: int) -> None:
        super().__init__()
        self.mix = mix
        self.look = AttentionPool(dim + mix.width, "mlp", span=True)
        self.width = self.look.width

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, 2 (D + mix.width)]`; the weights come with it."""
        mixed_BTE = self.mix(x_BTD, mask_BT, times_BT).to(x_BTD.dtype)
        return self.look(torch.cat([x_BTD, mixed_BTE], dim=2), mask_BT, times_BT)


class GruMix(Mix):
    """Two stacked GRUs, their states joined, as in the third place of Pri-matrix (2017).

    With `bidirectional=False` both run from the last frame to the first, and each frame gets its own states.
    That was their intention; Keras ran the second one the other way (see `jungle.models.heads.primatrix`).
    """

    def __init__(self, dim: int, units: int, bidirectional: bool, mix_dropout: float) -> None:
        super().__init__()
        ways = 2 if bidirectional else 1
        self.first = nn.GRU(dim, units, batch_first=True, bidirectional=bidirectional)
        self.second = nn.GRU(ways * units, units, batch_first=True, bidirectional=bidirectional)
        self.drop = nn.Dropout(mix_dropout)
        self.width = 2 * ways * units

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> Tensor:
        """Return the states after each frame."""
        return self.states(self.drop(x_BTD), mask_BT)

    def states(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the states after each frame, given features after dropout."""
        frames_B, total = mask_BT.sum(1), mask_BT.shape[1]
        # The frames of each clip in reverse order, padding at the end.
        at_T = torch.arange(total, device=x_BTD.device)
        turned = torch.where(mask_BT, frames_B[:, None] - 1 - at_T, at_T).unsqueeze(2)
        h_BTE = x_BTD.gather(1, turned.expand_as(x_BTD))
        states = []
        for gru in (self.first, self.second):
            packed = pack_padded_sequence(h_BTE, frames_B.cpu(), batch_first=True, enforce_sorted=False)
            h_BTE, _ = pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=total)
            h_BTE = self.drop(h_BTE)
            states.append(h_BTE)
        joined_BTE = torch.cat(states, dim=2)
        return joined_BTE.gather(1, turned.expand_as(joined_BTE))


class TcnMix(Mix):
    """Dilated convolutions over time with residuals (TCN, Bai et al. 2018; not causal: a clip is whole)."""

    def __init__(self, dim: int, units: int, layers: int, mix_dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, units)
        self.norms = nn.ModuleList(nn.LayerNorm(units) for _ in range(layers))
        self.convs = nn.ModuleList(
            nn.Conv1d(units, units, kernel_size=3, dilation=2**i, padding=2**i) for i in range(layers)
        )
        self.drop = nn.Dropout(mix_dropout)
        self.width = units

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> Tensor:
        """Mix each frame with its neighbours."""
        h_BTE = self.enter(x_BTD)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            # Zero where masked, as beyond the ends of a clip.
            seen_BET = filled(norm(h_BTE), mask_BT, 0.0).transpose(1, 2)
            h_BTE = h_BTE + self.drop(nn.functional.gelu(conv(seen_BET).transpose(1, 2)))
        return h_BTE


class TransformerMix(Mix):
    """A transformer over frames (Vaswani et al. 2017, norms first).

    Positions are times in seconds, so any frame rate and uneven times fit.
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
        """Mix each frame with all others."""
        placed_BTE = self.enter(x_BTD) + positions(times_BT.float(), self.width).to(x_BTD.dtype)
        return self.encode(placed_BTE, src_key_padding_mask=~mask_BT)


def positions(times_BT: Tensor, width: int) -> Tensor:
    """Return sines and cosines of times in seconds, `[B, T, width]`: periods from 0.25 s to 256 s."""
    steps = torch.linspace(0, 1, width // 2, device=times_BT.device)
    angle_BTE = times_BT.unsqueeze(2) * (2 * math.pi / (0.25 * 1024**steps))
    return torch.cat([angle_BTE.sin(), angle_BTE.cos()], dim=2)
