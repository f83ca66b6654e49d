"""Where and when clips were taken, from a table beside the labels: `filename,site[,split,time]`."""

from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.columns import read_sites, split_values, unify_sites
from jungle.data.formats.headings import find_columns
from jungle.data.formats.times import read_time_column
from jungle.data.paths import make_absolute, match_clips, name_clips, say_matches
from jungle.data.table_io import read_table
from jungle.data.text import map_values
from jungle.data.validation_report import Problems, format_lines
from jungle.errors import UserError

LINE = "line of the table"


def join_sites(
    clips: Clips, sites: str | Path, root: str | Path, *, problems: Problems | None = None
) -> Clips:
    """Add site, split and time from another table, matched by clip; it wins over values the clips had.

    Rows of clips that are not in `clips` are passed over; clips without a row keep what they had.

    Raises:
        UserError: the table cannot be read, names a clip twice, or matches no clip.
    """
    gathered = Problems() if problems is None else problems
    columns = find_columns(read_table(sites), {}, make_absolute(root))
    table, roles = columns.table, columns.roles
    names = name_clips(table.frame[roles["filepath"]], Path(root))
    found = match_clips(names.clip.drop_nulls().to_list(), clips.table["clip"].to_list())
    say_matches(found, table.path, gathered)
    given = [map_values(names.clip, found.known)]
    if "site" in roles:
        given.append(read_sites(table, roles["site"], gathered))
    if "split" in roles:
        given.append(split_values(table, roles["split"], gathered))
    if "time" in roles:
        given.append(read_time_column(table, roles["time"]))
    if len(given) == 1:
        raise UserError(f"{table.path}: none of the columns site, split and time.")
    frame = pl.DataFrame([*given, table.lines.alias(LINE)]).drop_nulls("clip")
    twice = frame.filter(pl.col("clip").is_duplicated()).group_by("clip", maintain_order=True).agg(LINE)
    gathered.add(
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
            f"clips are like {clips.table['clip'].head(1).to_list()}. Both are relative to {root}."
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
    if problems is None:
        gathered.raise_if_any(table.path)
    return unify_sites(Clips(joined, clips.classes))
