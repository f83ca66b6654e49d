"""Clips that are copies of each other according to an index, and that no split may separate."""

from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.index_lookup import lookup_rows
from jungle.names import show

COPY = "copies of "  # a site's name cannot hold the control character behind it


def lookup_contents(clips: Clips, index: Path, setting: str = "data.duplicates") -> pl.Series:
    """Return the group of copies of each clip, by its name in the index: str `[N]`, null if it has none.

    Copies have the same bytes, or begin with the same picture: see `jungle.video.indexing.perceptual_hash`.

    Args:
        clips: the clips.
        index: what `jungle index` wrote.
        setting: which setting names it, for messages.

    Raises:
        UserError: the index cannot be read.
        UsageError: it is no index, or of other clips.
    """
    names, so = clips.table["clip"].to_list(), "their copies are not known"
    columns: dict[str, pl.DataType] = {"hash": pl.String(), "copy_of": pl.String()}
    return lookup_rows(names, index, columns, setting, so)["copy_of"]


def join_copied_sites(clips: Clips, contents: pl.Series) -> Clips:
    """Return the clips with sites that share a copy joined, and with one new site for copies without any.

    Only for splitting: whole sites stay on one side of a split, and so do copies then.
    """
    site = (
        clips.table["site"]
        if "site" in clips.table.columns
        else pl.Series([None] * len(clips), dtype=pl.String)
    )
    copied = contents.is_duplicated() & contents.is_not_null()
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    names = [f"{COPY}\0{h}" if c else None for h, c in zip(contents, copied, strict=True)]
    for where, copy in zip(site, names, strict=True):
        if where is not None and copy is not None:
            a, b = sorted((lead(where), lead(copy)))
            leader[b] = a
    merged = [
        lead(where) if where is not None else lead(copy) if copy is not None else None
        for where, copy in zip(site, names, strict=True)
    ]
    return clips.with_columns(site=pl.Series(merged, dtype=pl.String))


def warn_of_copies(clips: Clips, contents: pl.Series) -> None:
    """Warn of training clips that are copies of val or test clips, if the labels give the splits."""
    both = find_copies(clips.table.select("clip", "split"), contents)
    if len(both):
        first = show(both["clip"][0])
        log.warning(
            f"warning: {len(both)} training clips are copies of val or test clips, such as {first!r}: scores "
            "will be too good; the splits of the labels are kept"
        )


def find_copies(splits: pl.DataFrame, contents: pl.Series) -> pl.DataFrame:
    """Return the training clips that are copies of val or test clips: `clip` and its `copy`.

    Args:
        splits: `clip` and `split` of each clip.
        contents: what each holds; null where unknown.
    """
    table = splits.with_columns(hash=contents).filter(pl.col("hash").is_not_null())
    judged = table.filter(pl.col("split").is_in(["val", "test"])).select("hash", copy="clip").unique("hash")
    return (
        table.filter(pl.col("split") == "train").join(judged, on="hash").select("clip", "copy").sort("clip")
    )
