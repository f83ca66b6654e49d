"""What the columns of a user's table mean, and how the text in them becomes values."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from jungle.data.clips import MAX_CLASSES, META
from jungle.data.problems import Problems, shown
from jungle.data.tables import Table
from jungle.errors import UserError, nearest

ROLES: dict[str, tuple[str, ...]] = {
    "filepath": ("filepath", "filename", "file", "path", "clip", "video"),
    "label": ("label", "species", "class"),
    "split": ("split", "subset"),
    "site": ("site", "site_id", "location", "deployment", "camera", "station"),
    "time": ("time", "timestamp", "datetime", "date_time"),
    "weight": ("weight",),
}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
    **dict.fromkeys(("unlabelled", "unlabeled"), "unlabelled"),
}
BINARY = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "0.": 0, "1.": 1, "false": 0, "true": 1}
TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y:%m:%d %H:%M:%S",
)


def find_columns(table: Table, named: Mapping[str, str | None]) -> dict[str, str]:
    """Which column has which role (`filepath`, `label`, ...): as `named`, else by its name in any case.

    Raises:
        UserError: a named column is not there, or none names the clips.
    """
    columns = table.frame.columns
    lower: dict[str, str] = {}
    for c in columns:
        lower.setdefault(c.lower(), c)
    roles: dict[str, str] = {}
    for role, names in ROLES.items():
        wanted = named.get(role)
        if wanted is not None:
            if wanted not in columns:
                raise UserError(
                    f"{table.path}: no column {wanted!r} for the {role}.{nearest(wanted, columns)}"
                )
            roles[role] = wanted
            continue
        taken = {v for v in named.values() if v}
        if match := next((lower[n] for n in names if n in lower and lower[n] not in taken), None):
            roles[role] = match
    if "filepath" not in roles:
        heads = ", ".join(shown(c, 40) for c in columns[:12])
        raise UserError(
            f"{table.path}: no column names the clips: {', '.join(ROLES['filepath'])} are looked for, there "
            f"are {heads}. Name it: data.filepath_column=<column>."
        )
    return roles


def reserved(roles: Mapping[str, str]) -> set[str]:
    """Names of columns, in lower case, that are never classes."""
    known = {name for role, names in ROLES.items() if role != "label" for name in names}
    return known | {c.lower() for c in roles.values()} | set(META)


def binary(table: Table, column: str) -> tuple[pl.Series, pl.Series]:
    """A column of 0 and 1 as Int8 `[N]` (null where empty) and bool `[N]`: which cells are neither."""
    text = table.frame[column]
    plain = pl.select(pl.when(text == "0").then(0).when(text == "1").then(1).cast(pl.Int8)).to_series()
    if plain.null_count() == text.null_count():
        return plain.alias(column), pl.repeat(False, len(text), eager=True)
    known = text.str.to_lowercase().replace_strict(BINARY, default=None, return_dtype=pl.Int8)
    return known.alias(column), text.is_not_null() & known.is_null()


def split_values(table: Table, column: str, problems: Problems) -> pl.Series:
    """The split column in Jungle's words; unknown words are a problem."""
    text = table.frame[column]
    values = text.str.to_lowercase().replace_strict(SPLIT_NAMES, default=None, return_dtype=pl.String)
    bad = (text.is_not_null() & values.is_null()).arg_true().to_list()
    problems.add(
        f"rows have an unknown split in column {shown(column)!r}",
        [f"{text[i]} ({table.place(i)})" for i in bad[:5]],
        "Splits are train, val and test (holdout is test).",
        count=len(bad),
    )
    return values.alias("split")


def weight_values(table: Table, column: str, problems: Problems) -> pl.Series:
    """The weight column as float32; anything that is not a finite number from 0 up is a problem."""
    text = table.frame[column]
    values = text.cast(pl.Float32, strict=False)
    fine = values.is_finite() & (values >= 0)
    bad = (text.is_not_null() & ~fine.fill_null(False)).arg_true().to_list()
    problems.add(
        f"rows have a weight in column {shown(column)!r} that is not a number from 0 up",
        [f"{text[i]} ({table.place(i)})" for i in bad[:5]],
        "Write a number, or leave it empty for 1.",
        count=len(bad),
    )
    return values.fill_null(1.0).alias("weight")


def time_values(text: pl.Series) -> pl.Series:
    """Times as datetimes where every one is written one known way without a zone, else as the text it is."""
    for pattern in TIME_FORMATS:
        values = text.str.to_datetime(pattern, strict=False, time_unit="us")
        if values.null_count() == text.null_count():
            return values.alias("time")
    return text.alias("time")


def one_value(clip: np.ndarray, values: pl.Series, n: int) -> tuple[pl.Series, list[int]]:
    """One value a clip out of one a row: the first that is given, and the rows that say another.

    Args:
        clip: int `[R]`, the clip of each row.
        values: `[R]`.
        n: number of clips.
    """
    frame = pl.DataFrame({"clip": clip, "value": values}).with_row_index("row")
    firsts = (
        frame.drop_nulls("value")
        .group_by("clip", maintain_order=True)
        .agg(pl.col("value").first().alias("first"))
    )
    other = frame.join(firsts, on="clip", how="inner").filter(pl.col("value") != pl.col("first"))
    every = pl.DataFrame({"clip": np.arange(n, dtype=clip.dtype)}).join(
        firsts, on="clip", how="left", maintain_order="left"
    )
    return every["first"].alias(values.name), sorted(other["row"].to_list())


def check_class_count(path: object, column: str, n: int) -> None:
    """Refuse a label column that is really a column of comments.

    Raises:
        UserError: more than `MAX_CLASSES` classes.
    """
    if n > MAX_CLASSES:
        raise UserError(
            f"{path}: column {shown(column)!r} holds {n} different names; at most {MAX_CLASSES} classes are "
            "allowed. Name the right one: data.label_column=<column>."
        )
