"""Kinds of values that stand in several groups of a config."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
