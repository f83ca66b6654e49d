"""Recurrent: each frame after what came before it, or behind it."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class GruMix(nn.Module):
    """Two GRUs, one upon the other, their states joined, as in the third place of Pri-matrix (2017).

    With `bidirectional=False` both run from the last frame to the first, and their states lie beside the
    frames that they are of. Theirs were meant to; Keras had the second one run the other way: see
    `jungle.models.heads.primatrix`.
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
        # The last frame first: each clip's own frames turned round, padding left at the end.
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
