"""Several tables of labels, or several folders, as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import META, Clips
from jungle.data.formats.times import is_sortable
from jungle.data.paths import find_fitting, group_by_fold, locate
from jungle.data.text import map_values
from jungle.names import show
from jungle.wording import count, tally

LATER = "\x1flater"  # suffix of the later table's columns; no class name has this character


@dataclass(frozen=True, slots=True)
class LabelTable:
    """The clips of one table."""

    path: Path
    clips: Clips
    whole: bool = True
    """Whether a labelled clip has none of the classes that the table does not name; else they are unknown."""


def name_tables(paths: Sequence[Path]) -> list[str]:
    """Return what messages call each of several files: its name, or its path where two have one name."""
    names = [path.name for path in paths]
    return [str(path) if names.count(path.name) > 1 else path.name for path in paths]


def merge_tables(tables: Sequence[LabelTable], classes: Sequence[str] | None) -> Clips:
    """Return the clips of all tables; of a clip in several, the answer of the last that has one counts.

    An answer is the labels of a clip as a whole. A clip without a label in a later table keeps its earlier
    one, unless its split there is `unlabelled`. Split, site, time and weight are taken each for itself. What
    each later table changes is logged.

    Args:
        tables: at least one.
        classes: those that the settings name, in their order; None takes those of the tables.
    """
    order = _join_classes([table.clips for table in tables], all(t.whole for t in tables), classes)
    names = name_tables([table.path for table in tables])
    merged = _align(tables[0], names[0], order)
    for table, name in zip(tables[1:], names[1:], strict=True):
        merged = _apply(merged, _match_cases(merged, _align(table, name, order), name), order, name)
    return Clips(merged, order)


def join_folders(parts: Sequence[Clips], classes: Sequence[str] | None) -> Clips:
    """Return the clips of several folders, whose names differ; a class that one lacks is not in its clips."""
    order = _join_classes(parts, True, classes)
    tables = [_align(LabelTable(Path(), part), "", order) for part in parts]
    if len({t.schema["time"] for t in tables if "time" in t.columns}) > 1:
        tables = [
            t.with_columns(pl.col("time").cast(pl.String)) if "time" in t.columns else t for t in tables
        ]
    return Clips(pl.concat(tables, how="diagonal"), order)


def _join_classes(parts: Sequence[Clips], sort: bool, classes: Sequence[str] | None) -> tuple[str, ...]:
    found = dict.fromkeys(name for part in parts for name in part.classes)
    if classes is not None:
        return tuple(sorted(found, key=lambda c: classes.index(c) if c in classes else len(classes)))
    return tuple(sorted(found) if sort else found)


def _align(table: LabelTable, name: str, classes: Sequence[str]) -> pl.DataFrame:
    """Return the table with a column for each class."""
    lacking = [c for c in classes if c not in table.clips.classes]
    frame = table.clips.table
    known = table.clips.labelled()
    if lacking and not table.whole and known.any():
        log.warning(
            f"{show(name)}: no columns of {', '.join(map(show, lacking[:5]))}{', ...' * (len(lacking) > 5)}: "
            f"they are unknown for its {count(int(known.sum()), 'labelled clip')}"
        )
    value = pl.when(known).then(0).cast(pl.Int8) if table.whole else pl.lit(None, dtype=pl.Int8)
    return frame.with_columns(value.alias(c) for c in lacking)


def _match_cases(earlier: pl.DataFrame, later: pl.DataFrame, name: str) -> pl.DataFrame:
    """Give clips of the later table the earlier name where the two differ by case and are one file."""
    there, known = group_by_fold(earlier["clip"]), set(earlier["clip"])
    fit = {c: find_fitting(c, there) for c in later["clip"].unique(maintain_order=True) if c not in known}
    pairs = {clip: found[0] for clip, found in fit.items() if len(found) == 1}
    if not pairs:
        return later
    paths = {
        **dict(earlier.select("clip", "path").iter_rows()),
        **dict(later.select("clip", "path").iter_rows()),
    }
    files = [locate(pl.Series([paths[c] for c in side], dtype=pl.String)) for side in (pairs, pairs.values())]
    same = {
        clip: to for (clip, to), one, other in zip(pairs.items(), *files, strict=True) if one and one == other
    }
    if same:
        some = ", ".join(f"{show(c)} = {show(to)}" for c, to in list(same.items())[:5])
        log.warning(
            f"{show(name)}: {tally(len(same), 'names are')} of a file that an earlier table names in another "
            f"case: taken as one clip: {some}{', ...' * (len(same) > 5)}"
        )
    return later.with_columns(map_values(later["clip"], same).alias("clip"))


def _apply(earlier: pl.DataFrame, later: pl.DataFrame, classes: Sequence[str], name: str) -> pl.DataFrame:
    """Return the earlier clips with the later table's answers, then its new clips; log what changed."""
    meta = [c for c in META[2:] if c in later.columns]
    if "time" in meta and "time" in earlier.columns and earlier.schema["time"] != later.schema["time"]:
        earlier, later = (t.with_columns(pl.col("time").cast(pl.String)) for t in (earlier, later))
        if not is_sortable(pl.concat([earlier["time"], later["time"]])):
            log.warning(f"{show(name)}: its times are written in another way than those of earlier tables")
    labelled = pl.any_horizontal(pl.lit(False), *(pl.col(c).is_not_null() for c in classes))
    withdrawn = pl.col("split") == "unlabelled" if "split" in later.columns else pl.lit(False)
    there = "there" + LATER
    answer = later.with_columns((labelled | withdrawn.fill_null(False)).alias(there))
    both = earlier.join(answer.drop("path"), on="clip", how="left", suffix=LATER, maintain_order="left")
    given = pl.col(there).fill_null(False)
    positive = [(pl.col(c) == 1).fill_null(False) for c in classes]
    now = [(pl.col(f"{c}{LATER}") == 1).fill_null(False) for c in classes]
    differ = pl.any_horizontal(pl.lit(False), *(a != b for a, b in zip(positive, now, strict=True)))
    withdrawing = ~pl.any_horizontal(pl.lit(False), *(pl.col(f"{c}{LATER}").is_not_null() for c in classes))
    facts = both.select(
        "clip",
        *(a.alias(c) for a, c in zip(positive, classes, strict=True)),
        *(b.alias(f"{c}{LATER}") for b, c in zip(now, classes, strict=True)),
        changed=given & labelled & (differ | withdrawing),
        same=given & labelled & ~(differ | withdrawing),
        first=given & ~labelled,
        kept=pl.col(there).is_not_null() & ~given & labelled,
    )
    new = later.join(earlier, on="clip", how="anti", maintain_order="left")
    _say_changes(facts, new.height, classes, name)
    both = both.with_columns(
        pl.when(given).then(pl.col(f"{c}{LATER}")).otherwise(pl.col(c)).alias(c) for c in classes
    )
    both = both.with_columns(
        pl.coalesce(f"{c}{LATER}", c).alias(c) if c in earlier.columns else pl.col(c) for c in meta
    )
    both = both.drop([c for c in both.columns if c.endswith(LATER)])
    return pl.concat([both, new], how="diagonal")


def _say_changes(facts: pl.DataFrame, new: int, classes: Sequence[str], name: str) -> None:
    changed = facts.filter("changed")
    said = f"{tally(changed.height, 'answers')} changed" if changed.height else "no answer changed"
    if changed.height:
        examples = []
        for row in changed.head(3).iter_rows(named=True):
            was, now = ([c for c in classes if row[f"{c}{end}"]] for end in ("", LATER))
            examples.append(f"{show(row['clip'])}: {_join(was)}, now {_join(now)}")
        said += f" ({'; '.join(examples)}{'; ...' * (changed.height > 3)})"
    others = {
        "are new": new,
        "are labelled as before": int(facts["same"].sum()),
        "had no label before": int(facts["first"].sum()),
        "have no label there, so the earlier one stays": int(facts["kept"].sum()),
    }
    counts = [tally(n, f"clips {what}") for what, n in others.items() if n]
    log.info(f"{show(name)}: {', '.join([said, *counts])}")


def _join(names: Sequence[str]) -> str:
    return " and ".join(map(show, names)) or "no class"
