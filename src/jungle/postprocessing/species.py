"""Species lists: which classes can occur, everywhere or at a site or in a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.data.table_io import read_table, read_text
from jungle.data.text import fold_site, is_blank, match_names
from jungle.errors import UsageError, suggest
from jungle.names import show
from jungle.wording import count, tally

NAMES = ("species", "class", "name", "label", "taxon")
PLACES = ("site", "region")


@dataclass(frozen=True, slots=True)
class SpeciesList:
    """Classes that can occur.

    Attributes:
        path: the file, for messages.
        everywhere: classes that can occur at any site; those of clips without an animal are among them.
        by_place: further classes of a site or region, by its folded name.
        place: `site` or `region`; empty where the list is for all sites.
    """

    path: Path
    everywhere: frozenset[str]
    by_place: Mapping[str, frozenset[str]]
    place: str = ""

    def mask(self, places: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
        """Return which classes can occur at the place of each clip, bool `[N, C]`.

        Raises:
            UsageError: a clip has no place, or its place is not in the list.
        """
        every_C = np.array([c in self.everywhere for c in classes])
        if not self.place:
            return np.tile(every_C, (len(places), 1))
        if lacking := sum(p is None for p in places):
            raise UsageError(
                f"allow={self.path}: lists species by {self.place}, but {tally(lacking, 'clips have none')}; "
                f"give sites=<table with clip and {self.place}>"
            )
        known = {p: fold_site(p) for p in dict.fromkeys(places) if p is not None}
        if lost := [p for p, fold in known.items() if fold not in self.by_place]:
            raise UsageError(
                f"allow={self.path}: {self.place} {show(lost[0])} has clips, but no species"
                f"{f', nor have {len(lost) - 1} others' if len(lost) > 1 else ''}."
                f"{suggest(lost[0], self.by_place)}"
            )
        rows = {
            p: every_C | np.array([c in self.by_place[fold] for c in classes]) for p, fold in known.items()
        }
        return (
            np.stack([rows[p] for p in places if p is not None])
            if places
            else np.empty((0, len(classes)), bool)
        )

    def describe(self, classes: Sequence[str]) -> str:
        """Return how many classes the list allows, as one sentence."""
        if self.place:
            places = count(len(self.by_place), self.place)
            return f"allow={self.path}: species of {places}; blank is always allowed"
        removed = [c for c in classes if c not in self.everywhere]
        shown = ", ".join(map(show, removed[:8])) + (", ..." if len(removed) > 8 else "")
        return (
            f"allow={self.path}: {len(classes) - len(removed)} of {count(len(classes), 'class')} can occur "
            f"(blank always); removed: {shown or 'none'}"
        )


def read_species(path: Path, classes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> SpeciesList:
    """Read a list of classes: a text with one name a line, or a table with a column `site` or `region`.

    Args:
        path: the file. In a table, a row without a site is of all sites.
        classes: of the model.
        groups: names that stand for several classes, such as a family of the taxonomy.

    Raises:
        UsageError: a name is unknown, or no class is left.
    """
    pairs, place = _read_pairs(path)
    known = [*classes, *(g for g in groups if g not in classes)]
    found = match_names(dict.fromkeys(name for name, _ in pairs), known)
    if lost := [*found.unknown, *found.ambiguous]:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UsageError(f"allow={path}: no class is named {show(lost[0])}{more}.{suggest(lost[0], known)}")
    everywhere = {c for c in classes if is_blank(c)}
    by_place: dict[str, set[str]] = {}
    for name, where in pairs:
        means = found.known[name]
        wanted = {means} if means in classes else set(groups[means])
        (everywhere if where is None else by_place.setdefault(fold_site(where), set())).update(wanted)
    if not by_place and all(is_blank(c) for c in everywhere):
        raise UsageError(f"allow={path}: names no class of an animal; write one name a line")
    return SpeciesList(path, frozenset(everywhere), {k: frozenset(v) for k, v in by_place.items()}, place)


def _read_pairs(path: Path) -> tuple[list[tuple[str, str | None]], str]:
    """Return names, each with its site or region, and which of the two that is."""
    if path.suffix.casefold() not in (".csv", ".tsv", ".parquet", ".pq"):
        if not path.is_file():
            raise UsageError(f"allow={path}: no such file; write one name of a class a line")
        lines = [line.split("#")[0].strip() for line in read_text(path).splitlines()]
        return [(line, None) for line in lines if line], ""
    table = read_table(path).frame
    columns = {c.casefold(): c for c in table.columns}
    place = next((p for p in PLACES if p in columns), "")
    name = next((columns[n] for n in NAMES if n in columns), None)
    if name is None:
        if len(table.columns) != 1:
            raise UsageError(
                f"allow={path}: no column of names; call it species, and where it lists them by place, add a "
                "column site or region"
            )
        name = table.columns[0]
    where = table[columns[place]] if place else pl.Series([None] * len(table), dtype=pl.String)
    return [(n, w) for n, w in zip(table[name], where, strict=True) if n is not None], place


def find_places(table: pl.DataFrame, place: str, sites: Path | None) -> Sequence[str | None]:
    """Return the site or region of each clip of a predictions table; None where it is not known.

    Args:
        table: of predictions; may have a column `site`.
        place: `site` or `region`.
        sites: a table with `clip` and `site` or `region`, or with `site` and `region`.

    Raises:
        UsageError: the table has not these columns.
    """
    own = table["site"].cast(pl.String).to_list() if "site" in table.columns else [None] * len(table)
    if sites is None:
        return own if place == "site" else [None] * len(table)
    known = read_table(sites).frame
    columns = {c.casefold(): c for c in known.columns}
    clip = next((columns[c] for c in ("clip", "filepath", "filename", "path") if c in columns), None)
    if clip is not None and place in columns:
        by_clip = dict(known.select(clip, columns[place]).iter_rows())
        return [
            by_clip.get(c, s if place == "site" else None) for c, s in zip(table["clip"], own, strict=True)
        ]
    if place == "region" and {"site", "region"} <= columns.keys():
        by_site = {
            fold_site(s): r
            for s, r in known.select(columns["site"], columns["region"]).iter_rows()
            if s is not None
        }
        if lost := [s for s in dict.fromkeys(own) if s is not None and fold_site(s) not in by_site]:
            raise UsageError(
                f"sites={sites}: site {show(lost[0])} has clips, but no region.{suggest(lost[0], by_site)}"
            )
        return [None if s is None else by_site[fold_site(s)] for s in own]
    raise UsageError(f"sites={sites}: it has no columns clip and {place}")
