"""Lookup of clips in an index (`jungle index`), matched by name."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.paths import match_clips
from jungle.data.table_io import read_table
from jungle.errors import UsageError, shorten_error
from jungle.names import show
from jungle.wording import tally


def lookup_rows(
    clips: Sequence[str], index: Path, columns: dict[str, pl.DataType], setting: str, so: str
) -> pl.DataFrame:
    """Return columns of the index, one row a clip in the order given, nulls where it knows nothing of a clip.

    Args:
        clips: their names.
        index: what `jungle index` wrote.
        columns: name and type.
        setting: which setting names the index, for messages.
        so: what follows for clips that it lacks, for the warning.

    Raises:
        UserError: the index cannot be read.
        UsageError: it is no index, or of other clips.
    """
    table = read_table(index, typed=True).frame
    if lost := sorted({"clip", *columns} - set(table.columns)):
        raise UsageError(
            f"{setting}={index}: not an index (no column {', '.join(lost)}): jungle index makes one"
        )
    try:
        known = table.select(pl.col("clip").cast(pl.String), *(pl.col(n).cast(t) for n, t in columns.items()))
    except pl.exceptions.PolarsError as e:
        raise UsageError(f"{setting}={index}: {shorten_error(e)}: jungle index makes one") from None
    matches = match_clips(clips, known["clip"].drop_nulls().to_list())
    own = set(clips)  # a row of another clip is never taken
    guessed = {a: b for a, b in matches.guessed.items() if b not in own}
    names = pl.DataFrame({"clip": [guessed.get(c, c) for c in clips]}, schema={"clip": pl.String})
    if guessed:
        first = next(iter(guessed.items()))
        log.warning(
            f"{setting}: {tally(len(guessed), 'clips are')} named in another way in {index}, as "
            f"{show(first[0])}: {show(first[1])}"
        )
    found = names.join(known.unique("clip"), on="clip", how="left", maintain_order="left")
    found = found.with_columns(clip=pl.Series(list(clips), dtype=pl.String))
    lacks = int(found.select(pl.all_horizontal(pl.col(n).is_null() for n in columns).sum()).item())
    if lacks == len(found) and lacks:
        raise UsageError(
            f"{setting}={index}: none of the clips is in it, as {show(clips[0])!r}; "
            "make it of the folder that their names are relative to: jungle index videos=<folder>"
        )
    if lacks:
        log.warning(f"{setting}: {lacks} of {len(found)} clips are not in {index}: {so}")
    return found
