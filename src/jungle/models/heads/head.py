"""What every head shares: a pool over time between two norms, then the classes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from jungle.models.heads.metadata import MetadataBranch


class Answer(NamedTuple):
    """What a head says of each clip."""

    logits_BC: Tensor
    attention_BT: Tensor | None
    """The weight of each frame (zero where masked, each clip sums to 1); None where a head does not look."""


class Head(nn.Module):
    """Pool frame features over time, then one hidden layer (or none), then the classes.

    Args:
        pool: called with `x_BTD`, `mask_BT` and `times_BT` (seconds); gives `[B, width]` and the attention
            `[B, T]` or None. `pool.width` says how wide its answer is.
        dim: width of a frame's feature.
        classes: how many there are.
        hidden: width of the layer before the classes; 0 for none.
        dropout: before each layer.
        branch: for what is known of clips besides their pictures; None for none.
    """

    def __init__(
        self,
        pool: nn.Module,
        dim: int,
        classes: int,
        hidden: int,
        dropout: float,
        branch: MetadataBranch | None = None,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.pool, self.branch = pool, branch
        width: int = pool.width  # type: ignore[assignment]  # each pool has one
        width += branch.width if branch else 0
        layers: list[nn.Module] = [nn.LayerNorm(width), nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)]
        self.classify = nn.Sequential(*layers, nn.Linear(hidden or width, classes))

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor, facts_BF: Tensor | None = None
    ) -> Answer:
        """Answer for each clip: one frame at least, the real ones before the padded ones."""
        # What stands in padded places, infinity and NaN included, must not reach any sum.
        x_BTD = x_BTD.masked_fill(~mask_BT.unsqueeze(2), 0.0)
        pooled_BD, attention_BT = self.pool(self.norm(x_BTD), mask_BT, times_BT)
        if self.branch is not None:
            assert facts_BF is not None
            pooled_BD = torch.cat([pooled_BD, self.branch(facts_BF)], dim=1)
        return Answer(self.classify(pooled_BD), attention_BT)
