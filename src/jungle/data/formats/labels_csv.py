"""A table of labels: `filepath,label` with a row a label (as zamba has it), or one 0/1 column a class."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.clips import Clips, check_class_names
from jungle.data.formats.cells import Reading, read_cells
from jungle.data.formats.columns import (
    check_broken,
    check_class_count,
    find_cells,
    parse_binary,
    pick_values,
    say_empty,
    unify_sites,
)
from jungle.data.formats.headings import Columns, find_columns
from jungle.data.formats.label_columns import is_binary
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.merging import LabelTable, merge_tables, name_tables
from jungle.data.formats.roots import check_roots, place_names
from jungle.data.formats.sites import join_sites, read_meta
from jungle.data.formats.wide import read_wide
from jungle.data.paths import OUTSIDE, TWICE, Names, locate
from jungle.data.table_io import Table, read_table
from jungle.data.text import clean_name, is_blank, map_values, match_names
from jungle.data.validation_report import Problems, format_lines
from jungle.errors import UsageError, UserError
from jungle.names import show
from jungle.wording import tally


def load_csv(source: LabelSource, problems: Problems) -> Clips:
    """Read a table of labels; clips are not looked for on disk yet.

    A column named label, species or class makes it a long table: several rows of one clip are several
    labels, an empty label is an unlabelled clip. Otherwise each column that is not known to be something
    else is a class. Without a root, names are relative to the table's own folder.
    """
    source.report_absent_root(problems)
    return load_tables(source, problems, _read_labels)


def load_tables(
    source: LabelSource, problems: Problems, read: Callable[[Path, LabelSource, Problems], LabelTable]
) -> Clips:
    """Read each file of `source.labels`, merge them, and add the sites.

    Args:
        source: the files.
        problems: collects faults; those of several files are named by the file.
        read: reads one file.

    Raises:
        UserError: a file cannot be read.
    """
    if not source.tables:
        raise UsageError("data.labels is missing: give data.labels=<table>")
    tables: list[LabelTable] = []
    for path, name in zip(source.tables, name_tables(source.tables), strict=True):
        own = problems if len(source.tables) == 1 else Problems()
        tables.append(read(path, source, own))
        if own is not problems:
            problems.absorb(own, name)
    clips = tables[0].clips
    if len(tables) > 1:
        named = None if source.classes is None else [clean_name(c) for c in source.classes]
        clips = merge_tables(tables, named)
    roots = source.roots or [table.path.parent for table in tables]
    check_roots(pl.concat(table.clips.table.select("clip", "path") for table in tables), roots, problems)
    return unify_sites(clips) if source.sites is None else join_sites(clips, source.sites, roots, problems)


def _read_labels(path: Path, source: LabelSource, problems: Problems) -> LabelTable:
    table = read_table(path)
    roots = source.roots or [table.path.parent]
    classes = None if source.classes is None else [clean_name(c) for c in source.classes]
    # Classes that are all columns are meant as columns, whatever else the table has.
    as_columns = match_names(classes or (), table.frame.columns).known
    wide = bool(as_columns) and set(classes or ()) - source.optional <= as_columns.keys()
    named = {"filepath": source.filepath_column, "label": source.label_column}
    blank = "blank" if classes is None else next(filter(is_blank, classes), None)
    meant = list(as_columns.values()) if wide else ()
    columns = find_columns(table, named, roots, labels=True, but=meant, blank=blank)
    table = columns.table
    if not table.frame.height:
        raise UserError(f"{table.path}: no rows; write one line a clip")
    names = unify_names(table, place_names(table.frame[columns.roles["filepath"]], roots))
    report_refused(table, names, columns.roles["filepath"], problems)
    if wide or "label" not in columns.roles:
        clips = read_wide(table, columns, names, classes, problems, optional=source.optional)
        return LabelTable(path, clips, whole=False)
    return LabelTable(path, _collect_labels(table, columns, names, classes, problems))


def unify_names(table: Table, names: Names) -> Names:
    """Give names of one clip that differ by case the first of them; log it.

    Where the disk has a file for each, they are clips of their own. Other forms of one name (accents, `./`,
    backslashes, quotes) are one already.
    """
    every = pl.DataFrame({"clip": names.clip, "path": names.path}).drop_nulls()
    every = every.unique("clip", keep="first", maintain_order=True)
    alike = every.filter(pl.col("clip").str.to_lowercase().is_duplicated())
    if not len(alike):
        return names
    first: dict[str, str] = {}
    for clip, file in zip(alike["clip"], locate(alike["path"]), strict=True):
        if file is not None:
            first.setdefault(file, clip)
    same = dict(zip(alike["clip"], locate(alike["path"]).to_list(), strict=True))
    changed = {c: first[f] for c, f in same.items() if f is not None and first[f] != c}
    if not changed:
        return names
    some = [
        f"{show(c)} ({format_lines(table.lines.filter((names.clip == c).fill_null(False)))}) = {show(to)}"
        for c, to in list(changed.items())[:5]
    ]
    log.warning(
        f"{table.path}: {tally(len(changed), 'names are')} of a file that is named in another case too: "
        f"taken as one clip: {', '.join(some)}"
    )
    path = dict(alike.iter_rows())
    return Names(
        map_values(names.clip, changed),
        map_values(names.path, {path[c]: path[to] for c, to in changed.items()}),
        names.refused,
    )


def report_refused(table: Table, names: Names, column: str, problems: Problems) -> None:
    """Add the names that cannot be used to `problems`."""
    text = table.frame[column]
    for reason in sorted(set(names.refused.values())):
        rows = [row for row, why in names.refused.items() if why == reason]
        fix = "Clips lie under data.root, and a table may name no other file."
        if reason == OUTSIDE:
            fix += _suggest_root({(text[row] or "").replace("\\", "/").rpartition("/")[0] for row in rows})
        elif reason == TWICE:
            fix = "Give the clips names relative to data.root, so that each file has one."
        elif reason == "no name":
            fix = "Write the name of the clip, or remove the row."
        problems.add(
            f"rows whose {show(column)} {reason}"
            if reason != "no name"
            else f"rows without a {show(column)}",
            [f"{text[row] or ''} ({table.place(row)})".strip() for row in sorted(rows)[:5]],
            fix,
            count=len(rows),
        )


def _suggest_root(folders: set[str]) -> str:
    """Suggest what to do about names in other folders: another root, or to cut names of another machine."""
    common = _find_common(folders)
    if any(map(os.path.isdir, folders)):
        return f" Set data.root={show(common)} if they are meant."
    common = common if common != "/" else min(folders)
    return (
        f" {show(common)} is not on this machine: replace what stands before the folders of data.root in "
        "each name by nothing, so that names begin below data.root."
    )


def _find_common(folders: set[str]) -> str:
    split = [f.split("/") for f in folders]
    depth = 0
    while all(len(s) > depth for s in split) and len({s[depth] for s in split}) == 1:
        depth += 1
    return "/".join(split[0][:depth]) or "/"


def _collect_labels(
    table: Table, columns: Columns, names: Names, classes: Sequence[str] | None, problems: Problems
) -> Clips:
    """Make one row of the rows of each clip, with a 1 for each of their labels."""
    columns.say_unused()
    keep = names.clip.is_not_null()
    kept = Table(table.path, table.frame.filter(keep), table.lines.filter(keep))
    frame = pl.DataFrame({"clip": names.clip, "path": names.path}).filter(keep)
    heading = columns.roles["label"]
    cells = kept.frame[heading]
    unique = cells.drop_nulls().unique().sort().to_list()
    check_class_count(table.path, heading, len(unique))
    reading = read_cells(unique, classes)
    _say_reading(kept, heading, reading, problems)
    of_cell = pl.DataFrame(
        {"cell": list(reading.labels), "label": [list(v) for v in reading.labels.values()]},
        schema={"cell": pl.String, "label": pl.List(pl.String)},
    ).filter(pl.col("label").list.len() > 0)
    # Rows are numbered by the clip's first appearance, so the table keeps the order of the file.
    first = frame.unique("clip", keep="first", maintain_order=True).with_row_index("number")
    number = frame.join(first.select("clip", "number"), on="clip", how="left", maintain_order="left")[
        "number"
    ]
    rows = pl.DataFrame({"number": number, "line": kept.lines, "cell": cells})
    rows = rows.join(of_cell, on="cell", how="inner", maintain_order="left").explode("label")
    found = rows["label"].unique().sort().to_list()
    order = list(classes) if classes is not None else found
    check_class_count(table.path, heading, len(order))
    check_class_names(order)
    if classes is None:
        check_broken(kept, heading, unique, problems)
    place = rows.group_by("label").agg(pl.col("line").head(3), n=pl.len())
    problems.know(
        frame.select("clip", line=kept.lines),
        {label: format_lines(at, n) for label, at, n in place.iter_rows()},
    )
    column = rows["label"].replace_strict(
        {n: i for i, n in enumerate(order)}, default=None, return_dtype=pl.Int32
    )
    has = column.is_not_null()
    onehot = np.zeros((len(order), first.height), np.int8)
    onehot[column.drop_nulls().to_numpy(), rows["number"].filter(has).to_numpy()] = 1
    _say_rows(table, frame, rows)
    _say_columns(kept, columns, frame, first["clip"], dict(zip(order, onehot, strict=True)))
    known = np.zeros(first.height, bool)
    known[rows["number"].to_numpy()] = True
    targets = [
        pl.select(pl.when(pl.Series(known)).then(pl.Series(onehot[i])).alias(n)).to_series()
        for i, n in enumerate(order)
    ]
    whole = []
    for values in read_meta(kept, columns.roles, problems):
        value, others = pick_values(number.to_numpy(), values, first.height)
        problems.add(
            f"rows give a clip another {values.name} than its first row",
            [f"{frame['clip'][i]} ({kept.place(i)})" for i in others[:5]],
            f"A clip has one {values.name}: make the rows agree.",
            count=len(others),
        )
        whole.append(value)
    return Clips(pl.DataFrame([first["clip"], first["path"], *whole, *targets]), tuple(order))


def _say_reading(table: Table, column: str, reading: Reading, problems: Problems) -> None:
    """Log what was guessed of the labels, and add unclear ones to `problems`."""
    say_empty(table, column, reading.empty)
    problems.labels_unread = bool(reading.asked or reading.unsure or reading.unknown)
    for what, found, fix in (
        (
            "no label, no animal, or a class",
            reading.asked,
            "Leave the cell empty for a clip that nobody has looked at, write blank for one without an "
            "animal, or name it as a class: data.classes=[...].",
        ),
        (
            "several species or one class",
            reading.unsure,
            "Write ; between species, or name the classes: data.classes=[...].",
        ),
    ):
        rows, cells = find_cells(table, column, found)
        problems.add(
            f"rows have a label in column {show(column, 40)!r} that may mean {what}",
            cells,
            fix,
            count=rows,
            complete=len(found) == len(cells),
        )
    unknown = {name: find_cells(table, column, at)[1] for name, at in list(reading.unknown.items())[:5]}
    problems.add(
        "labels are not in data.classes",
        [f"{show(name)} ({cells[0].lines})" for name, cells in unknown.items()],
        "Correct them, or add them to data.classes.",
        count=len(reading.unknown),
    )
    if reading.taxonomies:
        rows, cells = find_cells(table, column, list(reading.taxonomies))
        name = reading.taxonomies[cells[0].text]
        log.info(
            f"{table.path}: {tally(rows, 'rows hold')} all ranks of a species; the last is taken, as "
            f"{show(name)} of {cells[0]}"
        )
    rows, cells = find_cells(table, column, reading.several)
    if rows:
        parts = " and ".join(map(show, reading.labels[cells[0].text]))
        log.warning(
            f"{table.path}: {tally(rows, 'rows hold')} several names: {', '.join(map(str, cells))}; the "
            f"first is read as {parts}"
        )
    if reading.guessed:
        pairs = ", ".join(f"{show(a)} is {show(b)}" for a, b in list(reading.guessed.items())[:5])
        log.warning(f"{table.path}: labels that data.classes writes in another way: {pairs}")


def _say_rows(table: Table, frame: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Log of how many clips several rows name different labels: each is taken.

    Args:
        table: for its name.
        frame: `clip` of each row.
        rows: `number` of the clip, `line` and `label`, one row for each label of each row.
    """
    per_line = rows.group_by("number", "line").agg(pl.col("label").unique().sort())
    several = (
        per_line.group_by("number").agg("line", pl.col("label").n_unique().alias("n")).filter(pl.col("n") > 1)
    )
    if not several.height:
        return
    one = several.sort("number").row(0, named=True)
    labels = rows.filter(pl.col("number") == one["number"])["label"].unique().sort().to_list()
    clip = frame["clip"].unique(maintain_order=True)[one["number"]]
    log.info(
        f"{table.path}: {tally(several.height, 'clips have')} rows of different labels, and each is taken: "
        f"{show(clip)} ({format_lines(one['line'])}) has {' and '.join(show(n, 40) for n in labels)}"
    )


def _say_columns(
    table: Table, columns: Columns, frame: pl.DataFrame, clips: pl.Series, onehot: dict[str, np.ndarray]
) -> None:
    """Warn of columns of 0 and 1 that are named as classes and contradict the label."""
    free = [c for c in table.frame.columns if c not in columns.used and is_binary(table.frame[c])]
    for column, name in match_names(free, list(onehot)).known.items():
        values, _ = parse_binary(table, column)
        mine = pl.DataFrame({"clip": clips, "label": onehot[name]})
        theirs = pl.DataFrame({"clip": frame["clip"], "said": values, "line": table.lines}).drop_nulls("said")
        differs = theirs.join(mine, on="clip", how="left", maintain_order="left").filter(
            pl.col("said") != pl.col("label")
        )
        if differs.height:
            log.warning(
                f"{table.path}: {tally(differs.height, 'rows have')} another answer in column "
                f"{show(column, 40)!r} than in {show(columns.roles['label'], 40)!r}, which is taken "
                f"({format_lines(differs['line'])})"
            )
