"""Heads: the features of a clip's frames become one answer. Any number of frames, padded ones masked."""

from collections.abc import Callable
from typing import Any

from torch import nn

from jungle.data.metadata import Metadata
from jungle.models.heads.attention import AttentionPool, MultiQueryPool
from jungle.models.heads.gru import GruMix
from jungle.models.heads.head import Answer, Head
from jungle.models.heads.linear import LinearHead
from jungle.models.heads.metadata import MetadataBranch
from jungle.models.heads.primatrix import FIRST_LAYOUT, PrimatrixHead
from jungle.models.heads.sequence import SequencePool
from jungle.models.heads.statistics import FlattenPool, LsePool, MaxMinPool, MaxPool, MeanPool
from jungle.models.heads.tcn import TcnMix
from jungle.models.heads.transformer import TransformerMix

__all__ = ["HEADS", "Answer", "Head", "completed", "make_head"]

# Called with the width of a frame's feature and the head's own settings.
POOLS: dict[str, Callable[..., nn.Module]] = {
    "mean": MeanPool,
    "max": MaxPool,
    "lse": LsePool,
    "maxmin": MaxMinPool,
    "attention": AttentionPool,
    "gated_attention": lambda dim, **own: AttentionPool(dim, "gated", **own),
    "multi_query": MultiQueryPool,
    "gru": lambda dim, **own: SequencePool(GruMix(dim, **own), dim),
    "tcn": lambda dim, **own: SequencePool(TcnMix(dim, **own), dim),
    "transformer": lambda dim, **own: SequencePool(TransformerMix(dim, **own), dim),
    "flatten": FlattenPool,
}

# Heads of a shape of their own: called with the width of a feature, the number of classes, and all settings.
WHOLE: dict[str, Callable[..., PrimatrixHead | LinearHead]] = {
    "linear": LinearHead,
    "primatrix_attention": PrimatrixHead,
    "primatrix_gru": PrimatrixHead,
    "primatrix_attention_original": PrimatrixHead,
    "primatrix_gru_original": PrimatrixHead,
}
HEADS = (*POOLS, *WHOLE)

# Settings that came after checkpoints of the head had been made: what these were built with.
_CAME_LATER: dict[str, dict[str, Any]] = {
    "attention": {"score": "mlp", "span": True},
    "primatrix_attention": {"layout": FIRST_LAYOUT},
    "primatrix_gru": {"layout": FIRST_LAYOUT},
}


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """Return a head's plain values with those that an older checkpoint lacks."""
    return {**_CAME_LATER.get(values["name"], {}), **values}


def make_head(
    values: dict[str, Any], dim: int, classes: int, metadata: Metadata | None = None
) -> Head | PrimatrixHead | LinearHead:
    """Build a head of plain values for features of width `dim`.

    Args:
        values: `name`, `hidden`, `dropout`, and the settings of the pool of that name.
        dim: width of a frame's feature.
        classes: how many there are.
        metadata: what facts of clips look like, where the head sees these too.
    """
    branch = None if metadata is None else MetadataBranch(metadata)
    values = completed(values)
    if values["name"] in WHOLE:
        own = {k: v for k, v in values.items() if k != "name"}
        return WHOLE[values["name"]](dim, classes, **own, branch=branch)
    own = {k: v for k, v in values.items() if k not in ("name", "hidden", "dropout")}
    pool = POOLS[values["name"]](dim, **own)
    return Head(pool, dim, classes, int(values["hidden"]), float(values["dropout"]), branch)
