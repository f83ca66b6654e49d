"""Site, split, time and weight of clips, from the labels or another table (`filename,site[,split,time]`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.columns import read_sites, read_weights, split_values, unify_sites
from jungle.data.formats.headings import find_columns
from jungle.data.formats.roots import place_names
from jungle.data.formats.times import read_time_column
from jungle.data.paths import match_clips, say_matches
from jungle.data.table_io import Table, read_table
from jungle.data.text import map_values
from jungle.data.validation_report import Problems, format_lines
from jungle.errors import UserError

LINE = "line of the table"


def read_meta(table: Table, roles: Mapping[str, str], problems: Problems) -> list[pl.Series]:
    """Read the columns split, site, time and weight, those that the table has."""
    columns = []
    if "split" in roles:
        columns.append(split_values(table, roles["split"], problems))
    if "site" in roles:
        columns.append(read_sites(table, roles["site"], problems))
    if "time" in roles:
        columns.append(read_time_column(table, roles["time"]))
    if "weight" in roles:
        columns.append(read_weights(table, roles["weight"], problems))
    return columns


def join_sites(clips: Clips, sites: Path, roots: Sequence[Path], problems: Problems) -> Clips:
    """Add site, split and time from another table, matched by clip; it wins over values the clips had.

    Rows of clips that are not in `clips` are passed over; clips without a row keep what they had. A clip
    that is named twice is a problem.

    Raises:
        UserError: the table cannot be read, or matches no clip.
    """
    columns = find_columns(read_table(sites), {}, roots)
    table = columns.table
    roles = {role: column for role, column in columns.roles.items() if role != "weight"}
    names = place_names(table.frame[roles["filepath"]], roots)
    found = match_clips(names.clip.drop_nulls().to_list(), clips.table["clip"].to_list())
    say_matches(found, table.path, problems)
    given = [map_values(names.clip, found.known), *read_meta(table, roles, problems)]
    if len(given) == 1:
        raise UserError(f"{table.path}: none of the columns site, split and time; name one so")
    frame = pl.DataFrame([*given, table.lines.alias(LINE)]).drop_nulls("clip")
    twice = frame.filter(pl.col("clip").is_duplicated()).group_by("clip", maintain_order=True).agg(LINE)
    problems.add(
        f"clips are named twice in {table.path}",
        [f"{clip} ({format_lines(lines)})" for clip, lines in twice.iter_rows()],
        "Keep one row a clip.",
    )
    frame = frame.drop(LINE).unique("clip", keep="first", maintain_order=True)
    joined = clips.table.join(frame, on="clip", how="left", suffix=" (sites)", maintain_order="left")
    matched = clips.table.join(frame, on="clip", how="semi").height
    if not matched:
        raise UserError(
            f"{table.path}: none of its names is a clip: it has {frame['clip'].head(1).to_list()}, the "
            f"clips are like {clips.table['clip'].head(1).to_list()}. Both are relative to "
            f"{' or '.join(map(str, roots))}."
        )
    if matched < len(clips):
        log.warning(f"{table.path}: {len(clips) - matched} of {len(clips)} clips have no row")
    for name in frame.columns[1:]:
        new = f"{name} (sites)"
        if new in joined.columns:
            old, given = joined[name], joined[new]
            if old.dtype != given.dtype:
                old, given = old.cast(pl.String), given.cast(pl.String)
            joined = joined.with_columns(given.fill_null(old).alias(name)).drop(new)
    return unify_sites(Clips(joined, clips.classes))
