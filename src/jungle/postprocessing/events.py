"""Events: clips of one site that follow each other within a gap."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.metrics.logits import to_logits, to_probabilities


@dataclass(frozen=True, slots=True)
class Events:
    """Events of some clips.

    Attributes:
        number_N: int `[N]`, the event of each clip.
        table: a row an event: site, start, end, clips (how many) and unread (how many of them failed).
        probs_EC: float `[E, C]`, from the mean of the logits of the event's clips; nan where none was read.
        alone: clips without a site or a time, each of which is an event of its own.
    """

    number_N: np.ndarray
    table: pl.DataFrame
    probs_EC: np.ndarray
    alone: int

    def count_clips_with(self, seen: pl.DataFrame) -> pl.DataFrame:
        """Count the clips of each event in which a class counts: columns event, name, clips, probability.

        The probability is the highest among these clips.

        Args:
            seen: row, name and probability, as `jungle.postprocessing.seen.find_seen` returns them.
        """
        events = pl.Series(self.number_N, dtype=pl.UInt32).gather(seen["row"])
        return (
            seen.with_columns(events.alias("event"))
            .group_by("event", "name")
            .agg(clips=pl.len(), probability=pl.col("probability").max())
            .sort(["event", "clips", "name"], descending=[False, True, False])
        )


def find_events(
    table: pl.DataFrame, classes: tuple[str, ...], *, site: str = "site", task: str, gap_min: float
) -> Events:
    """Group clips into events, in the order of site and time.

    A clip belongs to the event of the clip before it, at the same site, where it begins at most `gap_min`
    after that clip has ended; where the length of a clip is unknown, it ends as it begins.

    Args:
        table: of predictions, with the columns time (Datetime) and duration (seconds).
        classes: columns of probabilities.
        site: column whose values part the clips.
        task: `exclusive` or `multilabel`.
        gap_min: minutes.
    """
    clips = table.select(
        site=pl.col(site),
        time=pl.col("time"),
        end=pl.col("time") + pl.duration(microseconds=(pl.col("duration").fill_null(0) * 1e6).round()),
        failed=pl.col("status") == predictions.FAILED,
    ).with_row_index("row")
    known = pl.col("site").is_not_null() & pl.col("time").is_not_null()
    in_order = clips.filter(known).sort("site", "time", "row")
    last_end = pl.col("end").cum_max().shift(1).over("site")
    begins = last_end.is_null() | (pl.col("time") - last_end > pl.duration(microseconds=round(gap_min * 6e7)))
    grouped = in_order.with_columns(event=begins.cum_sum() - 1)
    alone = clips.filter(~known)
    first = int(grouped["event"].max() or 0) + 1 if len(grouped) else 0  # type: ignore[arg-type]  # numbers
    alone = alone.with_columns(event=pl.int_range(first, first + len(alone), eager=True))
    both = pl.concat([grouped.cast({"event": pl.Int64}), alone.cast({"event": pl.Int64})])
    number_N = both.sort("row")["event"].to_numpy()
    events = both.group_by("event", maintain_order=True).agg(
        pl.col("site").first(),
        start=pl.col("time").min(),
        end=pl.col("end").max(),
        clips=pl.len(),
        unread=pl.col("failed").sum(),
    )
    return Events(
        number_N,
        events.drop("event"),
        _average(table, classes, number_N, len(events), task),
        len(alone),
    )


def _average(
    table: pl.DataFrame, classes: tuple[str, ...], number_N: np.ndarray, events: int, task: str
) -> np.ndarray:
    """Return the probabilities `[E, C]` of the mean logits of each event's clips that were read."""
    probs_NC = predictions.get_probabilities(table.select(classes)).astype(np.float64)
    read_N = ~np.isnan(probs_NC).any(1)
    total_EC, count_E = np.zeros((events, len(classes))), np.zeros(events)
    np.add.at(total_EC, number_N[read_N], to_logits(probs_NC[read_N], task))
    np.add.at(count_E, number_N[read_N], 1)
    some_E = count_E > 0
    mean_EC = np.full((events, len(classes)), np.nan)
    if some_E.any():
        mean_EC[some_E] = to_probabilities(total_EC[some_E] / count_E[some_E, None], task)
    return mean_EC
