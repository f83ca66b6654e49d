"""Several frozen backbones that see the same frames, their features concatenated.

The third place of Pri-matrix Factorization (2017) had a model of three: 3840 + 2944 + 3488 numbers a frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.timm_factory import BackboneSpec

MOST = 15  # further backbones of a checkpoint from a stranger


class Joined(Backbone):
    """A backbone of several `parts`, with the features of all; it has no `model` of its own.

    Raises:
        UsageError: the parts are for frames of different sizes.
    """

    prefix = 0

    def __init__(self, parts: Sequence[Backbone]) -> None:
        nn.Module.__init__(self)
        first = parts[0]
        for part in parts[1:]:
            if part.size != first.size:
                a, b = (f"{p.spec.name} sees {p.size[0]}x{p.size[1]}" for p in (first, part))
                raise UsageError(f"model.also: {a}, {b}: give one model.size for all")
        self.parts = nn.ModuleList(parts)
        self.spec = replace(first.spec, also=tuple(p.spec for p in parts[1:]))
        self.dim = sum(p.dim for p in parts)
        self.size, self.interpolation = first.size, first.interpolation

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        """Turn uint8 RGB frames into features `x_ND`."""
        return torch.cat([part(frames_NHWC) for part in self.parts], dim=1)

    def folded(self) -> Joined:
        """Return a copy for inference that gives the same features faster on a CPU."""
        return Joined([part.folded() for part in backbones_of(self)])

    def weights_hash(self) -> str:
        """Return a hash of every weight and buffer of all parts."""
        texts = [p.weights_hash() for p in backbones_of(self)]
        return hashlib.blake2b(" ".join(texts).encode(), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain types from which the same model can be built for its saved weights."""
        first, *others = (p.to_dict() for p in backbones_of(self))
        return {**first, "also": others}


def backbones_of(backbone: Backbone) -> list[Backbone]:
    """Return a backbone's parts, or itself."""
    return list(backbone.parts) if isinstance(backbone, Joined) else [backbone]  # type: ignore[arg-type]  # a ModuleList forgets


def make_backbone(spec: BackboneSpec) -> Backbone:
    """Build the backbone, or the joined ones, of a spec.

    Raises:
        UsageError: timm has no such model, or their sizes differ.
        UserError: weights cannot be loaded, or do not fit.
    """
    first = Backbone(replace(spec, also=()))
    return Joined([first, *(Backbone(other) for other in spec.also)]) if spec.also else first


def backbone_from(values: dict[str, Any], dims: Sequence[int] | None = None) -> Backbone:
    """Build the model of `to_dict` with random weights, for its state dict.

    Args:
        values: untrusted plain values.
        dims: D of each part, if known: saves the computation of a frame.

    Raises:
        UsageError: there are too many parts, or timm has no such model.
    """
    others = values.get("also", ())
    if len(others) > MOST:
        raise UsageError(f"{len(others) + 1} backbones in one model; this program joins {MOST + 1}")
    each = [values, *(dict(v) for v in others)]
    known = dims or [None] * len(each)
    parts = [Backbone.from_dict(v, dim) for v, dim in zip(each, known, strict=True)]
    return Joined(parts) if others else parts[0]
