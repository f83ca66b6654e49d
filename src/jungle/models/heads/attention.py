"""Attention pools: means over frames with learnt weights."""

import torch
from torch import Tensor, nn

from jungle.models.heads.statistics import span


class AttentionPool(nn.Module):
    """A mean with learnt weights, with `span` joined with max - min over time.

    The weights are a softmax over the clip's frames of a score:
        mlp: v . tanh(W x) (Bahdanau et al. 2015; Ilse et al. 2018).
        tanh: tanh(w . x + b), the third place's attention models' (Pri-matrix, 2017): no frame has more than
            e^2 times the weight of another.
        linear: w . x, that of its GRU models.
        gated: v . (tanh(V x) * sigmoid(U x)) (Ilse et al. 2018).

    Args:
        dim: width of a frame's feature.
        score: `mlp`, `tanh`, `linear` or `gated`.
        span: whether max - min over time is joined to the mean.
        width: of the layer inside `mlp` and `gated`.
    """

    def __init__(self, dim: int, score: str, span: bool, width: int = 128) -> None:
        super().__init__()
        self.width, self.span = (2 if span else 1) * dim, span
        self.score = _score(score, dim, width)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, D]`, or `[B, 2 D]` with the span; the weights come with it."""
        attention_BT = masked_softmax(self.score(x_BTD), mask_BT).squeeze(2)
        seen_BD = torch.einsum("bt,btd->bd", attention_BT.to(x_BTD.dtype), x_BTD)
        if self.span:
            seen_BD = torch.cat([seen_BD, span(x_BTD, mask_BT)], dim=1)
        return seen_BD, attention_BT


class MultiQueryPool(nn.Module):
    """Several means, each with its own weights, as a clip may show several things.

    Pooling by multi-head attention (Set Transformer, Lee et al. 2019) without a projection of the features.
    The returned attention is the mean over the queries.
    """

    def __init__(self, dim: int, queries: int = 4, span: bool = True, width: int = 128) -> None:
        super().__init__()
        self.width, self.span = (queries + span) * dim, span
        self.score = nn.Sequential(nn.Linear(dim, width), nn.Tanh(), nn.Linear(width, queries))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Pool to `[B, queries * D]`, and another D with the span."""
        attention_BTQ = masked_softmax(self.score(x_BTD), mask_BT)
        seen_BD = torch.einsum("btq,btd->bqd", attention_BTQ.to(x_BTD.dtype), x_BTD).flatten(1)
        if self.span:
            seen_BD = torch.cat([seen_BD, span(x_BTD, mask_BT)], dim=1)
        return seen_BD, attention_BTQ.mean(2)


class Gate(nn.Module):
    """tanh(V x) * sigmoid(U x): tanh alone is nearly linear around zero."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.both = nn.Linear(dim, 2 * width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return `[B, T, width]`."""
        value, gate = self.both(x_BTD).chunk(2, dim=2)
        return value.tanh() * gate.sigmoid()


def _score(kind: str, dim: int, width: int) -> nn.Module:
    return {
        "mlp": lambda: nn.Sequential(nn.Linear(dim, width), nn.Tanh(), nn.Linear(width, 1)),
        "tanh": lambda: nn.Sequential(nn.Linear(dim, 1), nn.Tanh()),
        "linear": lambda: nn.Linear(dim, 1, bias=False),
        "gated": lambda: nn.Sequential(Gate(dim, width), nn.Linear(width, 1)),
    }[kind]()


def masked_softmax(score_BTQ: Tensor, mask_BT: Tensor) -> Tensor:
    """Return weights `[B, T, Q]`, float32: zero where masked, each clip's sum to 1 for each query."""
    return score_BTQ.float().masked_fill(~mask_BT.unsqueeze(2), -torch.inf).softmax(1)
