"""Overrides that name a choice or a setting which is not there, and what was meant."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jungle.errors import UsageError, nearest


def check_choice(group: str, override: Any, options: list[str]) -> None:
    """Refuse a choice that a group has not.

    Raises:
        UsageError: with the nearest ones.
    """
    if override.is_sweep_override():
        try:
            chosen = [str(v) for v in override.sweep_string_iterator()]
        except Exception:  # a glob or interval: Hydra expands it
            return
    else:
        value = override.value()
        chosen = [str(v) for v in value] if isinstance(value, list) else [str(value)]
    check_choices(group, chosen, options)


def check_choices(group: str, chosen: Sequence[str], options: list[str]) -> None:
    """Refuse those of the choices that a group has not.

    Raises:
        UsageError: with the nearest ones.
    """
    for choice in chosen:
        if choice not in (*options, "null", "None"):
            plugin = group in ("hydra/launcher", "hydra/sweeper")
            fix = " Others are plugins of Hydra, to be installed." if plugin else ""
            raise UsageError(f"{group}={choice}: no such {group}.{nearest(choice, options)}{fix}")


def _choices_with(group: Path, setting: str) -> list[str]:
    """Return choices of a group that have a setting which the one taken has not."""
    return sorted(
        file.stem
        for file in group.glob("*.yaml")
        if setting and re.search(rf"^{re.escape(setting)}:", file.read_text(encoding="utf-8"), re.MULTILINE)
    )[:3]


def check_key(
    override: Any, groups: dict[str, Any], known: set[str], group_names: list[str], config_dir: Path
) -> None:
    """Refuse a setting that there is not, or not with the choices taken.

    Raises:
        UsageError: with the choice that it belongs to, or the nearest settings.
    """
    key = override.key_or_group
    if key in groups or key in known or override.is_add() or override.is_force_add():
        return
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    group, _, inner = key.partition(".")
    if owners := _choices_with(config_dir / group, inner):
        raise UsageError(f"{key} belongs to {' or '.join(f'{group}={o}' for o in owners)}: add that")
    choices = known | set(group_names) - {"hydra"}
    last = key.rsplit(".", 1)[-1]
    ranked = sorted(
        choices,
        key=lambda c: (
            -max(
                difflib.SequenceMatcher(None, key, c).ratio(),
                difflib.SequenceMatcher(None, last, c.rsplit(".", 1)[-1]).ratio() - 0.05,
            )
        ),
    )
    raise UsageError(f"no setting named {key}. Nearest: {', '.join(ranked[:3])}. All of them: --help")
