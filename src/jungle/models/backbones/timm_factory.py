"""Which timm model a backbone is, where its weights come from, and the model built."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants

from jungle.errors import UserError
from jungle.models.backbones.bundled_weights import bundled_weights, to_timm_names
from jungle.models.backbones.weights import gist, load_weights

Colour = tuple[float, float, float]
"""Red, green, blue."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, where its weights come from, and what is taken from it. Plain and picklable."""

    name: str
    pretrained: bool = True
    weights: str | None = None
    """A local .safetensors or .pth file instead of the model's own weights."""
    size: tuple[int, int] | None = None
    """(height, width) of the frames it will see; None = its own."""
    taps: tuple[str, ...] = field(default_factory=tuple)
    """Names of inner modules whose outputs are pooled over space and joined; empty = the pooled last map."""
    pool: str = "mean"
    """How the maps of taps are pooled: one of `POOLS`."""
    also: tuple["BackboneSpec", ...] = ()
    """Further backbones that see the same frames: see `jungle.models.backbones.concat`."""
    mean: Colour | None = None
    """Taken off a frame's colours, from 0 to 1, before they are divided by `std`; None = timm's own."""
    std: Colour | None = None


def created(spec: BackboneSpec, load: bool) -> Any:
    """Build the timm model of a spec, without a classifier; `load=False` leaves its weights random.

    Raises:
        UserError: timm cannot build it, or the weights cannot be had, or do not fit.
    """
    bundled = bundled_weights(spec.name)
    from_hub = load and spec.pretrained and spec.weights is None and bundled is None
    if from_hub:  # says each of its tries in two lines; what came of them is said below
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    # Random weights are the same in every process and run, so that features made with them can be kept.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = _sized(spec, from_hub)
        except Exception as e:
            if not from_hub:
                raise UserError(f"model.backbone={spec.name}: timm cannot build it: {gist(e)}") from e
            raise UserError(
                f"the weights of {spec.name} could not be fetched ({gist(e)}). Connect once (they are "
                f"kept in the hub's cache, {_hub_cache()}), or give a file: "
                "model.weights=<.safetensors|.pth>, or random ones: model.pretrained=false"
            ) from None
    if load and spec.weights is not None:
        load_weights(model, Path(spec.weights))
    elif load and spec.pretrained and bundled is not None:
        state = torch.load(bundled, map_location="cpu", weights_only=True)
        model.load_state_dict(to_timm_names(state, model))
    return model


def _hub_cache() -> str:
    return constants.HF_HUB_CACHE


def _sized(spec: BackboneSpec, pretrained: bool) -> Any:
    """Build the model, for frames of its size where its constructor asks (vision transformers do)."""
    if spec.size is not None:
        try:
            return timm.create_model(spec.name, pretrained=pretrained, num_classes=0, img_size=spec.size)
        except TypeError as e:
            if "img_size" not in str(e):
                raise
    return timm.create_model(spec.name, pretrained=pretrained, num_classes=0)
