"""A table of labels with a row a clip and a column of 0 and 1 a class."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import Clips, check_class_names
from jungle.data.formats.columns import add_broken, check_class_count, parse_binary
from jungle.data.formats.headings import Columns, find_reserved
from jungle.data.formats.sites import read_meta
from jungle.data.formats.vocabulary import fold_heading
from jungle.data.paths import Names
from jungle.data.table_io import Table
from jungle.data.text import is_missing, match_names
from jungle.data.validation_report import Problems
from jungle.errors import UserError
from jungle.names import show
from jungle.wording import tally

# Marks and words that people write for seen and not seen.
# fmt: off
MARKS = (
    "x", "×", "✓", "✔", "✗", "✘", "☑", "☒", "●", "•", "+", "-", "1x", "0x", "t", "f", "y", "n", "j", "o",
    "s", "yes", "no", "seen", "present", "absent", "found", "detected", "observed", "ja", "nein",
    "gesehen", "oui", "non", "vu", "vue", "sí", "si", "visto", "sim", "não", "nao", "nee", "nej", "nei",
    "tak", "nie", "ano", "ne", "kyllä", "ei", "evet", "hayır", "igen", "nem", "да", "нет", "是", "否",
)
# fmt: on


def read_wide(
    table: Table,
    columns: Columns,
    names: Names,
    classes: Sequence[str] | None,
    problems: Problems,
    *,
    optional: Collection[str] = (),
) -> Clips:
    """Read one clip from each row, one class from each column. Duplicates stay, for the checks to find.

    The table may lack columns for those of `classes` that are `optional`.
    """
    known = find_reserved(columns)
    order = {c: c for c in table.frame.columns if c not in columns.used and fold_heading(c) not in known}
    if classes is not None:
        found = match_names(classes, table.frame.columns)
        problems.add(
            f"classes of data.classes have no column in {table.path}",
            [c for c in classes if c not in found.known and c not in optional],
            "Correct the names, or name the label column of a long table: data.label_column=<column>.",
        )
        if found.guessed:
            pairs = ", ".join(f"{show(a)} is {show(b)}" for a, b in list(found.guessed.items())[:5])
            log.warning(f"{table.path}: classes whose column is written in another way: {pairs}")
        order = {column: name for name, column in found.known.items()}
    check_class_count(table.path, "columns", len(order))
    targets: list[pl.Series] = []
    bad: list[str] = []
    n_bad = n_unknown = 0
    unknown = ""  # the first cell that a word such as NA makes unknown
    marked: list[str] = []
    others: dict[str, str] = {}
    for column, name in order.items():
        values, wrong = parse_binary(table, column)
        rows = wrong.arg_true().to_list()
        if rows and classes is None and values.null_count() == len(values):
            said = f"{show(column)} ({show(table.frame[column][rows[0]], 40)!r}, {table.place(rows[0])})"
            if table.frame[column].drop_nulls().str.to_lowercase().is_in(MARKS).all():
                marked.append(said)
            else:
                others[column] = said
            continue  # not one 0 or 1 in it: a column of something else
        empty = (values.is_null() & table.frame[column].is_not_null() & ~wrong).arg_true()
        if len(empty) and not unknown:
            unknown = (
                f"{table.frame[column][empty[0]]!r} ({table.place(empty[0])}, column {show(column, 40)!r})"
            )
        n_unknown += len(empty)
        n_bad += len(rows)
        bad += [f"{column} = {table.frame[column][i]} ({table.place(i)})" for i in rows[:5]]
        targets.append(values.alias(name))
    labels_RC = (
        np.stack([t.cast(pl.Float32).to_numpy() for t in targets], axis=1) if targets else np.zeros((0, 0))
    )
    some, unknown_RC = (labels_RC == 1).any(axis=1), np.isnan(labels_RC)
    if not (labels_RC == 0).any() and (some & unknown_RC.any(axis=1)).any():
        problems.say(
            "Columns of classes hold 1 and empty cells, and no 0: an empty cell says that nobody knows. "
            "Write 0 where a class was not seen."
        )
    if n_unknown:
        log.warning(f"{table.path}: {tally(n_unknown, 'cells are')} read as unknown, as {unknown}")
    taken = [t.name for t in targets]
    columns.say_unused([c for c, name in order.items() if name in taken])
    if among := _describe_others(
        list(table.frame.columns), [c for c, n in order.items() if n in taken], others
    ):
        log.warning(
            f"{table.path}: columns stand among those of classes and are not taken for one, since they hold "
            f"neither 0 nor 1: {', '.join(among[:5])}{', ...' if len(among) > 5 else ''}"
        )
    problems.add(
        "columns hold marks alone, which may say that a class was seen",
        marked,
        "Write 1 for seen and 0 for not seen, or name the classes: data.classes=[...].",
    )
    problems.add(
        "labels are neither 0 nor 1",
        bad,
        "Correct them; if the column is not a class, name the classes: data.classes=[...].",
        count=n_bad,
    )
    if classes is None:
        problems.add(
            "columns of 0 and 1 have a heading that stands for nothing",
            [c for c in taken if is_missing(c)],
            "Remove or rename them, or name the classes: data.classes=[...].",
        )
        fix = "Save the table again from its source as UTF-8, or correct the names."
        add_broken(problems, "columns", taken, fix)
    if not targets and not problems:
        raise UserError(
            f"{table.path}: no labels: neither a column label, species or class nor columns of 0 and 1; "
            "name it: data.label_column=<column>"
        )
    check_class_names(taken)
    headings = {c: i for i, c in enumerate(table.frame.columns, 1)}
    problems.know(
        pl.DataFrame({"clip": names.clip, "line": table.lines}).drop_nulls(),
        {name: f"column {headings[c]}" for c, name in order.items()},
    )
    frame = pl.DataFrame([names.clip, names.path, *read_meta(table, columns.roles, problems), *targets])
    return Clips(frame.filter(names.clip.is_not_null()), tuple(s.name for s in targets))


def _describe_others(every: list[str], classes: list[str], others: Mapping[str, str]) -> list[str]:
    """Return the descriptions of those of `others` that have a class on either side."""
    places = [every.index(c) for c in classes]
    return [told for c, told in others.items() if places and min(places) < every.index(c) < max(places)]
