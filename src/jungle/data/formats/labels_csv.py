"""A table of labels: `filepath,label` with a row a label (as zamba has it), or one 0/1 column a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import Clips, check_class_names
from jungle.data.formats.columns import (
    binary,
    check_class_count,
    find_columns,
    one_value,
    reserved,
    split_values,
    time_values,
    weight_values,
)
from jungle.data.formats.sites import join_sites
from jungle.data.paths import Names, name_clips
from jungle.data.problems import Problems, shown
from jungle.data.tables import Table, read_table
from jungle.errors import UserError


def load_csv(
    labels: str | Path,
    root: str | Path | None = None,
    *,
    classes: Sequence[str] | None = None,
    filepath_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    site_column: str | None = None,
    time_column: str | None = None,
    sites: str | Path | None = None,
    problems: Problems | None = None,
) -> Clips:
    """Read a table of labels; nothing is asked of the disk yet.

    A column named label, species or class makes it a long table: several rows of one clip are several
    labels, an empty label is an unlabelled clip. Otherwise each column that is not known to be something
    else is a class.

    Args:
        labels: CSV (comma, semicolon or tab) or Parquet.
        root: the folder that names are relative to and cannot leave; None takes the table's own folder.
        classes: the class names in order; None takes those of the table (in a long table, sorted).
        filepath_column: the column that names the clips; None finds it. Likewise the other columns.
        label_column: the column of a long table that holds the label.
        split_column: train, val or test (also holdout).
        site_column: where the camera stood.
        time_column: when the clip begins, never converted.
        sites: another table `filename,site[,split,time]`; see `join_sites`.
        problems: gathers what is wrong with rows, for a caller that reports it with later checks; None
            raises here.

    Raises:
        UserError: the table cannot be read or used; names file, line and fix.
    """
    gathered = Problems() if problems is None else problems
    table = read_table(labels)
    named = {
        "filepath": filepath_column,
        "label": label_column,
        "split": split_column,
        "site": site_column,
        "time": time_column,
    }
    roles = find_columns(table, named)
    if not table.frame.height:
        raise UserError(f"{table.path}: no rows. It needs one line a clip.")
    names = name_clips(table.frame[roles["filepath"]], Path(root) if root is not None else table.path.parent)
    report_refused(table, names, roles["filepath"], gathered)
    # Classes that are all columns are meant as columns, whatever else the table has.
    wide = "label" not in roles or (classes is not None and set(classes) <= set(table.frame.columns))
    clips = (_wide if wide else _long)(table, roles, names, classes, gathered)
    if sites is not None:
        clips = join_sites(clips, sites, root if root is not None else table.path.parent, problems=gathered)
    if problems is None:
        gathered.raise_if_any(table.path)
    return clips


def report_refused(table: Table, names: Names, column: str, problems: Problems) -> None:
    """Add the names that cannot be used to `problems`."""
    text = table.frame[column]
    for reason in sorted(set(names.refused.values())):
        rows = [row for row, why in names.refused.items() if why == reason]
        fix = "Clips lie under data.root, and a table may name no other file."
        if reason == "is outside the root":
            folders = {(text[row] or "").replace("\\", "/").rpartition("/")[0] for row in rows}
            fix += f" Set data.root={shown(_common(folders))} if they are meant."
        elif reason == "no name":
            fix = "Write the name of the clip, or remove the row."
        problems.add(
            f"rows whose {shown(column)} {reason}"
            if reason != "no name"
            else f"rows without a {shown(column)}",
            [f"{text[row] or ''} ({table.place(row)})".strip() for row in sorted(rows)[:5]],
            fix,
            count=len(rows),
        )


def _common(folders: set[str]) -> str:
    split = [f.split("/") for f in folders]
    depth = 0
    while all(len(s) > depth for s in split) and len({s[depth] for s in split}) == 1:
        depth += 1
    return "/".join(split[0][:depth]) or "/"


def _long(
    table: Table, roles: dict[str, str], names: Names, classes: Sequence[str] | None, problems: Problems
) -> Clips:
    """Rows of one clip become one row, with a 1 for each of their labels."""
    keep = names.clip.is_not_null()
    kept = Table(table.path, table.frame.filter(keep), table.lines.filter(keep))
    frame = pl.DataFrame({"clip": names.clip, "path": names.path}).filter(keep)
    label = kept.frame[roles["label"]]
    found = sorted(label.drop_nulls().unique().to_list())
    order = list(classes) if classes is not None else found
    check_class_count(table.path, roles["label"], len(order))
    check_class_names(order)
    if classes is not None and (unknown := [n for n in found if n not in set(order)]):
        problems.add(
            "labels are not in data.classes",
            unknown,
            "Correct them, or add them to data.classes.",
            count=len(unknown),
        )
    # Rows are numbered by the clip's first appearance, so the table keeps the order of the file.
    first = frame.unique("clip", keep="first", maintain_order=True).with_row_index("number")
    clip = frame.join(first.select("clip", "number"), on="clip", how="left", maintain_order="left")[
        "number"
    ].to_numpy()
    column = label.replace_strict({n: i for i, n in enumerate(order)}, default=None, return_dtype=pl.Int32)
    has = column.is_not_null().to_numpy()
    onehot = np.zeros((len(order), first.height), np.int8)
    onehot[column.drop_nulls().to_numpy(), clip[has]] = 1
    known = np.zeros(first.height, bool)
    known[clip[label.is_not_null().to_numpy()]] = True
    targets = [
        pl.select(pl.when(pl.Series(known)).then(pl.Series(onehot[i])).alias(n)).to_series()
        for i, n in enumerate(order)
    ]
    meta = _meta(kept, roles, problems)
    whole = []
    for values in meta:
        value, others = one_value(clip, values, first.height)
        problems.add(
            f"rows give a clip another {values.name} than its first row",
            [f"{frame['clip'][i]} ({kept.place(i)})" for i in others[:5]],
            f"A clip has one {values.name}: make the rows agree.",
            count=len(others),
        )
        whole.append(value)
    return Clips(pl.DataFrame([first["clip"], first["path"], *whole, *targets]), tuple(order))


def _wide(
    table: Table, roles: dict[str, str], names: Names, classes: Sequence[str] | None, problems: Problems
) -> Clips:
    """One row is one clip, one column one class. Duplicates stay, for the checks to find."""
    known = reserved(roles)
    candidates = [c for c in table.frame.columns if c.lower() not in known]
    order = candidates
    if classes is not None:
        order = list(classes)
        if absent := [c for c in order if c not in table.frame.columns]:
            problems.add(
                f"classes of data.classes have no column in {table.path}",
                absent,
                "Correct the names, or name the label column of a long table: data.label_column=<column>.",
            )
            order = [c for c in order if c in table.frame.columns]
    check_class_count(table.path, "columns", len(order))
    targets: list[pl.Series] = []
    other: list[str] = []
    bad: list[str] = []
    n_bad = 0
    for name in order:
        values, wrong = binary(table, name)
        rows = wrong.arg_true().to_list()
        if rows and classes is None and values.null_count() == len(values):
            other.append(name)  # not one 0 or 1 in it: a column of something else
            continue
        n_bad += len(rows)
        bad += [f"{name} = {table.frame[name][i]} ({table.place(i)})" for i in rows[:5]]
        targets.append(values)
    problems.add(
        "labels are neither 0 nor 1",
        bad,
        "Correct them; if the column is not a class, name the classes: data.classes=[...].",
        count=n_bad,
    )
    if other:
        log.info(f"{table.path}: not taken as classes: {', '.join(shown(c, 40) for c in other)}")
    if not targets and not problems:
        raise UserError(
            f"{table.path}: no labels: neither a column label, species or class nor columns of 0 and 1. "
            "Name it: data.label_column=<column>."
        )
    check_class_names([t.name for t in targets])
    frame = pl.DataFrame([names.clip, names.path, *_meta(table, roles, problems), *targets])
    return Clips(frame.filter(names.clip.is_not_null()), tuple(s.name for s in targets))


def _meta(table: Table, roles: dict[str, str], problems: Problems) -> list[pl.Series]:
    """The columns split, site, time and weight, those that the table has."""
    columns = []
    if "split" in roles:
        columns.append(split_values(table, roles["split"], problems))
    if "site" in roles:
        columns.append(table.frame[roles["site"]].alias("site"))
    if "time" in roles:
        columns.append(time_values(table.frame[roles["time"]]))
    if "weight" in roles:
        columns.append(weight_values(table, roles["weight"], problems))
    return columns
