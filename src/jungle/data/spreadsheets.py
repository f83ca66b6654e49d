"""CSV files for spreadsheets, in which the name of a clip, a class or a reason is never run as a formula.

A spreadsheet takes a cell that begins with one of `SIGNS` for a formula. Such text is written with an
apostrophe before it, as spreadsheets themselves mark text, and control characters are escaped. Tables that
the program reads again, and files with fixed names (`submission.csv`), are not written by this module.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle.files import write_text
from jungle.names import escape

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the wide forms of the first four, which spreadsheets of some languages take for them."""
_FORMULA = "^[" + "".join(map(re.escape, SIGNS)) + "]"
_NUMBER = r"^[+-]([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\z"
_UNSEEN = r"[\p{C}\p{Zl}\p{Zp}]"
_PYTHON_NUMBER = _NUMBER.replace(r"\z", r"\Z")  # polars and Python write the end of the text in two ways


def escape_formula(value: str) -> str:
    """Return a cell or a heading as a spreadsheet shows it; a plain number (`-1.5`) stays one."""
    risky = re.match(_FORMULA, value) and not re.match(_PYTHON_NUMBER, value)
    return ("'" if risky else "") + escape(value)


def write_csv(
    table: pl.DataFrame, path: str | Path, *, exact: Sequence[str] = (), float_precision: int | None = None
) -> None:
    """Write a table for people in one step; see `format_csv`.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, format_csv(table, exact=exact, float_precision=float_precision))


def format_csv(
    table: pl.DataFrame,
    *,
    exact: Sequence[str] = (),
    float_precision: int | None = None,
    header: bool = True,
) -> str:
    """Return the CSV of a table for people.

    Args:
        table: any; its headings and its text are what `escape_formula` makes of them.
        exact: columns that the program reads again, written as they are.
        float_precision: digits after the point.
        header: whether it begins with the headings.
    """
    texts = [c for c, kind in table.schema.items() if kind == pl.String and c not in exact]
    safe = table.with_columns(_escape_column(table[c]) for c in texts)
    for name in table.columns:
        heading = name if name in exact else escape_formula(name)
        while heading != name and heading in safe.columns:  # a class of just that name
            heading = "'" + heading
        safe = safe.rename({name: heading})
    return safe.write_csv(float_precision=float_precision, include_header=header)


def _escape_column(cells: pl.Series) -> pl.Series:
    risky = cells.str.contains(_FORMULA) & ~cells.str.contains(_NUMBER)
    if not (risky | cells.str.contains(_UNSEEN)).any():
        return cells
    return pl.Series(cells.name, [None if c is None else escape_formula(c) for c in cells], dtype=pl.String)
