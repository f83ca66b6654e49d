"""Taxonomy: the tree that classes belong to, and sums of probabilities that climb it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.table_io import read_table
from jungle.data.text import fold_class, is_blank, match_names
from jungle.errors import UsageError, suggest
from jungle.names import show
from jungle.wording import tally

RANKS = ("domain", "kingdom", "phylum", "class", "order", "family", "genus", "species", "subspecies")
"""From the most general to the most specific."""
CHILD = ("child", "name", "taxon")
PARENT = ("parent", "parent_name", "parenttaxon")


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Tree of names; the classes of a model are some of them.

    Attributes:
        parents: the parent of each name that has one.
        leaves: of each name, the classes below it and itself, in the model's order.
    """

    parents: dict[str, str]
    leaves: dict[str, tuple[str, ...]]

    def climb(self, name: str) -> list[str]:
        """Return the names above a name, the nearest first."""
        found: list[str] = []
        while (name := self.parents.get(name, "")) != "":
            found.append(name)
        return found


def read_taxonomy(path: Path, classes: Sequence[str]) -> Taxonomy:
    """Read a tree: columns `child,parent`, or one row a class with a column for each rank.

    Raises:
        UsageError: it has a loop, a name with two parents, or none of the classes.
    """
    table = read_table(path).frame
    columns = {c.casefold().replace(" ", ""): c for c in table.columns}
    child = next((columns[c] for c in CHILD if c in columns), None)
    parent = next((columns[c] for c in PARENT if c in columns), None)
    if child is not None and parent is not None:
        edges = [
            (a, b) for a, b in table.select(child, parent).iter_rows() if a is not None and b is not None
        ]
    else:
        edges = _read_ranks(path, table, classes)
    names = match_names(dict.fromkeys(n for edge in edges for n in edge), classes).known
    parents: dict[str, str] = {}
    for lower, upper in ((names.get(a, a), names.get(b, b)) for a, b in edges):
        if lower == upper:
            continue  # a rank that repeats the one below
        if parents.setdefault(lower, upper) != upper:
            raise UsageError(
                f"taxonomy={path}: {show(lower)} has two parents, {show(parents[lower])} and {show(upper)}; "
                "keep one"
            )
    _check_loops(path, parents)
    below: dict[str, list[str]] = {}
    for c in classes:
        for name in (c, *Taxonomy(parents, {}).climb(c)):
            below.setdefault(name, []).append(c)
    missing = [c for c in classes if c not in parents and not is_blank(c)]
    if len(missing) == sum(not is_blank(c) for c in classes):
        raise UsageError(
            f"taxonomy={path}: none of the classes is in it, as {show(missing[0]) if missing else 'blank'}."
            f"{suggest(missing[0], parents) if missing else ''}"
        )
    if missing:
        shown = ", ".join(map(show, missing[:5])) + (", ..." if len(missing) > 5 else "")
        log.warning(
            f"taxonomy={path}: {tally(len(missing), 'classes are not in it and stay as they are')}: {shown}"
        )
    return Taxonomy(parents, {name: tuple(leaves) for name, leaves in below.items()})


def _read_ranks(path: Path, table: pl.DataFrame, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the edges of a table with a row for each class and a column for each rank."""
    known = {fold_class(c) for c in classes}
    hits = {c: sum(fold_class(v) in known for v in table[c].drop_nulls()) for c in table.columns}
    if not hits or max(hits.values()) == 0:
        raise UsageError(
            f"taxonomy={path}: neither columns child,parent nor a column with the classes of the model "
            f"({', '.join(map(show, classes[:5]))})"
        )
    own = max(hits, key=hits.__getitem__)
    others = [c for c in table.columns if c != own]
    ranks = [c for c in others if c.casefold() in RANKS]
    if ranks:
        order = sorted(ranks, key=lambda c: -RANKS.index(c.casefold()))
    else:  # towards the far end of the table, from the column of the classes
        at = table.columns.index(own)
        order = table.columns[at + 1 :] or table.columns[:at][::-1]
    edges = []
    for row in table.select(own, *order).iter_rows():
        names = [n for n in row if n is not None]
        edges += list(pairwise(names)) if row[0] is not None else []
    return edges


def _check_loops(path: Path, parents: dict[str, str]) -> None:
    """Refuse a tree in which a name is above itself.

    Raises:
        UsageError: with the loop.
    """
    done: set[str] = set()
    for start in parents:
        way: dict[str, None] = {}
        name: str | None = start
        while name is not None and name not in done:
            if name in way:
                loop = list(way)[list(way).index(name) :]
                shown = " -> ".join(map(show, [*loop[:5], *(["..."] if len(loop) > 5 else []), name]))
                raise UsageError(f"taxonomy={path}: a loop: {shown}; give each name a parent above it")
            way[name] = None
            name = parents.get(name)
        done |= way.keys()


def sum_leaves(probs_NC: np.ndarray, at: Iterable[int], task: str) -> np.ndarray:
    """Return the probability of a name `[N]` from those of the classes below it.

    Classes that exclude each other are summed; of others, it is the probability that at least one is there,
    taken to be independent.
    """
    some_NK = probs_NC[:, list(at)]
    return np.minimum(some_NK.sum(1), 1.0) if task == "exclusive" else 1 - np.prod(1 - some_NK, axis=1)
