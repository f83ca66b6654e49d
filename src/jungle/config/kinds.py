"""Kinds of settings, read from the types of the configs: text, a list of texts, a choice of a group."""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from jungle.config.values import Section, make_list


@dataclass(frozen=True)
class Kind:
    """Kind of a setting's value, as a user sees it."""

    text: bool = False
    """One text or path; a word of a fixed set counts as text."""
    texts: bool = False
    """A list of them."""
    path: bool = False
    """Text that names a file or a folder."""
    null: bool = False
    """May be left empty."""
    group: bool = False
    """A group, of which a choice is taken by its name."""


OTHER = Kind()
"""Numbers, switches, lists of numbers: as Hydra reads them."""


def get_kind(config: type[Section], key: str) -> Kind | None:
    """Return the kind of the setting `key` (`data.root`) of a config; None where it has no such setting."""
    sections: list[type[Section]] = [config]
    *parents, last = key.split(".")
    for name in parents:
        found = [s.model_fields[name].annotation for s in sections if name in s.model_fields]
        sections = [member for a in found for member in _list_members(a) if _is_section(member)]
    fields = [s.model_fields[last] for s in sections if last in s.model_fields]
    if not fields:
        return None
    kinds = [
        _build_kind([m for a in (field.annotation, *_take_listed(field.metadata)) for m in _list_members(a)])
        for field in fields
    ]
    return kinds[0] if all(kind == kinds[0] for kind in kinds) else OTHER


def list_keys(config: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the name of every setting and group of a config."""
    for name, field in config.model_fields.items():
        yield prefix + name
        for member in _list_members(field.annotation):
            if _is_section(member):
                yield from list_keys(member, f"{prefix}{name}.")


def _take_listed(metadata: typing.Sequence[object]) -> list[object]:
    """Return `str` where a validator accepts one text for a list."""
    return [str] if any(getattr(m, "func", None) is make_list for m in metadata) else []


def _list_members(annotation: object) -> list[Any]:
    """Return the types of a union, without their annotations."""
    if get_origin(annotation) is Annotated:
        return _list_members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for a in get_args(annotation) for m in _list_members(a)]
    return [annotation]


def _build_kind(members: list[object]) -> Kind:
    null = type(None) in members
    members = [m for m in members if m is not type(None)]
    if any(_is_section(m) or m is Any for m in members):
        return Kind(group=True, null=null)
    single = [m for m in members if _is_text(m)]
    lists = [
        m
        for m in members
        if get_origin(m) is list and all(_is_text(a) for a in _list_members(get_args(m)[0]))
    ]
    if not members or len(single) + len(lists) < len(members):
        return OTHER
    inner = [*single, *(a for m in lists for a in _list_members(get_args(m)[0]))]
    return Kind(text=bool(single), texts=bool(lists), path=Path in inner, null=null)


def _is_text(kind: object) -> bool:
    return kind in (str, Path, dict[str, str]) or (  # such pairs are read from text by the config
        get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind))
    )


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
