"""Roles of a table's columns, by the headings that people and other programs write."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import META
from jungle.data.formats.columns import SPLIT_NAMES
from jungle.data.formats.label_columns import (
    fill_flagged,
    fill_observed,
    is_binary,
    join_label_columns,
    label_columns,
)
from jungle.data.formats.roots import place_names
from jungle.data.formats.vocabulary import (
    DATES,
    FOLDERS,
    NEVER_CLASSES,
    NUMBERS,
    PLAIN,
    ROLES,
    fold_heading,
    split_words,
)
from jungle.data.paths import locate
from jungle.data.table_io import Table
from jungle.data.text import match_names
from jungle.errors import UserError, suggest
from jungle.names import show

SAID = {"filepath": "clip"}
PARTS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}[\"']?$")
HOURS = r"^\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?$"
TRIED = 60  # names that are looked for on disk to choose between two readings


@dataclass(frozen=True)
class Columns:
    """A table whose columns are known."""

    table: Table
    """With columns joined that together name a clip, a label or a time."""
    roles: dict[str, str]
    """Column of each role that the table has: those of `ROLES`."""
    used: frozenset[str]
    """Every column that something was read from."""

    def say_unused(self, but: Sequence[str] = ()) -> None:
        """Log which columns are not used, `but` for those that are classes."""
        left = [c for c in self.table.frame.columns if c not in self.used and c not in but]
        if left:
            log.info(f"{self.table.path}: columns not used: {', '.join(show(c, 40) for c in left)}")


def find_columns(
    table: Table,
    named: Mapping[str, str | None],
    roots: Sequence[Path] = (),
    *,
    labels: bool = False,
    but: Sequence[str] = (),
    blank: str | None = None,
) -> Columns:
    """Find the column of each role (`filepath`, `label`, ...): as `named`, else by its heading.

    Args:
        table: the table.
        named: the columns that the user names; None finds one.
        roots: the folders of the clips, to see whether a folder's column belongs to the names.
        labels: whether a table of labels is read: else no column is looked for that holds the label.
        but: columns that are classes, and nothing else.
        blank: the class of clips without an animal, where a flag may say which these are.

    Raises:
        UserError: a named column is not there, none names the clips, or two may be the label.
    """
    frame = table.frame
    roles = _match_headings(table, named)
    free: dict[str, str] = {}
    twins: dict[str, list[str]] = {}
    for c in frame.columns:
        if c not in but and c not in roles.values():
            bare = re.sub(r"\(.*?\)|\[.*?\]", "", c)  # `Species (common)` is species
            word = fold_heading(bare) or fold_heading(c)
            free.setdefault(word, c)
            twins.setdefault(word, []).append(c)
    said: list[str] = []
    extra: set[str] = set()
    for role, words in ROLES.items():
        if role in roles or (role == "label" and not labels):
            continue
        fit = [c for w in words for c in twins.get(w, []) if c not in roles.values()]
        if role == "filepath":
            fit = sorted(fit, key=lambda c: not _names_files(frame[c]))
            if fit and fit[0].lower() != "filepath":  # which is the whole name by its own word
                fit = sorted(fit, key=lambda c: not _is_whole(frame, c, fit[0]))
        elif role == "label":
            fit = label_columns(table, fit, said, extra)
        elif role == "site":
            fit = [c for c in fit if not frame[c].drop_nulls().head(20).str.contains("://").any()]
        if fit:
            roles[role] = fit[0]
    if "split" not in roles and (split := _split_by_content(frame, roles, but)) is not None:
        roles["split"] = split
    if "filepath" not in roles:
        raise UserError(_explain_no_names(table, labels and "label" not in roles))
    frame = _join_folders(table, free, roles, roots, said, extra)
    if labels and not but:
        frame = join_label_columns(frame, roles, extra, said)
        if "label" in roles:
            frame = fill_observed(frame, roles, extra, said)
            frame = frame if blank is None else fill_flagged(frame, roles, extra, said, blank)
    if "time" in roles:
        frame = _join_dates(frame, free, roles, said, extra)
    if labels and (flag := free.get("deleteflag")) is not None:
        rows = (frame[flag].str.to_lowercase() == "true").fill_null(False).sum()
        if rows:
            said.append(f"rows with {show(flag)} true are used like the others: {rows}")
    if guessed := _describe_guess(table, named, roles):
        said.insert(0, guessed)
    for line in said:
        log.info(f"{table.path}: {line}")
    return Columns(replace(table, frame=frame), roles, frozenset(roles.values()) | extra)


def _describe_guess(table: Table, named: Mapping[str, str | None], roles: Mapping[str, str]) -> str:
    """Say which column was taken for what, and which separator, where other words are used."""
    taken = [(role, c) for role, c in roles.items() if named.get(role) is None]
    found = [f"the {SAID.get(role, role)} is column {show(c, 40)}" for role, c in taken]
    plain = all(c.casefold() == role or c.casefold() in PLAIN for role, c in taken)
    if plain and table.separator == ",":
        return ""
    between = PARTS.get(table.separator, repr(table.separator))
    cells = "" if table.separator == "," else f"; columns are separated by {between}"
    return f"{', '.join(found)}{cells}"


def _split_by_content(frame: pl.DataFrame, roles: Mapping[str, str], but: Sequence[str]) -> str | None:
    """Find a column of another name (set, partition, phase) that holds words of splits only, two or more."""
    for column in frame.columns:
        if column in but or column in roles.values():
            continue
        words = frame[column].drop_nulls().str.to_lowercase().unique().to_list()
        if all(w in SPLIT_NAMES for w in words) and {SPLIT_NAMES[w] for w in words} > {"train"}:
            return column
    return None


def _match_headings(table: Table, named: Mapping[str, str | None]) -> dict[str, str]:
    wanted = {role: name for role, name in named.items() if name is not None}
    found = match_names(wanted.values(), table.frame.columns)
    lost = {role: name for role, name in wanted.items() if name not in found.known}
    if lost:
        raise UserError(
            f"{table.path}: "
            + " ".join(
                f"no column {name!r} for the {role}.{suggest(name, table.frame.columns)}"
                for role, name in lost.items()
            )
        )
    return {role: found.known[name] for role, name in wanted.items()}


def find_reserved(columns: Columns) -> set[str]:
    """Return keys of columns that are never classes, although they may hold 0 and 1; none under a label."""
    words = split_words("""
        filepath filename file path clip video split subset site siteid location deployment camera station
        time timestamp datetime weight
    """)
    frame = columns.table.frame
    empty = {fold_heading(c) for c in frame.columns if frame[c].null_count() == len(frame)}
    empty &= set(ROLES["label"])
    numbers = {fold_heading(c) for c in frame.columns if NUMBERS.fullmatch(fold_heading(c))}
    return {*words, *map(fold_heading, columns.used), *NEVER_CLASSES, *META, *empty, *numbers}


def _explain_no_names(table: Table, and_no_label: bool) -> str:
    columns = table.frame.columns
    heads = ", ".join(show(c, 40) for c in columns[:12])
    if any(SUFFIX.search(c) for c in columns) and not any(fold_heading(c) in ROLES["label"] for c in columns):
        return (
            f"{table.path}: its first line names a file ({heads}): the table has no header; write one "
            "above it, as filepath,label,site"
        )
    maybe = next((c for c in columns if _names_files(table.frame[c])), "<column>")
    text = (
        f"{table.path}: no column names the clips: filepath, filename, file, path, clip, video (and the same "
        f"in other languages) are looked for, there are {heads}. Name it: "
        f"data.filepath_column={show(maybe)}."
    )
    first = table.frame.head(1).row(0) if table.frame.height else ()
    if any(cell and fold_heading(cell) in ROLES["filepath"] for cell in first):
        text += f" {table.place(0).capitalize()} looks like the header: remove what stands above it."
    if {"mediaid", "observationtype"} <= {fold_heading(c) for c in columns}:
        return (
            f"{table.path}: observations of a Camtrap DP name no files; add the column filePath of media.csv "
            "to them, by mediaID"
        )
    if and_no_label and not any(is_binary(table.frame[c]) for c in columns):
        text += (
            " No column holds the labels either (label, species or class, or columns of 0 and 1): "
            "data.label_column=<column>."
        )
    return text


def _names_files(values: pl.Series) -> bool:
    """Return whether most values end in a suffix, as the names of files do."""
    some = values.drop_nulls().head(200).to_list()
    return bool(some) and sum(bool(SUFFIX.search(v)) for v in some) > len(some) / 2


def _is_whole(frame: pl.DataFrame, column: str, last: str) -> bool:
    """Return whether a column has the whole names of which another has the last parts alone."""
    if column == last or frame[last].str.contains(r"[/\\]").any():
        return False
    whole = pl.col(column).str.replace_all("\\", "/", literal=True)
    ends = frame.select(whole.str.ends_with(pl.lit("/") + pl.col(last)))
    return bool(ends.to_series().fill_null(False).all())


def _join_dates(
    frame: pl.DataFrame, free: Mapping[str, str], roles: Mapping[str, str], said: list[str], extra: set[str]
) -> pl.DataFrame:
    """Join dates and hours, where they are two columns."""
    time = roles["time"]
    date = next((free[d] for d in DATES if d in free and free[d] not in roles.values()), None)
    hours = frame[time].drop_nulls()
    if date is None or not len(hours) or not hours.str.contains(HOURS).all():
        return frame
    extra.add(date)
    said.append(f"times are columns {show(date)} and {show(time)} together")
    return frame.with_columns(pl.concat_str([pl.col(date), pl.col(time)], separator=" ").alias(time))


def _join_folders(
    table: Table,
    free: Mapping[str, str],
    roles: Mapping[str, str],
    roots: Sequence[Path],
    said: list[str],
    extra: set[str],
) -> pl.DataFrame:
    """Join the folder and the name of each clip, where they are two columns."""
    frame, name = table.frame, roles["filepath"]
    others = [free[w] for w in FOLDERS if w in free and free[w] not in roles.values()]
    others = [c for c in others if frame[c].null_count() < len(frame) and not _names_files(frame[c])]
    if not others or not _names_files(frame[name]) or frame[name].str.contains(r"[/\\]").any():
        return frame
    readings: dict[tuple[str, ...], str] = {}
    readings[(others[0], name)] = f"columns {show(others[0])} and {show(name)} together name a clip"
    if (top := free.get("rootfolder")) is not None:
        three = f"{show(top)}, {show(others[0])} and {show(name)}"
        readings[(top, others[0], name)] = f"columns {three} together name a clip"
    readings[(name,)] = ""
    best = max(readings, key=lambda columns: _count_hits(frame, columns, roots))
    if len(best) > 1:
        said.append(readings[best])
        extra.update(best)
    return frame.with_columns(_join_columns(best).alias(name))


def _join_columns(columns: Sequence[str]) -> pl.Expr:
    folders = [
        pl.col(c).str.replace_all("\\", "/", literal=True).str.strip_chars_end("/").replace(["", "."], None)
        for c in columns[:-1]
    ]
    path = pl.concat_str([*folders, pl.col(columns[-1])], separator="/", ignore_nulls=True)
    return pl.when(pl.col(columns[-1]).is_not_null()).then(path)


def _count_hits(frame: pl.DataFrame, columns: Sequence[str], roots: Sequence[Path]) -> int:
    """Count how many of a few names are on disk if read so."""
    if not roots:
        return 0
    some = frame.gather_every(max(frame.height // TRIED, 1)).select(_join_columns(columns).alias("name"))
    names = place_names(some["name"].drop_nulls(), roots, say=False)
    return int(locate(names.path.drop_nulls()).is_not_null().sum())
