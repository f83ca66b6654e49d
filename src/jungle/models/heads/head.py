"""Heads that pool frame features over time and classify the result."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.statistics import StatisticPool, mean


class Answer(NamedTuple):
    """Answer of a head for a batch of clips."""

    logits_BC: Tensor
    attention_BT: Tensor | None
    """The weight of each frame (zero where masked, each clip sums to 1); None for heads without attention."""


class Head(nn.Module):
    """Pool frame features over time, then one hidden layer (or none), then the classes.

    Args:
        pool: called with `x_BTD`, `mask_BT` and `times_BT` (seconds); gives `[B, pool.width]` and the
        attention
            `[B, T]` or None.
        dim: width of a frame's feature.
        classes: their number.
        hidden: width of the layer before the classes; 0 for none.
        dropout: before each layer.
        branch: for the metadata of clips; None for none.
    """

    classify: nn.Sequential

    def __init__(
        self,
        pool: nn.Module,
        dim: int,
        classes: int,
        *,
        hidden: int,
        dropout: float,
        branch: MetadataBranch | None = None,
    ) -> None:
        super().__init__()
        self.norm: nn.Module = nn.LayerNorm(dim)
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
        """Answer for each clip: at least one frame, the real ones before the padded ones."""
        # Padded places may hold infinity and NaN, which must not reach any sum.
        x_BTD = x_BTD.masked_fill(~mask_BT.unsqueeze(2), 0.0)
        pooled_BD, attention_BT = self.pool(self.norm(x_BTD), mask_BT, times_BT)
        if self.branch is not None:
            assert facts_BF is not None
            pooled_BD = torch.cat([pooled_BD, self.branch(facts_BF)], dim=1)
        return Answer(self.classify(pooled_BD), attention_BT)


class LinearHead(Head):
    """One linear layer without a norm before it; a clip's logits are the mean of those of its frames.

    With one frame per clip (`frames.count=1`) it learns from single frames: the models of the first place of
    Pri-matrix Factorization (2017).

    Args:
        dim: width of a frame's feature.
        classes: their number.
        dropout: before the layer.
        zero: start with weights of zero, so that the first answer is the class shares for every clip.
        branch: for the metadata of clips; None for none.
    """

    def __init__(
        self, dim: int, classes: int, *, dropout: float, zero: bool, branch: MetadataBranch | None = None
    ) -> None:
        nn.Module.__init__(self)
        self.norm, self.pool, self.branch = nn.Identity(), StatisticPool(dim, mean), branch
        last = nn.Linear(dim + (branch.width if branch else 0), classes)
        if zero:
            nn.init.zeros_(last.weight)
        self.classify = nn.Sequential(nn.Dropout(dropout), last)
