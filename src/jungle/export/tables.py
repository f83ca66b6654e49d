"""Tables of predictions for people and other programs: wide, long, of events, and as zamba writes them."""

from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.spreadsheets import write_csv
from jungle.data.text import is_blank
from jungle.export.settings import ExportSettings, Results
from jungle.files import write_text
from jungle.names import show
from jungle.postprocessing.events import Events, find_events
from jungle.postprocessing.seen import list_probabilities
from jungle.wording import tally

TIME = "%Y-%m-%d %H:%M:%S"
CLIP = ("clip", "path", "site", "time", "duration", "status", "reason")


def join_names(seen: pl.DataFrame) -> pl.DataFrame:
    """Return the names that count in each clip as one text: columns row and seen, as `hog; lion`."""
    return seen.group_by("row", maintain_order=True).agg(seen=pl.col("name").str.join("; "))


def _name_apart(frame: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    """Return the frame with `_` behind the headings that are classes too."""
    return frame.rename({c: f"{c}_" for c in frame.columns if c in classes})


def _describe_clips(results: Results) -> pl.DataFrame:
    """Return what is known of each clip: columns row, those of `CLIP`, and seen."""
    clips = results.table.select(
        *(c for c in CLIP if c not in ("time", "reason")),
        pl.col("time").dt.strftime(TIME),
        pl.col("reason").replace("", None),
    ).select(CLIP)
    return clips.with_row_index("row").join(join_names(results.seen), on="row", how="left")


def write_wide(results: Results, settings: ExportSettings) -> list[Path]:
    """Write `wide.csv`: a row a clip, a column a class."""
    own = _name_apart(_describe_clips(results).drop("row"), results.classes)
    path = settings.out / "wide.csv"
    probs = results.table.select(results.classes)
    write_csv(pl.concat([own, probs], how="horizontal"), path, float_precision=6)
    return [path]


def write_long(results: Results, settings: ExportSettings) -> list[Path]:
    """Write `long.csv`: a row a clip and class; one row without a class for a clip that was not read."""
    clips = _describe_clips(results).drop("seen")
    probs = list_probabilities(results.table, results.classes).rename({"name": "class"})
    counted = results.seen.select("row", pl.col("name").alias("class"), counts=pl.lit(True))
    rows = clips.join(probs, on="row", how="left").join(counted, on=["row", "class"], how="left")
    place = {name: i for i, name in enumerate(results.classes)}
    rows = rows.sort("row", pl.col("class").replace_strict(place, default=-1, return_dtype=pl.Int32))
    # Written as 1 and 0, which every program reads alike.
    counts = pl.when(pl.col("class").is_not_null()).then(pl.col("counts").fill_null(False).cast(pl.Int8))
    path = settings.out / "long.csv"
    write_csv(rows.with_columns(counts.alias("counts")).drop("row"), path, float_precision=6)
    return [path]


def write_zamba(results: Results, settings: ExportSettings) -> list[Path]:
    """Write `zamba.csv`: `filepath` and a column a class, of the clips that were read."""
    read = predictions.select_read(results.table)
    if lost := results.table.height - read.height:
        first = predictions.select_failed(results.table)["clip"][0]
        log.warning(
            f"zamba.csv leaves out {tally(lost, 'clips')} that could not be read, as {show(first)} "
            "(failures.csv says why)"
        )
    path = settings.out / "zamba.csv"
    names = _name_apart(read.select(filepath=pl.col("clip")), results.classes)
    table = pl.concat([names, read.select(results.classes)], how="horizontal")
    write_text(path, table.write_csv(float_precision=6))
    return [path]


def say_alone(events: Events) -> None:
    """Log how many clips are events of their own since their site or time is unknown."""
    if events.alone:
        log.warning(
            f"events: {tally(events.alone, 'clips are')} without a site or a time, each an event of its own: "
            "give sites=<table clip,site,time>"
        )


def write_events(results: Results, settings: ExportSettings) -> list[Path]:
    """Write `events.csv`: a row an event, with mean probabilities and the number of clips with each class."""
    events = find_events(results.table, results.classes, task=results.task, gap_min=settings.gap_min)
    say_alone(events)
    count = len(events.table)
    clips_with = events.count_clips_with(results.seen)
    species = clips_with.filter(~pl.col("name").map_elements(is_blank, return_dtype=pl.Boolean))
    said = species.group_by("event", maintain_order=True).agg(
        seen=pl.format("{} ({})", "name", "clips").str.join("; ")
    )
    names = [*results.classes, *sorted(set(clips_with["name"]) - set(results.classes))]
    counts = {name: np.zeros(count, np.int64) for name in names}
    for event, name, n in clips_with.select("event", "name", "clips").iter_rows():
        counts[name][event] = n
    read_E = np.isfinite(events.probs_EC).all(axis=1).reshape(-1)
    best_E = np.nan_to_num(events.probs_EC, nan=-1).argmax(1)
    top = [results.classes[best_E[e]] if read_E[e] else None for e in range(count)]
    table = events.table.with_row_index("event").join(said, on="event", how="left")
    own = table.select(
        pl.col("event") + 1,
        "site",
        *(pl.col(c).dt.strftime(TIME) for c in ("start", "end")),
        "clips",
        "unread",
        "seen",
        pl.Series("top_class", top, dtype=pl.String),
        pl.Series("top_probability", events.probs_EC[np.arange(count), best_E]).fill_nan(None),
    )
    probs = {c: pl.Series(c, events.probs_EC[:, i]).fill_nan(None) for i, c in enumerate(results.classes)}
    columns = {**probs, **{f"clips with {name}": pl.Series(n) for name, n in counts.items()}}
    path = settings.out / "events.csv"
    write_csv(_name_apart(own, tuple(columns)).with_columns(**columns), path, float_precision=6)
    return [path]
