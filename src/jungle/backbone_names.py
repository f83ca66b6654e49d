"""Names of timm's models, read from its source: importing timm takes seconds."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from jungle.errors import UsageError, suggest


@cache
def list_backbones() -> frozenset[str]:
    """Return the name of every model that the installed timm can build."""
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    found: set[str] = set()
    for module in (Path(spec.submodule_search_locations[0]) / "models").glob("*.py"):
        text = module.read_text(encoding="utf-8")
        found.update(re.findall(r"^@register_model\s*\ndef (\w+)", text, flags=re.MULTILINE))
        deprecated = re.search(r"register_model_deprecations\(__name__, \{(.*?)\}\)", text, flags=re.DOTALL)
        if deprecated:
            found.update(re.findall(r"['\"](\w+)['\"]\s*:", deprecated[1]))
    return frozenset(found)


def check_backbone(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        UsageError: with the nearest names.
    """
    names = list_backbones()
    if names and name.split(".")[0] not in names:
        raise UsageError(
            f"model.backbone={name}: timm has no such model.{suggest(name.split('.')[0], names)}"
        )
