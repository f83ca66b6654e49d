"""Formatting of numbers and names in reports."""

import math
import unicodedata

SPLITS = {"test": "test", "val": "validation"}


def format_percent(value: float) -> str:
    """Return 0.943 as `94 %`, with one decimal near 0 and 1 so that it is not taken for none or all."""
    if 0 < value < 0.0005:
        return "<0.1\N{NARROW NO-BREAK SPACE}%"
    near = 0.995 <= value < 1 or 0 < value < 0.01
    return f"{value * 100:.{int(near)}f}\N{NARROW NO-BREAK SPACE}%"


def format_score(value: float | None) -> str:
    """Return three significant digits; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def format_gain(value: float, digits: int = 4) -> str:
    """Return a gain with its sign; without one where all the digits shown are 0."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def format_seconds(value: float) -> str:
    """Return 1.25 as `1.2 s`, and from a minute on as `1:02.5`."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)}:{value % 60:04.1f}"


def remove_hidden(text: str) -> str:
    """Replace control characters and direction marks, which can make a name look like another."""
    hidden = ("Cc", "Cf", "Cs")
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in hidden else c for c in text)
