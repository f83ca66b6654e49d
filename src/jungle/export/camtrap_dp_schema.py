"""Table schemas and profile of Camtrap DP 1.0.2, as published, and values checked by them."""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NotRequired, TypedDict

from jungle.errors import suggest
from jungle.names import show

VERSION = "1.0.2"
PUBLISHED = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
PROFILE = "camtrap-dp-profile.json"
FOLDER = Path(__file__).parent / "camtrap_dp_1_0_2"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class Constraints(TypedDict, total=False):
    """What a value of a field must be."""

    required: bool
    unique: bool
    minimum: float
    maximum: float
    enum: list[str]


class Field(TypedDict):
    """A column of a table."""

    name: str
    type: str
    constraints: NotRequired[Constraints]


@cache
def read_fields(table: str) -> tuple[Field, ...]:
    """Return the columns of `deployments`, `media` or `observations`, in their order."""
    return tuple(json.loads((FOLDER / f"{table}-table-schema.json").read_text(encoding="utf-8"))["fields"])


@cache
def read_choices(name: str) -> tuple[str, ...]:
    """Return the words that the profile allows for a property of `project`."""
    profile = json.loads((FOLDER / PROFILE).read_text(encoding="utf-8"))
    found = profile["allOf"][1]["properties"]["project"]["properties"][name]
    return tuple(found.get("enum") or found["items"]["enum"])


def find_fault(field: Field, values: Sequence[str | None]) -> tuple[int, str] | None:
    """Return the first row with a value that the field does not take, and why; None where all are fine."""
    rules = field.get("constraints", {})
    for row, value in enumerate(values):
        if value is None:
            if rules.get("required"):
                return row, "is empty, and each deployment needs it"
            continue
        choices = rules.get("enum")
        if choices and value not in choices:
            return row, f"{show(value, 40)!r} is not valid.{suggest(value, choices)}"
        if field["type"] == "boolean" and value not in ("true", "false"):
            return row, f"{show(value, 40)!r}: write true or false"
        if field["type"] in ("number", "integer") and (fault := _find_number_fault(value, field, rules)):
            return row, f"{show(value, 40)!r}: {fault}"
    return None


def _find_number_fault(value: str, field: Field, rules: Constraints) -> str:
    if not _NUMBER.fullmatch(value):
        return "write a number, with a point before its decimals"
    number = float(value)
    if field["type"] == "integer" and number != int(number):
        return "write a whole number"
    low, high = rules.get("minimum", -float("inf")), rules.get("maximum", float("inf"))
    if not low <= number <= high:
        return f"write a number from {low:g} to {high:g}" if high < float("inf") else f"write {low:g} or more"
    return ""
