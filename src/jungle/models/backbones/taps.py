"""Inner modules of a backbone whose outputs can be tapped, with the shapes of their outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jungle.backbone_names import check_backbone
from jungle.errors import UsageError, suggest
from jungle.models.backbones.timm_factory import BackboneSpec, created
from jungle.models.timm_library import resolve_model_data_config


@dataclass(frozen=True)
class Tap:
    """The output of one module for one frame.

    Attributes:
        name: as `model.taps` takes it.
        kind: class of the module.
        channels: width of the output after pooling over space.
        height: places from top to bottom; 1 for tokens.
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
    """Return the outputs of modules of a backbone, in the order in which a frame passes them.

    Only shapes pass through the model: no weights are needed.

    Args:
        backbone: name of a timm model.
        size: height and width of a frame in pixels; None = the backbone's own.
        names: of the modules, as `model.taps` takes them; none = all up to `depth`.
        depth: parts of a name: 1 for `layer1`, 2 for `layer1.0` as well.

    Raises:
        UsageError: timm has no such model, or the model has no such module.
    """
    check_backbone(backbone)
    with torch.device("meta"):
        model = created(BackboneSpec(backbone, False, None, size), load=False).eval()
    modules = {name: module for name, module in model.named_modules() if name}
    if lost := next((name for name in names if name not in modules), None):
        raise UsageError(f"{backbone} has no module {lost}.{suggest(lost, modules)}")
    wanted = list(names) or [name for name in modules if name.count(".") < depth]
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    found: dict[str, Tap] = {}

    def note(name: str, module: nn.Module, out: object) -> None:
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
