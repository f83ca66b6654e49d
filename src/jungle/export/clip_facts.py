"""Path, site, time, length and frame rate of each clip, from tables that know them, or from its file."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.file_index import read_file_index
from jungle.data.formats import find_clips
from jungle.data.formats.sites import join_sites
from jungle.data.index_lookup import lookup_rows
from jungle.data.paths import match_clips
from jungle.data.validation_report import Problems
from jungle.errors import UsageError
from jungle.export.settings import ExportSettings
from jungle.names import show
from jungle.wording import tally

FACTS: dict[str, pl.DataType] = {
    "path": pl.String(),
    "site": pl.String(),
    "time": pl.Datetime("us"),
    "duration": pl.Float64(),
    "fps": pl.Float64(),
}
FROM_FILES = ("time", "duration", "fps")


def add_facts(table: pl.DataFrame, settings: ExportSettings, needs: Collection[str]) -> pl.DataFrame:
    """Return the predictions table with the columns `FACTS`, null where nothing is known.

    The table of sites wins over what the predictions know, and that over an index or the clips' files.

    Args:
        table: of predictions.
        settings: which tables to read.
        needs: facts for which files are looked into where no index is given.

    Raises:
        UserError: a table cannot be read, or is of other clips.
    """
    table = table.with_columns(
        (pl.col(c) if c in table.columns else pl.lit(None)).cast(kind).alias(c) for c, kind in FACTS.items()
    )
    if settings.videos is not None:
        table = _find_paths(table, settings.videos)
    if settings.sites is not None:
        table = _join_sites(table, settings)
    if settings.index is not None:
        columns = {name: FACTS[name] for name in FROM_FILES}
        index = lookup_rows(table["clip"].to_list(), settings.index, columns, "index", "they stay unknown")
        return _fill(table, index, str(settings.index))
    lacks = [c for c in FROM_FILES if c in needs and table[c].null_count()]
    if lacks:
        here = pl.any_horizontal(pl.col(c).is_null() for c in lacks) & (pl.col("status") != "failed")
        asked = table.select(pl.when(here).then(pl.col("path"))).to_series().to_list()
        if any(p and os.path.isfile(p) for p in asked):
            found = read_file_index(asked, settings.cache, settings.workers, settings.timeout_s)
            return _fill(table, found, "their files")
    return table


def _find_paths(table: pl.DataFrame, videos: str | list[str]) -> pl.DataFrame:
    """Return the table with the paths of clips that were found among the videos."""
    paths = {f.clip: str(f.path) for f in find_clips(videos)}
    names: list[str] = table["clip"].to_list()
    known = match_clips(names, list(paths)).known
    found = pl.Series([paths.get(str(known.get(n, n))) for n in names], dtype=pl.String)
    lost = found.is_null() & table["path"].is_null()
    if lost.all() and len(table):
        raise UsageError(
            f"videos={show(videos)}: none of the {len(table)} clips is there, as {show(names[0])}: give the "
            "folder that was predicted"
        )
    if lost.any():
        first = table.filter(lost)["clip"][0]
        log.warning(
            f"videos={show(videos)}: {tally(int(lost.sum()), 'clips are')} not there, as {show(first)}"
        )
    return table.with_columns(path=pl.select(pl.coalesce(found, table["path"])).to_series())


def _join_sites(table: pl.DataFrame, settings: ExportSettings) -> pl.DataFrame:
    """Return the table with sites and times of another one."""
    assert settings.sites is not None
    problems = Problems()
    own = table.select("clip", pl.col("path").fill_null(pl.col("clip")), "site", "time")
    joined = join_sites(Clips(own, ()), settings.sites, [find_root(table)], problems).table
    problems.raise_if_any(settings.sites)
    if joined["time"].dtype == pl.String:
        odd = joined["time"].drop_nulls()
        if len(odd):
            raise UsageError(
                f"sites={settings.sites}: column time: {show(odd[0], 40)!r} is not a time that can be read "
                "in one way only: write each as the camera's clock shows it, 2021-03-31 14:05:00"
            )
        joined = joined.with_columns(time=pl.lit(None, pl.Datetime("us")))
    return table.with_columns(joined["site"].cast(pl.String), joined["time"].cast(pl.Datetime("us")))


def find_root(table: pl.DataFrame) -> Path:
    """Return the folder that the clips are named relative to: this folder where that is unknown."""
    for clip, path in table.select("clip", "path").iter_rows():
        if path and path.endswith(f"/{clip}"):
            return Path(path.removesuffix(f"/{clip}") or "/")
    return Path()


def _fill(table: pl.DataFrame, found: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return the table with unknown facts taken from rows in the same order."""
    times = int((table["time"].is_null() & found["time"].is_not_null()).sum())
    if times:
        log.info(f"times of {tally(times, 'clips are')} taken from {where}")
    filled: Sequence[pl.Series] = [
        pl.select(pl.coalesce(table[c], found[c].cast(FACTS[c]))).to_series().alias(c) for c in FROM_FILES
    ]
    return table.with_columns(filled)
