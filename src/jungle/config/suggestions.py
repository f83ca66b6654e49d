"""Suggestions for overrides of a choice or setting that does not exist."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override

from jungle.errors import UsageError, suggest

NEAR = 0.72
"""How alike two names are of which one may be the other misspelt: `modle` and `model` are by 0.8."""


def list_configs(folder: Path) -> list[str]:
    """Return the names of the configs in a folder and its subfolders, such as `head/mean`."""
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def check_choice(group: str, override: Override, options: list[str]) -> None:
    """Refuse a choice that a group does not have.

    Raises:
        UsageError: with the nearest ones.
    """
    if override.is_delete():
        return  # what is then missing is said
    if override.is_sweep_override():
        try:
            chosen = [str(v) for v in override.sweep_string_iterator()]
        except Exception:  # a glob or interval: Hydra expands it
            return
    else:
        value = override.value()
        values = value if isinstance(value, list) else [value]
        chosen = ["null" if v is None else str(v) for v in values]
    check_choices(group, chosen, options)


def check_choices(group: str, chosen: Sequence[str], options: list[str]) -> None:
    """Refuse choices that a group does not have.

    Raises:
        UsageError: with the nearest ones.
    """
    for choice in chosen:
        if choice == "null":  # Hydra has a traceback for it
            raise UsageError(
                f"{group}=null: no such {group}; leave {group}= out, or take one of: {', '.join(options[:8])}"
            )
        if choice not in options:
            plugin = group in ("hydra/launcher", "hydra/sweeper")
            fix = " Others are plugins of Hydra, to be installed." if plugin else ""
            raise UsageError(f"{group}={choice}: no such {group}.{suggest(choice, options)}{fix}")


def _find_choices(group: Path, setting: str) -> list[str]:
    """Return choices of a group that have a setting which the chosen one lacks."""
    return sorted(
        file.stem
        for file in group.glob("*.yaml")
        if setting
        and file.stem != "base"
        and re.search(rf"^{re.escape(setting)}:", file.read_text(encoding="utf-8"), re.MULTILINE)
    )[:3]


def is_setting(override: Override, groups: dict[str, Override], known: set[str]) -> bool:
    """Tell whether an override is of a known setting or group, of Hydra, or adds a setting."""
    key = override.key_or_group
    added = override.is_add() or override.is_force_add()
    return added or key in groups or key in known or re.split("[./]", key)[0] == "hydra"


def check_key(
    override: Override, groups: dict[str, Override], known: set[str], group_names: set[str], config_dir: Path
) -> None:
    """Refuse a setting that does not exist, or not with the chosen groups.

    Raises:
        UsageError: with the choice that it belongs to, or the nearest settings.
    """
    if is_setting(override, groups, known):
        return
    key = override.key_or_group
    group, _, inner = key.partition(".")
    of_this_verb = any(name.split(".")[0] == group for name in known)  # `jungle predict` has no data=
    if of_this_verb and (owners := _find_choices(config_dir / group, inner)):
        raise UsageError(f"{key} belongs to {' or '.join(f'{group}={o}' for o in owners)}: add that")
    near = _find_near(key, known, group_names - {"hydra"})
    said = f" Nearest: {', '.join(near)}." if near else ""
    raise UsageError(f"there is no setting named {key}.{said} All of them: --help")


def _find_near(key: str, known: set[str], groups: set[str]) -> list[str]:
    """Return up to three similar names, the most similar first; a group before its settings."""
    ranked = []
    top = "." not in key and any(
        _rate_likeness(key, name) >= NEAR for name in known | groups if "." not in name
    )
    for name in known | groups:
        last, whole = name.rsplit(".", 1)[-1], _rate_likeness(key, name)
        # `batch_size` is data.batch_size, `epochs` trainer.max_epochs, `trainr.devices` trainer.devices.
        inner = _rate_likeness(key.rsplit(".", 1)[-1], last) - 0.05
        inner = inner if inner == 0.95 or not top else 0.0
        part = 0.8 if "." not in key and key in last.split("_") else 0.0
        if (score := max(whole, inner if "." not in key or inner > 0.9 else 0.0, part)) >= NEAR:
            ranked.append((-score - (0.1 if name in groups else 0.0), name))
    best = min(ranked)[0] if ranked else 0.0
    return [name for score, name in sorted(ranked)[:3] if score <= best + 0.15]


def _rate_likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
