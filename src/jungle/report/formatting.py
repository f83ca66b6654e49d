"""Numbers and names as the report writes them."""

import math
import unicodedata
from typing import Any

SPLITS = {"test": "test", "val": "validation"}


def percent(value: float) -> str:
    """0.943 -> 94 %; one decimal where whole numbers would hide that it is not all or nothing."""
    if 0 < value < 0.0005:
        return "<0.1\N{NARROW NO-BREAK SPACE}%"
    near = 0.995 <= value < 1 or 0 < value < 0.01
    return f"{value * 100:.{int(near)}f}\N{NARROW NO-BREAK SPACE}%"


def score(value: float | None) -> str:
    """Three digits that matter; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def seconds(value: float) -> str:
    """1.25 -> 1.2 s; minutes where there are any."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)}:{value % 60:04.1f}"


def plain(text: Any) -> str:
    """Text without control characters and direction marks, which could make a name look like another."""
    hidden = ("Cc", "Cf", "Cs")
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in hidden else c for c in str(text))
