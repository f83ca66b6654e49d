"""The head of a model of single frames: one linear layer, of which a clip's answer is the mean."""

import torch
from torch import Tensor, nn

from jungle.models.heads.head import Answer
from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.statistics import MeanPool


class LinearHead(nn.Module):
    """The logits of each frame by one layer, no norm before it; a clip's are their mean.

    With one frame a clip (`frames.count=1`) it is trained on frames alone, and what it says of a frame is
    what it was trained to say: the models of the first place of Pri-matrix Factorization (2017).

    Args:
        dim: width of a frame's feature.
        classes: how many there are.
        dropout: before the layer.
        zero: start with weights of zero, so that the first answer is the class shares for every clip.
        branch: for what is known of clips besides their pictures; None for none.
    """

    def __init__(
        self, dim: int, classes: int, dropout: float, zero: bool, branch: MetadataBranch | None = None
    ) -> None:
        super().__init__()
        self.pool, self.branch = MeanPool(dim), branch
        last = nn.Linear(dim + (branch.width if branch else 0), classes)
        if zero:
            nn.init.zeros_(last.weight)
        self.classify = nn.Sequential(nn.Dropout(dropout), last)

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor, facts_BF: Tensor | None = None
    ) -> Answer:
        """Answer for each clip: one frame at least, the real ones before the padded ones."""
        # What stands in padded places, infinity and NaN included, must not reach any sum.
        x_BTD = x_BTD.masked_fill(~mask_BT.unsqueeze(2), 0.0)
        pooled_BD, _ = self.pool(x_BTD, mask_BT, times_BT)
        if self.branch is not None:
            assert facts_BF is not None
            pooled_BD = torch.cat([pooled_BD, self.branch(facts_BF)], dim=1)
        return Answer(self.classify(pooled_BD), None)
