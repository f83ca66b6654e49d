"""Which inner modules a backbone has whose outputs can be tapped, and what they give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jungle.backbone_names import check_backbone
from jungle.errors import UsageError, suggest
from jungle.models.backbones.timm_factory import BackboneSpec, created
from jungle.system import hide_modules


@dataclass(frozen=True)
class Tap:
    """What one module gives for one frame.

    Attributes:
        name: as `model.taps` takes it.
        kind: class of the module.
        channels: numbers that are left of it once it is pooled over space.
        height: places from top to bottom; 1 for tokens, which lie in no picture.
        width: places from left to right, or tokens.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int


def taps_of(
    backbone: str, size: tuple[int, int] | None = None, names: Sequence[str] = (), depth: int = 2
) -> list[Tap]:
    """Return what modules of a backbone give, in the order in which a frame passes them.

    Nothing is computed and no weights are needed: only shapes pass through the model.

    Args:
        backbone: name of a timm model.
        size: height and width of a frame in pixels; None = the backbone's own.
        names: of the modules, as `model.taps` takes them; none = all that are not deeper than `depth`.
        depth: parts of a name: 1 for `layer1`, 2 for `layer1.0` as well.

    Raises:
        UsageError: timm knows no such model, or it has no such module.
    """
    with hide_modules("wandb"):  # timm would import it for a log of its own
        from timm.data.config import resolve_model_data_config

    check_backbone(backbone)
    with torch.device("meta"):
        model = created(BackboneSpec(backbone, False, None, size), load=False).eval()
    modules = {name: module for name, module in model.named_modules() if name}
    if lost := next((name for name in names if name not in modules), None):
        raise UsageError(f"{backbone} has no module {lost}.{suggest(lost, modules)}")
    wanted = list(names) or [name for name in modules if name.count(".") < depth]
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    found: dict[str, Tap] = {}

    def note(name: str, module: nn.Module, out: Any) -> None:
        out = out[0] if isinstance(out, tuple) else out
        if isinstance(out, Tensor) and (shape := _places(out, last)) is not None:
            found[name] = Tap(name, type(module).__name__, *shape)

    for name in wanted:
        modules[name].register_forward_hook(lambda module, _in, out, name=name: note(name, module, out))
    height, width = size or resolve_model_data_config(model)["input_size"][1:]
    with torch.inference_mode():
        model.forward_features(torch.zeros(1, 3, height, width, device="meta"))
    return list(found.values())


def _places(out: Tensor, channels_last: bool) -> tuple[int, int, int] | None:
    """Return channels, height and width of maps or tokens; None of anything else."""
    if out.ndim == 3:
        return out.shape[2], 1, out.shape[1]
    if out.ndim != 4:
        return None
    _, *shape = out.shape
    channels, height, width = (shape[2], *shape[:2]) if channels_last else shape
    return channels, height, width
