"""Types of values that several groups of a config use."""

import os
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from jungle import links
from jungle.errors import UserError, suggest
from jungle.files import expand_user

RunPath = Annotated[Path, AfterValidator(links.follow_latest)]
"""A path into a training run, which may go through `latest`."""

NOTHING = ("none", "null")
"""What people write for null, in any case."""

Fraction = Annotated[float, Field(ge=0, lt=1)]


def parse_size(value: object) -> tuple[int, int] | None:
    """Turn `180x320`, `224` or `[180, 320]` into (height, width); null stays null."""
    if value is None:
        return None
    parts = value if isinstance(value, list | tuple) else str(value).lower().split("x")
    try:
        sides = [int(p) for p in parts]
    except ValueError:
        sides = []
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or not all(16 <= s <= 4096 for s in sides):
        raise ValueError("a size is HEIGHTxWIDTH or one number, each side from 16 to 4096, as in 180x320")
    return sides[0], sides[1]


Size = Annotated[tuple[int, int] | None, BeforeValidator(parse_size)]


def make_list(value: object) -> object:
    """Return one value as a list of one; a list stays as it is."""
    return value if isinstance(value, list) else [value]


_CELL = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,:"'{}][^,:{}]*)"""
_PAIR = re.compile(rf"\s*{_CELL}\s*:\s*{_CELL}\s*(?:,|$)")


def parse_pairs(value: object) -> object:
    """Turn `{hog: boar, wild boar: boar}` into a dictionary; other text stays, as the path of a table.

    Raises:
        ValueError: with how to write it.
    """
    if isinstance(value, dict):
        return {_check_name(old): _check_name(new) for old, new in value.items()}
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] + text[-1:] != "{}":
        if ":" in text and not os.path.exists(text):
            raise ValueError(f"{text}: put braces around pairs, in quotes: data.rename='{{hog: boar}}'")
        return value
    pairs: dict[str, str] = {}
    text, at = text[1:-1].strip(), 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            raise ValueError(
                f"{text[at:][:80]}: write old: new, with commas between pairs, and names that hold , : or a "
                "brace in quotes"
            )
        old, new = (_unquote(cell.strip()) for cell in found.groups())
        if old in pairs:
            raise ValueError(f"{old} is named twice: remove one")
        pairs[old], at = new, found.end()
    if not pairs:
        raise ValueError("no pair in {}: write {old: new}, or leave it out")
    return pairs


def _unquote(cell: str) -> str:
    return re.sub(r"\\(.)", r"\1", cell[1:-1]) if len(cell) > 1 and cell[0] in "\"'" else cell


def _check_name(name: object) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        raise ValueError(f"{name}: not a name; put quotes around it")
    return str(name)


def check_timezone(name: str) -> str:
    """Return the name of a time zone.

    Raises:
        ValueError: there is none of that name; gives the nearest.
    """
    known = zoneinfo.available_timezones()
    if known and name not in known:
        raise ValueError(f"{name}: no such time zone.{suggest(name, known)}")
    return name


class Section(BaseModel):
    """One group of a config; unknown keys and values of other types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _as_people_write(cls, values: object) -> object:
        """Take `none` for null where a setting may be null, `~` in a path for the home folder.

        Shells leave `out=~/x` as it is. A file of just that name is meant where there is one.
        """
        if not isinstance(values, dict):
            return values

        def meant(value: object, kinds: set[object]) -> object:
            if isinstance(value, list):
                return [meant(v, kinds) for v in value]
            if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
                return str(value).lower()  # no number, though Python counts with it: `limit=true` is no 1
            if not isinstance(value, str) or not value or os.path.lexists(value):
                return value
            if value.lower() in NOTHING and type(None) in kinds:
                return None
            return _expand_home(value) if value[0] == "~" and Path in kinds else value

        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        known = {name: _list_members(fields[name].annotation) for name in values if name in fields}
        return {name: meant(value, known[name]) if name in known else value for name, value in values.items()}


def _expand_home(path: str) -> str:
    try:
        return str(expand_user(path))
    except UserError as e:
        raise ValueError(str(e)) from None


def _list_members(annotation: object) -> set[object]:
    """Return the types of a union, those of its inner unions too."""
    inner = get_args(annotation)
    return {annotation, *(m for part in inner for m in _list_members(part))} if inner else {annotation}
