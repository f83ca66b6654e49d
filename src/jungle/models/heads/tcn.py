"""Convolutional: each frame among its near neighbours, then its far ones."""

from torch import Tensor, nn

from jungle.models.heads.statistics import filled


class TcnMix(nn.Module):
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
        """Return what each frame and its neighbours say."""
        h_BTE = self.enter(x_BTD)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            # Zero where masked, as beyond the ends of a clip.
            seen_BET = filled(norm(h_BTE), mask_BT, 0.0).transpose(1, 2)
            h_BTE = h_BTE + self.drop(nn.functional.gelu(conv(seen_BET).transpose(1, 2)))
        return h_BTE
