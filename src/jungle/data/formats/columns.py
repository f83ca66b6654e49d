"""How the text in the columns of a user's table becomes values."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import MAX_CLASSES, Clips
from jungle.data.encodings import repair_text
from jungle.data.table_io import Table
from jungle.data.text import (
    NO_SITE,
    clean_names,
    find_spellings,
    fold_site,
    fold_text,
    is_ambiguous,
    is_missing,
    map_values,
)
from jungle.data.validation_report import Problems, format_lines
from jungle.errors import UserError
from jungle.names import show
from jungle.wording import tally

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
    **dict.fromkeys(("unlabelled", "unlabeled"), "unlabelled"),
}
BINARY = {
    **{"0": 0, "1": 1, "0.0": 0, "1.0": 1, "0.": 0, "1.": 1, "0,0": 0, "1,0": 1},
    # As spreadsheets translate them: German, French, Italian, Spanish and Portuguese, Dutch, Polish, Swedish,
    # Danish, Norwegian, Finnish, Czech and Slovak, Hungarian, Romanian, Turkish, Croatian, Indonesian,
    # Russian, Ukrainian, Greek.
    **dict.fromkeys(
        (
            *("false", "falsch", "faux", "falso", "onwaar", "fałsz", "falskt", "falsk", "usann", "epätosi"),
            *("nepravda", "hamis", "fals", "yanlış", "yanliş", "laž", "salah", "ложь", "хибність", "ψευδεσ"),
        ),
        0,
    ),
    **dict.fromkeys(
        (
            *("true", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "prawda", "sant", "sand"),
            *("sann", "tosi", "pravda", "igaz", "adevărat", "doğru", "istina", "benar", "истина", "істина"),
            *("αληθεσ",),
        ),
        1,
    ),
}


def drop_missing(table: Table, column: str, more: Collection[str] = (), say: bool = True) -> pl.Series:
    """Return a column without the words that programs and people write for an empty cell; log them.

    Args:
        table: the table.
        column: of site, split, time or numbers, where a mark such as `-` can be no name.
        more: other words, in lower case, that mean so in this column.
        say: whether it is logged.
    """
    text = table.frame[column]
    folds = {fold_text(w) for w in more if not w[:1].isdigit()}
    words = [
        w
        for w in text.drop_nulls().unique().to_list()
        if is_missing(w) or is_ambiguous(w) or w.casefold() in more or (folds and fold_text(w) in folds)
    ]
    if not words:
        return text
    if say:
        say_empty(table, column, words)
    return pl.select(pl.when(~text.is_in(words)).then(text).alias(column)).to_series()


def say_empty(table: Table, column: str, words: Sequence[str]) -> None:
    """Log which words of a column are read as empty cells."""
    n, cells = find_cells(table, column, words)
    if n:
        log.warning(
            f"{table.path}: column {show(column, 40)!r}: {tally(n, 'cells are')} read as empty: "
            f"{', '.join(map(str, cells))}"
        )


@dataclass(frozen=True)
class Cell:
    """A cell's text and the lines that hold it; as text `'NA' (line 3)`, line breaks as `;`."""

    text: str
    lines: str

    def __str__(self) -> str:
        text = self.text.replace("\n", "; ")
        return f"{show(text, 60)!r} ({self.lines})"


def find_cells(table: Table, column: str, texts: Sequence[str]) -> tuple[int, list[Cell]]:
    """Count the rows that have one of these texts in a column; return the first five with their lines."""
    if not texts:
        return 0, []
    rows = pl.DataFrame({"text": table.frame[column], "line": table.lines})
    rows = rows.filter(pl.col("text").is_in(list(texts)))
    first = rows.group_by("text", maintain_order=True).agg(pl.col("line").head(3), n=pl.len()).head(5)
    return rows.height, [Cell(text, format_lines(lines, n)) for text, lines, n in first.iter_rows()]


def add_broken(problems: Problems, what: str, names: Iterable[str], fix: str) -> None:
    """Add headings or folders whose names a program broke, as one that did not know UTF-8."""
    broken = {name: said for name in names if (said := repair_text(name)) is not None}
    problems.add(
        f"{what} have a name that a program broke which did not know UTF-8",
        [f"{show(name)!r} is {show(said)!r}" for name, said in broken.items()],
        fix,
    )


def check_broken(table: Table, column: str, values: Iterable[str], problems: Problems) -> None:
    """Add names that a program broke before the file was written, as one that did not know UTF-8."""
    broken = {v: said for v in values if (said := repair_text(v)) is not None}
    rows, cells = find_cells(table, column, list(broken))
    problems.add(
        f"rows have a name in column {show(column, 40)!r} that a program broke which did not know UTF-8",
        [f"{c} is {show(broken[c.text])!r}" for c in cells],
        "Save the table again from its source as UTF-8, or correct the names.",
        count=rows,
        complete=len(cells) == len(broken),
    )


def read_sites(table: Table, column: str, problems: Problems) -> pl.Series:
    """Return the sites, cleaned; null where a clip has none."""
    sites = clean_names(drop_missing(table, column, NO_SITE)).alias("site")
    check_broken(table, column, sites.drop_nulls().unique(maintain_order=True).to_list(), problems)
    return sites


def unify_sites(clips: Clips) -> Clips:
    """Make one site of those that are one name written in several ways; log it.

    The spelling that most clips have stays. Two stations in one are cut less finely; one station in two would
    be on both sides of a cut.
    """
    if "site" not in clips.table.columns:
        return clips
    counts = (
        clips.table["site"]
        .drop_nulls()
        .value_counts(sort=True, name="n")
        .sort("n", "site", descending=[True, False])
    )
    several = find_spellings(counts["site"].to_list(), fold_site)
    if not several:
        return clips
    log.warning(
        f"{tally(len(several), 'sites are')} written in several ways and taken as one: "
        + ", ".join(" = ".join(show(name, 40) for name in group) for group in several[:5])
        + (", ..." if len(several) > 5 else "")
    )
    one = {name: group[0] for group in several for name in group}
    return clips.with_columns(site=map_values(clips.table["site"], one))


def parse_binary(table: Table, column: str) -> tuple[pl.Series, pl.Series]:
    """Read a column of 0 and 1 as Int8 `[N]` (null where empty) and bool `[N]`: which cells are neither."""
    text = drop_missing(table, column, say=False)
    plain = pl.select(pl.when(text == "0").then(0).when(text == "1").then(1).cast(pl.Int8)).to_series()
    if plain.null_count() == text.null_count():
        return plain.alias(column), pl.repeat(False, len(text), eager=True)
    known = text.str.to_lowercase().replace_strict(BINARY, default=None, return_dtype=pl.Int8)
    number = text.cast(pl.Float64, strict=False)  # 01, 1.00E+00
    number = pl.select(pl.when(number.is_in([0.0, 1.0])).then(number).cast(pl.Int8)).to_series()
    known = pl.select(pl.coalesce(known, number)).to_series()
    return known.alias(column), text.is_not_null() & known.is_null()


def split_values(table: Table, column: str, problems: Problems) -> pl.Series:
    """Read the split column in Jungle's words; unknown words are a problem."""
    text = clean_names(drop_missing(table, column))
    values = text.str.to_lowercase().replace_strict(SPLIT_NAMES, default=None, return_dtype=pl.String)
    bad = (text.is_not_null() & values.is_null()).arg_true().to_list()
    problems.add(
        f"rows have an unknown split in column {show(column)!r}",
        [f"{text[i]} ({table.place(i)})" for i in bad[:5]],
        "Splits are train, val and test (holdout is test).",
        count=len(bad),
    )
    return values.alias("split")


def read_weights(table: Table, column: str, problems: Problems) -> pl.Series:
    """Read the weight column as float32; anything but a finite number from 0 up is a problem."""
    text = drop_missing(table, column)
    # A comma before one, two or more than three digits is a decimal one; before three it may be of thousands.
    values = text.str.replace(r"^(\d+),(\d{1,2}|\d{4,})$", "$1.$2").cast(pl.Float32, strict=False)
    fine = values.is_finite() & (values >= 0)
    bad = (text.is_not_null() & ~fine.fill_null(False)).arg_true().to_list()
    problems.add(
        f"rows have a weight in column {show(column)!r} that is not a number from 0 up",
        [f"{text[i]} ({table.place(i)})" for i in bad[:5]],
        "Write a number, or leave it empty for 1.",
        count=len(bad),
    )
    return values.fill_null(1.0).alias("weight")


def pick_values(clip: np.ndarray, values: pl.Series, n: int) -> tuple[pl.Series, list[int]]:
    """Pick one value for each clip from its rows: the first one given; return the rows that differ, too.

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
            f"{path}: column {show(column)!r} holds {n} different names; at most {MAX_CLASSES} classes are "
            "allowed; name the right one: data.label_column=<column>"
        )
