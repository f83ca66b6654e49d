"""The two heads of the third place of Pri-matrix Factorization (2017), layer for layer, for any frames.

Theirs saw 45 frames of every clip, the last one repeated where a clip was short; here padded frames are left
out of every mean, maximum and statistic.
"""

import torch
from torch import Tensor, nn

from jungle.models.heads.attention import AttentionPool
from jungle.models.heads.gru import GruMix
from jungle.models.heads.head import Answer
from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.norm import BatchNorm
from jungle.models.heads.statistics import span

POOL_DROPOUT = 0.25  # of what the GRU model pools, before it is joined


class PrimatrixHead(nn.Module):
    """BatchNorm; an attention-weighted mean and max - min of the frames; two dense layers; the classes.

    With `units`, two GRUs look at the frames first, from the last to the first, and their states are joined
    to the features.

    Args:
        dim: width of a frame's feature.
        classes: how many there are.
        score: of a frame, `tanh` or `linear`: see `AttentionPool`.
        hidden: width of each of the two dense layers; 0 for none.
        dropout: before and after each dense layer.
        units: width of each GRU; 0 for none.
        mix_dropout: before, between and after the GRUs.
        branch: for what is known of clips besides their pictures; None for none.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        score: str,
        hidden: int,
        dropout: float,
        units: int = 0,
        mix_dropout: float = 0.0,
        branch: MetadataBranch | None = None,
    ) -> None:
        super().__init__()
        self.norm = BatchNorm(dim)
        self.mix = GruMix(dim, units, bidirectional=False, mix_dropout=mix_dropout) if units else None
        width = dim + (2 * units if units else 0)
        self.look = AttentionPool(width, score, span=False)
        self.drop = nn.Dropout(POOL_DROPOUT if units else 0.0)
        self.branch = branch
        joined = 2 * width + (branch.width if branch else 0)
        layers: list[nn.Module] = [BatchNorm(joined)]
        if units:  # each dense layer is followed by ReLU and dropout
            for before in (joined, hidden) if hidden else ():
                layers += [nn.Linear(before, hidden), nn.ReLU(), nn.Dropout(dropout)]
        else:
            layers.append(nn.Dropout(dropout))
            for before in (joined, hidden) if hidden else ():
                layers += [nn.Linear(before, hidden), BatchNorm(hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.classify = nn.Sequential(*layers, nn.Linear(hidden or joined, classes))

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor, facts_BF: Tensor | None = None
    ) -> Answer:
        """Answer for each clip: one frame at least, the real ones before the padded ones."""
        # Statistics of frames that exist, by their places: by the mask a step takes a quarter longer.
        real_N = mask_BT.flatten().nonzero()[:, 0]
        real_ND = self.norm(x_BTD.flatten(0, 1).index_select(0, real_N))
        x_MD = real_ND.new_zeros(mask_BT.numel(), real_ND.shape[1]).index_copy(0, real_N, real_ND)
        x_BTD = x_MD.view(*mask_BT.shape, -1)
        if self.mix is not None:
            x_BTD = torch.cat([self.mix(x_BTD, mask_BT, times_BT).to(x_BTD.dtype), x_BTD], dim=2)
        seen_BD, attention_BT = self.look(x_BTD, mask_BT, times_BT)
        pooled_BD = torch.cat([self.drop(seen_BD), self.drop(span(x_BTD, mask_BT))], dim=1)
        if self.branch is not None:
            assert facts_BF is not None
            pooled_BD = torch.cat([pooled_BD, self.branch(facts_BF)], dim=1)
        return Answer(self.classify(pooled_BD), attention_BT)
