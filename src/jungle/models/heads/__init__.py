"""Heads, which turn the features of a clip's frames, any number and padded ones masked, into one answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from jungle.data.metadata import Metadata
from jungle.models.heads.attention import AttentionPool, MultiQueryPool
from jungle.models.heads.head import Answer, Head, LinearHead
from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.primatrix import FIRST_LAYOUT, PrimatrixHead
from jungle.models.heads.sequence import GruMix, SequencePool, TcnMix, TransformerMix
from jungle.models.heads.statistics import FlattenPool, StatisticPool, largest, log_sum_exp, mean, span

__all__ = ["HEADS", "Answer", "Head", "HeadValues", "completed", "make_head"]

HeadValues = Mapping[str, Any]
"""`name`, and the settings of the head of that name, as plain values."""

# Called with the width of a frame's feature and the head's own settings.
POOLS: dict[str, Callable[..., nn.Module]] = {
    "mean": partial(StatisticPool, statistic=mean),
    "max": partial(StatisticPool, statistic=largest),
    "maxmin": partial(StatisticPool, statistic=span),
    "lse": lambda dim, sharpness=4.0: StatisticPool(dim, partial(log_sum_exp, sharpness=sharpness)),
    "attention": AttentionPool,
    "gated_attention": lambda dim, **own: AttentionPool(dim, "gated", **own),
    "multi_query": MultiQueryPool,
    "gru": lambda dim, **own: SequencePool(GruMix(dim, **own), dim),
    "tcn": lambda dim, **own: SequencePool(TcnMix(dim, **own), dim),
    "transformer": lambda dim, **own: SequencePool(TransformerMix(dim, **own), dim),
    "flatten": FlattenPool,
}

# Heads without a pool: called with the width of a feature, the number of classes, and all settings.
WHOLE: dict[str, Callable[..., Head | PrimatrixHead]] = {
    "linear": LinearHead,
    "primatrix_attention": PrimatrixHead,
    "primatrix_gru": PrimatrixHead,
    "primatrix_attention_original": PrimatrixHead,
    "primatrix_gru_original": PrimatrixHead,
}
HEADS = (*POOLS, *WHOLE)

# Values of settings that older checkpoints of the head lack.
_CAME_LATER: dict[str, HeadValues] = {
    "attention": {"score": "mlp", "span": True},
    "primatrix_attention": {"layout": FIRST_LAYOUT},
    "primatrix_gru": {"layout": FIRST_LAYOUT},
}


def completed(values: HeadValues) -> dict[str, Any]:
    """Return a head's plain values with those that an older checkpoint lacks."""
    return {**_CAME_LATER.get(values["name"], {}), **values}


def make_head(
    values: HeadValues, dim: int, classes: int, metadata: Metadata | None = None
) -> Head | PrimatrixHead:
    """Build a head for features of width `dim` and a number of `classes`.

    Args:
        values: `name`, `hidden`, `dropout`, and the settings of the pool of that name.
        dim: width of a frame's feature.
        classes: their number.
        metadata: of the training clips, if the head uses it.
    """
    branch = None if metadata is None else MetadataBranch(metadata)
    own = completed(values)
    name = own.pop("name")
    if name in WHOLE:
        return WHOLE[name](dim, classes, **own, branch=branch)
    hidden, dropout = int(own.pop("hidden")), float(own.pop("dropout"))
    return Head(POOLS[name](dim, **own), dim, classes, hidden=hidden, dropout=dropout, branch=branch)
