"""YAML and JSON files of plain values that other people may have written."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jungle.errors import UsageError, shorten_error

Key = TypeVar("Key")
T = TypeVar("T")

BYTES = 1 << 20
"""The most that a file may hold."""
DEPTH, NODES = 20, 50_000
"""The most nesting, and the most values, of a file."""


def read(file: Path) -> object:
    """Read a YAML or JSON file of plain values.

    Raises:
        UsageError: it is not there, not UTF-8, no YAML, or larger or deeper than settings are.
    """
    import yaml
    from omegaconf._utils import get_yaml_loader

    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        raw = file.open("rb").read(BYTES + 1)
        if len(raw) > BYTES:
            raise UsageError(f"{file}: more than {BYTES >> 20} MB: no file of settings")
        text = raw.decode("utf-8-sig")
        if file.suffix == ".json":
            found = json.loads(text, object_pairs_hook=lambda pairs: _build_unique(pairs, file))
            _check_size(found, file)
            return found
        depth = nodes = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            nodes += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise UsageError(
                    f"{file}: line {event.start_mark.line + 1}: an alias (*{event.anchor}); write it out"
                )
            if depth > DEPTH or nodes > NODES:
                raise UsageError(f"{file}: more values, or deeper ones, than settings have")

        class Once(get_yaml_loader()):  # a safe loader, which reads 1e-3 as a number
            def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
                keys = [
                    (self.construct_object(key, deep=True), key.start_mark.line + 1) for key, _ in node.value
                ]
                _check_once(keys, file)
                return super().construct_mapping(node, deep=deep)

        return yaml.load(text, Loader=Once)
    except UnicodeDecodeError:
        raise UsageError(f"{file}: not UTF-8 text, so no file of settings") from None
    except yaml.MarkedYAMLError as e:
        where = f"line {e.problem_mark.line + 1}: " if e.problem_mark else ""
        raise UsageError(f"{file}: {where}{e.problem or e.context}; not YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise UsageError(f"{file}: cannot be read ({shorten_error(e, 120)})") from None


def find_repeated(keys: Iterable[Key]) -> Key | None:
    """Return the first repeated key; None where all differ. `0`, `00`, `0.0` and `"0"` are equal."""
    seen: set[str] = set()
    for key in keys:
        text = str(int(key)) if isinstance(key, int | float) and key == key // 1 else str(key).strip()
        text = str(int(text)) if text.isdecimal() else text
        if text in seen:
            return key
        seen.add(text)
    return None


def _check_once(keys: Sequence[tuple[object, int]], file: Path) -> None:
    """Refuse a key that occurs twice in one mapping: one of its values would be lost.

    Args:
        keys: each with its line.
        file: for the message.
    """
    key = find_repeated(key for key, _ in keys)
    if key is not None:
        lines = [line for other, line in keys if find_repeated((key, other)) is not None]
        where = f"line {lines[0]}" if len(set(lines)) == 1 else f"lines {lines[0]} and {lines[1]}"
        raise UsageError(f"{file}: {key} is set twice ({where}): keep one")


def _build_unique(pairs: list[tuple[str, object]], file: Path) -> dict[str, object]:
    if (key := find_repeated(key for key, _ in pairs)) is not None:
        raise UsageError(f"{file}: {key} is set twice: keep one")
    return dict(pairs)


def read_settings(file: Path) -> dict[str, Any]:
    """Read a file of settings: `name: value`.

    Raises:
        UsageError: as `read`, or it holds something else.
    """
    found = read(file)
    if not isinstance(found, dict):
        raise UsageError(f"{file}: holds no settings (name: value)")
    return {str(key): value for key, value in found.items()}


def _check_size(found: object, file: Path) -> None:
    waiting, nodes = [(found, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if depth > DEPTH or nodes > NODES:
            raise UsageError(f"{file}: more values, or deeper ones, than settings have")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(v, depth + 1) for v in inner]


def drop_empty(settings: dict[str, T]) -> dict[str, T]:
    """Return nested settings without nulls, empty lists and empty groups, at any depth."""
    kept = {k: drop_empty(v) if isinstance(v, dict) else v for k, v in settings.items()}
    return {k: v for k, v in kept.items() if v not in (None, [], {})}
