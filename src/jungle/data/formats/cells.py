"""Cells of a label column: empty, one class, several species, or unclear."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from jungle.data.text import UNLABELLED, clean_name, fold_text, is_ambiguous, is_missing, match_names

STRONG = re.compile(r"[;|\n；؛]|<br\s*/?>", re.IGNORECASE)  # between species only
WEAK = re.compile(r"[,/+&，、،／＋＆]")  # between species, or within a name
WORDS = re.compile(  # within a name, unless all around them are classes
    r"\s+(?:and|with|und|mit|et|avec|y|con|e|com|en)\s+|\s+[-–—]\s+|[–—\\·•:]", re.IGNORECASE
)
TAXONOMY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(;[^;]*){6}", re.IGNORECASE)
"""A label of SpeciesNet: a number, then class, order, family, genus, species and the common name."""
FIELDS = re.compile(r"[\[{].*[\"']\s*:", re.DOTALL)  # names of fields with values, as JSON has them
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


@dataclass
class Reading:
    """What the cells of a label column say."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each cell, as written: its classes; none where it is empty."""
    empty: list[str] = field(default_factory=list)
    """Cells that hold a program's word for nothing."""
    several: list[str] = field(default_factory=list)
    """Cells that name several species."""
    guessed: dict[str, str] = field(default_factory=dict)
    """Labels that are a class of the settings, written in another way."""
    taxonomies: dict[str, str] = field(default_factory=dict)
    """Cells that hold all ranks of a species, and the name that is taken of them."""
    asked: list[str] = field(default_factory=list)
    """Cells that may be empty, no animal, or a class."""
    unsure: list[str] = field(default_factory=list)
    """Cells that may be several species or one class."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """Labels that are not among the given classes, with the cells that name them."""


def read_cells(cells: Iterable[str], classes: Sequence[str] | None) -> Reading:
    """Read the different cells of a label column.

    A cell that is a class of `classes`, whatever signs it holds, is that class. `;`, `|`, line breaks and
    lists as programs write them separate species. So do `,`, `/`, `+` and `&` if all parts are classes
    elsewhere; else the cell is a problem. Signs in brackets belong to a name.

    Args:
        cells: the text of each.
        classes: the classes there are; None takes those that the cells name.
    """
    reading = Reading()
    names = {cell: _take_common_name(cell, reading) for cell in cells}
    if classes is None:
        plain = [n for n in names.values() if not _is_parted(n) and not is_missing(n) and not is_ambiguous(n)]
        folds = {fold_text(n) for n in plain}
        known = {p: p for n in names.values() for p in (n, *_split_all(n)) if fold_text(p) in folds}
    else:
        known = match_names([p for n in names.values() for p in (n, *_split_all(n))], classes).known
    for cell, name in names.items():
        reading.labels[cell] = _read_labels(cell, name, known.get, classes is not None, reading)
    return reading


def _read_labels(
    cell: str, name: str, known: Callable[[str], str | None], given: bool, reading: Reading
) -> tuple[str, ...]:
    """Return the classes of one cell, and note how they were read in `reading`."""
    if not name:
        return ()
    if given and (one := known(name)) is not None:
        if one != name:
            reading.guessed[name] = one
        return (one,)
    if is_missing(name) or name.casefold() in UNLABELLED:
        reading.empty.append(cell)
        return ()
    if is_ambiguous(name):
        reading.asked.append(cell)
        return ()
    parts, sure = _split_parts(name)
    if not parts:
        reading.asked.append(cell)
        return ()
    if FIELDS.match(name):
        reading.unsure.append(cell)
        return ()
    if len(parts) == 1 and parts[0] == name:
        if given:
            reading.unknown.setdefault(name, []).append(cell)
        return (name,)
    labels: list[str] = []
    for part in parts:
        inner, _ = _split_parts(part)
        if is_missing(part):
            continue
        if is_ambiguous(part):
            reading.asked.append(cell)
            return ()
        if (one := known(part)) is not None:
            if one != part:
                reading.guessed[part] = one
            labels.append(one)
        elif sure and len(inner) == 1 and not given:
            labels.append(part)
        elif sure and len(inner) > 1 and all(known(p) is not None for p in inner):
            labels += [k for p in inner if (k := known(p)) is not None]
        elif given:
            reading.unknown.setdefault(part if sure else name, []).append(cell)
            return ()
        elif not sure and WORDS.search(name) and not WEAK.search(name) and not any(map(known, parts)):
            return (name,)  # `mother and cub`: nothing says that it is two
        else:
            reading.unsure.append(cell)
            return ()
    if not labels:
        reading.empty.append(cell)
    elif (len(labels) > 1 or labels[0] != name) and name not in labels:
        reading.several.append(cell)
    return tuple(dict.fromkeys(labels))


def _take_common_name(cell: str, reading: Reading) -> str:
    """Return the last name of a taxonomy, which is the common one; any other cell cleaned."""
    name = clean_name(cell)
    if TAXONOMY.fullmatch(name):
        name = clean_name(next((part for part in reversed(name.split(";")[1:]) if part.strip()), ""))
        reading.taxonomies[cell] = name
    return name


def _is_parted(name: str) -> bool:
    return len(_split_parts(name)[0]) != 1 or _split_parts(name)[0][0] != name


def _split_all(name: str) -> list[str]:
    """Split a name at its signs of both kinds; return everything between them."""
    return [p for part in _split_parts(name)[0] for p in (part, *_split_parts(part)[0])]


def _split_parts(name: str) -> tuple[list[str], bool]:
    """Split a name at its signs; return the parts, and whether the signs surely separate species."""
    if (items := _parse_list(name)) is not None:
        return _clean_parts(items), True
    if name[:1] == "(" and name[-1:] == ")" and "(" not in name[1:] and WEAK.search(name):
        name = name[1:-1]
    bare = BRACKETS.sub(lambda m: "\0" * len(m[0]), name)  # of the same length: places stay
    for pattern, sure in ((STRONG, True), (WEAK, False), (WORDS, False)):
        if pattern.search(bare):
            ends = [(m.start(), m.end()) for m in pattern.finditer(bare)]
            begins = [0, *(end for _, end in ends)]
            stops = [*(start for start, _ in ends), len(name)]
            return _clean_parts(name[a:b] for a, b in zip(begins, stops, strict=True)), sure
    return [name], False


def _clean_parts(parts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(clean for part in parts if (clean := clean_name(part))))


def _parse_list(name: str) -> list[str] | None:
    """Return the items of a list as JSON, Python, numpy or a database writes it; None for other text."""
    if printed := re.fullmatch(
        r"(?:np\.|numpy\.)?(?:array|c|list|set|frozenset|tuple)\((.*?)(?:, *dtype=.*)?\)", name
    ):
        name = f"({printed[1]})" if printed[1][:1] not in tuple("[{(") else printed[1]
    if len(name) < 2 or name[0] + name[-1] not in ("[]", "{}", "()"):
        return None
    try:
        items = json.loads(name)
        if isinstance(items, list) and all(i is None or isinstance(i, str) for i in items):
            return [i or "" for i in items]
    except (ValueError, RecursionError):
        pass
    inner = name[1:-1]
    quoted = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|\bNone\b|\bnull\b|\bnan\b")
    found = list(quoted.finditer(inner))
    if found and not quoted.sub("", inner).strip(", \n;"):
        return [re.sub(r"\\(.)", r"\1", m[1] or m[2] or "") for m in found]
    if name[0] == "(":  # a remark in brackets, or a list whose signs say so
        return None
    return re.split(r"[,;|\n]", inner)
