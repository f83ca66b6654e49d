"""Classes of other people's labels under other names: renamed, or several made one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jungle import names
from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.vocabulary import fold_heading
from jungle.data.table_io import read_table
from jungle.data.text import clean_name, fold_class, match_names
from jungle.data.validation_report import Problems, format_lines
from jungle.errors import UserError, suggest
from jungle.names import show
from jungle.wording import count

OLD = (
    "old",
    "oldname",
    "oldclass",
    "oldlabel",
    "from",
    "before",
    "original",
    "name",
    "label",
    "class",
    "species",
)
NEW = ("new", "newname", "newclass", "newlabel", "to", "after", "target", "renamed", "becomes")
"""Headings of a table of names, as `fold_heading` makes them."""
SAID = 30  # lines about classes that are renamed


@dataclass(frozen=True, slots=True)
class _Pairs:
    """New names by old ones; `header` is the first line of a table that may be a pair itself."""

    names: dict[str, str]
    header: tuple[str, str] | None = None


def load_renamed(
    read: Callable[[LabelSource, Problems], Clips], source: LabelSource, problems: Problems
) -> Clips:
    """Read labels, then give their classes the names of `source.rename`.

    All pairs apply at once: with `{a: b, b: c}` a clip of a is one of b. A class that several become is in a
    clip if one of them is, is not if none is, and is unknown else.

    Args:
        read: reads a format.
        source: what it reads.
        problems: takes names that are no class, and new ones that cannot be.

    Raises:
        UserError: the labels or the table of names cannot be read.
    """
    assert source.rename is not None
    pairs = _read_pairs(source.rename, problems)
    wanted = None if source.classes is None else [clean_name(c) for c in source.classes]
    asked = wanted
    if wanted is not None:
        _check_targets(pairs.names, wanted, problems)
        every = [*pairs.names.items(), *([pairs.header] if pairs.header else [])]
        asked = [*wanted, *(old for old, new in every if new in wanted and old not in wanted)]
    optional = frozenset([*pairs.names, *pairs.names.values(), *(pairs.header or ())])
    clips = read(replace(source, rename=None, classes=asked, optional=optional), problems)
    if pairs.header is not None and pairs.header[0] in clips.classes:
        log.info(f"{source.rename}: its first line is a pair: {' -> '.join(map(show, pairs.header))}")
        pairs.names.setdefault(*pairs.header)
    elif pairs.header is not None:
        problems.say(
            f"{source.rename}: its columns are {' and '.join(map(show, pairs.header))}, and which has new "
            "names is unclear: write old,new above them."
        )
        return clips
    return _rename(clips, _match_old(clips, pairs.names, problems), wanted, problems)


def _read_pairs(given: Mapping[str, str] | Path, problems: Problems) -> _Pairs:
    """Return the pairs of the settings or of a table, cleaned."""
    if not isinstance(given, Path):
        pairs = [(clean_name(old), clean_name(new)) for old, new in given.items()]
        where = [f"{show(old)}: {show(new)}" for old, new in given.items()]
        return _Pairs(_check_pairs(pairs, where, problems))
    table = read_table(given)
    found = {fold_heading(c): c for c in table.frame.columns}
    old, new = (next((found[w] for w in words if w in found), None) for words in (OLD, NEW))
    header = None
    if old is None or new is None:
        if table.frame.width != 2:
            raise UserError(
                f"{table.path}: its columns are {', '.join(show(c, 40) for c in table.frame.columns[:12])}: "
                "name two of them old and new"
            )
        old, new = table.frame.columns
        header = (clean_name(old), clean_name(new))
    cells = table.frame.select(pl.col(old).fill_null(""), pl.col(new).fill_null("")).rows()
    pairs = [(clean_name(a), clean_name(b)) for a, b in cells]
    return _Pairs(_check_pairs(pairs, [format_lines([n]) for n in table.lines], problems), header)


def _check_pairs(
    pairs: Sequence[tuple[str, str]], places: Sequence[str], problems: Problems
) -> dict[str, str]:
    """Return the pairs that can be used; add the others to `problems`."""
    kept: dict[str, str] = {}
    empty, twice, bad = [], [], []
    for (old, new), place in zip(pairs, places, strict=True):
        if not old or not new:
            empty.append(f"{show(old) or 'nothing'} ({place})")
        elif fault := names.find_class_fault(new):
            bad.append(f"{show(new, 60)}, which {fault} ({place})")
        elif kept.setdefault(old, new) != new:
            twice.append(f"{show(old)} is {show(kept[old])} and {show(new)} ({place})")
    problems.add("pairs of data.rename have an empty name", empty, "Write both names, or leave the pair out.")
    problems.add("names that data.rename gives cannot be those of a class", bad, "Give another name.")
    problems.add("names that data.rename changes have two new ones", twice, "Keep one.")
    return kept


def _check_targets(pairs: Mapping[str, str], classes: Sequence[str], problems: Problems) -> None:
    lost = [new for new in dict.fromkeys(pairs.values()) if new not in classes]
    near = suggest(lost[0], classes) if lost else ""
    problems.add(
        "names that data.rename gives are not in data.classes",
        lost,
        f"Add them there, or correct them.{near}",
    )


def _match_old(clips: Clips, pairs: Mapping[str, str], problems: Problems) -> dict[str, str]:
    """Return the new name of each class that is renamed; add old names that are no class to `problems`."""
    met = [c for c in clips.classes if problems.has_class(c) or (clips.table[c] == 1).any()]
    found = match_names(pairs, met)
    lost = found.unknown
    near = suggest(lost[0], met) if lost else ""
    problems.add(
        "names that data.rename changes are no class of the labels", lost, f"Correct or remove them.{near}"
    )
    problems.add(
        "names that data.rename changes fit several classes",
        [f"{show(old)} ({' or '.join(map(show, fit))})" for old, fit in found.ambiguous.items()],
        "Write each as the labels do.",
    )
    if found.guessed:
        said = ", ".join(f"{show(a)} is {show(b)}" for a, b in list(found.guessed.items())[:5])
        log.warning(f"data.rename: old names that the labels write in another way: {said}")
    targets: dict[str, str] = {}
    for old, name in found.known.items():
        if targets.setdefault(name, pairs[old]) != pairs[old]:
            problems.say(
                f"data.rename: the class {show(name)} becomes {show(targets[name])} and {show(pairs[old])}: "
                "keep one."
            )
    return targets


def _rename(
    clips: Clips, targets: Mapping[str, str], classes: Sequence[str] | None, problems: Problems
) -> Clips:
    """Return the clips with the new names, after checking and logging them."""
    sources: dict[str, list[str]] = {}
    for name in clips.classes:
        sources.setdefault(targets.get(name, name), []).append(name)
    if classes is None:
        folds: dict[str, list[str]] = {}
        for name in sources:
            folds.setdefault(fold_class(name), []).append(name)
        new = set(targets.values())
        alike = [group for group in folds.values() if len(group) > 1 and new & set(group)]
        problems.add(
            "names that data.rename gives are written in another way than a class",
            [" = ".join(map(show, group)) for group in alike],
            "Write it as the labels do, or rename all of them.",
        )
        order = sorted(sources) if list(clips.classes) == sorted(clips.classes) else list(sources)
    else:
        order = [c for c in classes if c in sources] + [c for c in sources if c not in classes]
        problems.add(
            "classes of data.classes are in no label after data.rename",
            [c for c in classes if c not in sources],
            "Correct the names.",
        )
    table = clips.table
    columns = {
        name: table.select(pl.any_horizontal(pl.col(c) == 1 for c in sources[name]).cast(pl.Int8)).to_series()
        for name in order
    }
    _say_renamed({n: c for n, c in sources.items() if n in targets.values()}, table, columns)
    problems.know(
        pl.DataFrame(schema={"clip": pl.String, "line": pl.Int64}),
        {new: f"from {show(old)}" for old, new in targets.items()},
    )
    meta = table.drop(clips.classes)
    return Clips(meta.with_columns(s.alias(name) for name, s in columns.items()), tuple(order))


def _say_renamed(
    sources: Mapping[str, Sequence[str]], table: pl.DataFrame, columns: Mapping[str, pl.Series]
) -> None:
    """Log how many clips each old name has, and the class that they become."""
    for n, (name, old) in enumerate(sources.items()):
        if n == SAID:
            log.info(f"data.rename: {count(len(sources) - n, 'further class')} renamed")
            return
        had = [f"{show(c)} ({count(int((table[c] == 1).sum()), 'clip')})" for c in old]
        listed = had[0] if len(had) == 1 else f"{', '.join(had[:-1])} and {had[-1]}"
        verb = "is" if len(had) == 1 else "are"
        log.info(
            f"data.rename: {listed} {verb} {show(name)} ({count(int((columns[name] == 1).sum()), 'clip')})"
        )
