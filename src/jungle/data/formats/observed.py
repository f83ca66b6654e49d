"""Clips from the labels that another program's results give them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from jungle.data.clips import Clips, check_class_names
from jungle.data.formats.columns import check_class_count
from jungle.data.table_io import MAX_BYTES
from jungle.data.text import clean_name, match_names
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import get_suffix
from jungle.errors import UserError, shorten_error, suggest
from jungle.files import describe_absent
from jungle.names import show


def build_clips(
    frame: pl.DataFrame,
    labels: Sequence[Sequence[str] | None],
    *,
    classes: Sequence[str] | None,
    path: Path,
    problems: Problems,
) -> Clips:
    """Return clips with a column for each class that one of them has, or for each of `classes`.

    Args:
        frame: `clip`, `path` and the other columns of clips, without classes.
        labels: of each clip: its classes; None where it has no label.
        classes: those that there may be; a label that is none of them is a problem.
        path: the file of the labels, for messages.
        problems: takes them.

    Raises:
        UserError: a label cannot be the name of a class, or there are too many.
    """
    found = sorted({name for row in labels if row for name in row})
    called = {name: clean_name(name) for name in found}
    order = sorted(set(called.values()))
    if classes is not None:
        order = [clean_name(c) for c in classes]
        matched = match_names(called.values(), order)
        lost = [*matched.unknown, *matched.ambiguous]
        near = suggest(lost[0], order) if lost else ""
        problems.add(
            "labels are not in data.classes", lost, f"Correct them, or add them to data.classes.{near}"
        )
        called = {name: matched.known[clean] for name, clean in called.items() if clean in matched.known}
    check_class_count(path, "label", len(order))
    check_class_names(order)
    known = pl.Series([row is not None for row in labels], dtype=pl.Boolean)
    column = {name: order.index(of) for name, of in called.items()}
    onehot = np.zeros((len(order), len(labels)), np.int8)
    for n, row in enumerate(labels):
        for name in row or ():
            if name in column:
                onehot[column[name], n] = 1
    problems.know(
        pl.DataFrame(schema={"clip": pl.String, "line": pl.Int64}), dict.fromkeys(called.values(), path.name)
    )
    targets = (
        pl.select(pl.when(known).then(pl.Series(values)).alias(name)).to_series()
        for name, values in zip(order, onehot, strict=True)
    )
    return Clips(frame.with_columns(targets), tuple(order))


def read_json(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        UserError: it is not there, larger than tables may be, or not JSON.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'not a file.' if path.exists() else describe_absent(path)}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB; split it, and give a list of files")
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}.") from None
    except (ValueError, RecursionError) as e:
        raise UserError(f"{path}: not JSON: {show(shorten_error(e), 80)}; is the file whole?") from None


def count_labels(labels: Iterable[Sequence[str] | None]) -> str:
    """Return how many clips have each label, the most first, as `12 blank, 3 deer, 1 without a label`."""
    counts = Counter(name for row in labels if row is not None for name in dict.fromkeys(row))
    return list_counts(counts)


def list_counts(counts: Mapping[str, int], most: int = 8) -> str:
    """Return `12 blank, 3 deer`, the most first; the rest as one number."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{n} {show(name, 40)}" for name, n in ranked[:most]]
    if len(ranked) > most:
        listed.append(f"{sum(n for _, n in ranked[most:])} others")
    return ", ".join(listed)


def count_suffixes(names: Iterable[str]) -> str:
    """Return how many files have each suffix, the most first, as `12 .jpg, 1 .png`."""
    return list_counts(Counter(get_suffix(name) or "without a suffix" for name in names))
