"""Kinds of values that stand in several groups of a config."""

import os
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from jungle import links

RunPath = Annotated[Path, AfterValidator(links.through)]
"""A path into a training run, which may go through `latest`."""

NOTHING = ("none", "null")
"""What people write for null, in any case."""

Fraction = Annotated[float, Field(ge=0, lt=1)]


def parse_size(value: Any) -> tuple[int, int] | None:
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


def listed(value: Any) -> Any:
    """Turn one value into a list of it; a list stays as it is."""
    return value if isinstance(value, list) else [value]


def without_empty(settings: Any) -> Any:
    """Leave out of nested settings what is null or an empty list or group, at any depth."""
    if not isinstance(settings, dict):
        return settings
    kept = {k: without_empty(v) for k, v in settings.items()}
    return {k: v for k, v in kept.items() if v not in (None, [], {})}


class Section(BaseModel):
    """One group of a config: unknown keys are refused, values are what they say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_null(cls, values: Any) -> Any:
        """Take `none` for null where a setting may be null, unless a file of that name lies there."""
        if not isinstance(values, dict):
            return values

        def meant(name: Any, value: Any) -> Any:
            if not isinstance(value, str) or value.lower() not in NOTHING or name not in cls.model_fields:
                return value
            field = cls.model_fields[name]
            may_be_null = type(None) in _members(field.annotation)
            return None if may_be_null and not os.path.lexists(value) else value

        return {name: meant(name, value) for name, value in values.items()}


def _members(annotation: Any) -> set[Any]:
    """Return the types of a union, those of its inner unions too."""
    inner = get_args(annotation)
    return {annotation, *(m for part in inner for m in _members(part))} if inner else {annotation}
