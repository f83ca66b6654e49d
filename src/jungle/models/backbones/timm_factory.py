"""Spec of a backbone, and the timm model built from it with its weights."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from huggingface_hub import constants
from torch import Tensor, nn

from jungle.errors import UserError
from jungle.models.backbones.bundled_weights import bundled_weights, to_timm_names
from jungle.models.backbones.weights import gist, load_weights
from jungle.models.timm_library import create_model

if TYPE_CHECKING:
    from collections.abc import Callable

    class TimmModel(nn.Module):
        """What is used of a timm model; `no_weight_decay` exists for some."""

        num_prefix_tokens: int
        output_fmt: str
        blocks: list[nn.Sequential]
        no_weight_decay: Callable[[], set[str]]
        forward_features: Callable[[Tensor], Tensor]
        set_grad_checkpointing: Callable[[bool], None]
        group_matcher: Callable[..., dict[str, object]]


Colour = tuple[float, float, float]
"""Red, green, blue."""


@dataclass(frozen=True)
class BackboneSpec:
    """Model, weights and outputs of a backbone. Plain and picklable."""

    name: str
    pretrained: bool = True
    weights: str | None = None
    """A local .safetensors or .pth file instead of the model's own weights."""
    size: tuple[int, int] | None = None
    """(height, width) of the frames; None = the model's own."""
    taps: tuple[str, ...] = field(default_factory=tuple)
    """Names of inner modules whose pooled outputs are joined; empty = the pooled last map."""
    pool: str = "mean"
    """How the maps of taps are pooled: one of `POOLS`."""
    also: tuple["BackboneSpec", ...] = ()
    """Further backbones that see the same frames: see `jungle.models.backbones.concat`."""
    mean: Colour | None = None
    """Subtracted from colours of 0 to 1 before they are divided by `std`; None = timm's own."""
    std: Colour | None = None


def created(spec: BackboneSpec, load: bool) -> "TimmModel":
    """Build the timm model of a spec, without a classifier; `load=False` leaves its weights random.

    Raises:
        UserError: timm cannot build it, or the weights cannot be had, or do not fit.
    """
    bundled = bundled_weights(spec.name)
    from_hub = load and spec.pretrained and spec.weights is None and bundled is None
    if from_hub:  # it logs each try in two lines; the error below is enough
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    # Random weights are the same in every process and run, so that features made with them can be stored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = _sized(spec, from_hub)
        except Exception as e:
            if not from_hub:
                raise UserError(f"model.backbone={spec.name}: timm cannot build it: {gist(e)}") from e
            raise UserError(
                f"the weights of {spec.name} could not be fetched ({gist(e)}). Connect once (they are "
                f"kept in the hub's cache, {constants.HF_HUB_CACHE}), or give a file: "
                "model.weights=<.safetensors|.pth>, or random ones: model.pretrained=false"
            ) from None
    if load and spec.weights is not None:
        load_weights(model, Path(spec.weights))
    elif load and spec.pretrained and bundled is not None:
        state = torch.load(bundled, map_location="cpu", weights_only=True)
        model.load_state_dict(to_timm_names(state, [len(stage) for stage in model.blocks]))
    return model


def _sized(spec: BackboneSpec, pretrained: bool) -> "TimmModel":
    """Build the model, with the size of frames if its constructor takes one (as of vision transformers)."""
    if spec.size is not None:
        try:
            model = create_model(spec.name, pretrained=pretrained, num_classes=0, img_size=spec.size)
            return cast("TimmModel", model)
        except TypeError as e:
            if "img_size" not in str(e):
                raise
    return cast("TimmModel", create_model(spec.name, pretrained=pretrained, num_classes=0))
