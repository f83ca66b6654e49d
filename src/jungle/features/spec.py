"""Everything that shapes features, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch

from jungle.features.store import FeatureStore
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.concat import Joined, backbones_of
from jungle.models.backbones.timm_factory import BackboneSpec
from jungle.video import ClipSpec


@dataclass(frozen=True)
class Extraction:
    """How features are computed: plain and picklable, so that other processes can do a share."""

    backbone: BackboneSpec
    clip: ClipSpec
    store: Path
    name: str
    spec: Mapping[str, object]
    workers: int
    timeout_s: float = 60.0
    dtype: str = "float32"
    max_failed_fraction: float = 1.0

    def open(self) -> FeatureStore:
        """Open the store that these features go into."""
        return FeatureStore.open(self.store, self.name, self.spec)


class FeatureSpec(TypedDict):
    """Everything that shapes a feature, as plain types."""

    version: int
    backbone: str
    weights: str
    taps: object
    pool: str
    mean: object
    std: object
    dtype: str
    clip: dict[str, object]


def make_feature_spec(backbone: Backbone, clip: ClipSpec, weights_hash: str, dtype: str) -> FeatureSpec:
    """Return everything that shapes a feature, as plain types; its fingerprint names the store."""
    own = backbone.to_dict()
    return {
        "version": 1,
        "backbone": own["name"],
        "weights": weights_hash,
        "taps": own["taps"],
        "pool": own["pool"] + (" of patches" if backbone.prefix and own["taps"] else ""),
        "mean": own["mean"],
        "std": own["std"],
        "dtype": dtype,
        "clip": clip.to_dict(),
    }


def make_feature_specs(
    backbone: Backbone | Joined, clip: ClipSpec, weights_hash: str, dtype: str
) -> list[FeatureSpec]:
    """Return the `make_feature_spec` of each backbone that one is made of: joined ones keep a store each."""
    if not isinstance(backbone, Joined):
        return [make_feature_spec(backbone, clip, weights_hash, dtype)]
    return [make_feature_spec(p, clip, p.weights_hash(), dtype) for p in backbones_of(backbone)]


def compute_dtype(device: str) -> str:
    """Return `bfloat16` on a GPU that computes in it, else `float32`."""
    return "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported(False) else "float32"
