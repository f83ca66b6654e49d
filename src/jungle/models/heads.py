"""Heads: the features of a clip's frames become one answer. Any number of frames, padded ones masked."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Answer(NamedTuple):
    """What a head says of each clip."""

    logits_BC: Tensor
    attention_BT: Tensor | None
    """The weight of each frame (zero where masked, each clip sums to 1); None where a head does not look."""


class Head(nn.Module):
    """Pool frame features over time, then one hidden layer (or none), then the classes."""

    def __init__(self, pool: nn.Module, dim: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.pool = pool
        width: int = pool.width  # type: ignore[assignment]
        layers: list[nn.Module] = [nn.LayerNorm(width), nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)]
        self.classify = nn.Sequential(*layers, nn.Linear(hidden or width, classes))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Answer:
        """Answer for each clip; a clip needs one frame at least."""
        pooled_BD, attention_BT = self.pool(self.norm(x_BTD), mask_BT)
        return Answer(self.classify(pooled_BD), attention_BT)


class MeanPool(nn.Module):
    """The mean over a clip's frames."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        weight_BT1 = mask_BT.unsqueeze(2).to(x_BTD.dtype)
        return (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1), None


class MaxPool(nn.Module):
    """The largest value of each feature over a clip's frames."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        return _masked(x_BTD, mask_BT, -torch.inf).amax(1), None


class AttentionPool(nn.Module):
    """A mean with learnt weights, joined with max minus min over time.

    The weights are softmax(v . tanh(W x)) (Bahdanau et al. 2015; Ilse et al. 2018); max - min is the third
    place's of Pri-matrix Factorization (2017): what changes over a clip is what moves.
    """

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.width = 2 * dim
        self.score = nn.Sequential(nn.Linear(dim, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, 2 D]`; the weights come with it."""
        score_BT = self.score(x_BTD).squeeze(2).float().masked_fill(~mask_BT, -torch.inf)
        attention_BT = score_BT.softmax(1)
        seen_BD = torch.einsum("bt,btd->bd", attention_BT.to(x_BTD.dtype), x_BTD)
        span_BD = _masked(x_BTD, mask_BT, -torch.inf).amax(1) - _masked(x_BTD, mask_BT, torch.inf).amin(1)
        return torch.cat([seen_BD, span_BD], dim=1), attention_BT


def _masked(x_BTD: Tensor, mask_BT: Tensor, value: float) -> Tensor:
    return x_BTD.masked_fill(~mask_BT.unsqueeze(2), value)


POOLS: dict[str, type[nn.Module]] = {"mean": MeanPool, "max": MaxPool, "attention": AttentionPool}


def make_head(values: dict[str, Any], dim: int, classes: int) -> Head:
    """Build a head of plain values (`name`, `hidden`, `dropout`) for features of width `dim`."""
    pool = POOLS[values["name"]](dim)
    return Head(pool, dim, classes, int(values["hidden"]), float(values["dropout"]))
