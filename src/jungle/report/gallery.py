"""Galleries of informative clips with their frames, predictions and true classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np
import polars as pl

from jungle.console import log
from jungle.errors import UserError
from jungle.report import selection, strips
from jungle.report.evaluation import Outcome
from jungle.report.strips import Strip, StripRequest
from jungle.report.summary import Summary
from jungle.video import ClipSpec

BARS = 4  # probabilities shown a clip
SURE = 0.5  # the threshold of found classes


class PredictionRow(TypedDict):
    """Row of a predictions table, without its probabilities."""

    clip: str
    status: str
    reason: str
    times: list[float] | None
    attention: list[float] | None


@dataclass(frozen=True)
class Card:
    """Clip with its predictions."""

    clip: str
    about: str
    truth: list[str]
    bars: list[tuple[str, float, bool, bool]]
    """Class, probability, whether it is true, whether it is the most probable."""
    right: bool | None
    """None without labels."""
    warning: str
    strip: Strip


@dataclass(frozen=True)
class Gallery:
    """Cards under one heading."""

    title: str
    lead: str
    cards: list[Card]


@dataclass(frozen=True)
class Pick:
    """Rows of the clips under one heading."""

    title: str
    lead: str
    rows: list[int]


@dataclass(frozen=True)
class Videos:
    """Source of the pictures: where the videos are and how they are read."""

    clips: pl.DataFrame | None
    spec: ClipSpec | None
    budget_s: float


def build_labelled(
    outcome: Outcome, table: pl.DataFrame, classes: Sequence[str], split: str, videos: Videos, most: int
) -> list[Gallery]:
    """Return galleries of wrong and of correct predictions."""
    wrong = selection.select_errors(outcome, max(most // 3, most - 2 * len(classes)))
    sure = [row for row in wrong if outcome.probs_NC[row].max() >= SURE]
    unsure = [row for row in wrong if row not in set(sure)]
    right = selection.select_correct(outcome, min(most - len(wrong), 2 * len(classes)))
    picks = [
        Pick(
            "Confident errors",
            f"The {split} clips in which a wrong class has at least 50 %, the highest first.",
            sure,
        ),
        Pick(
            "Uncertain errors", f"Other {split} clips with a wrong prediction: no class reaches 50 %.", unsure
        ),
        Pick("Correct predictions", f"The most confident correct {split} clips of each class.", right),
    ]
    return _build(picks, outcome.clips, outcome.probs_NC, outcome.targets_NC, table, classes, videos)


def build_unlabelled(
    found: Summary, table: pl.DataFrame, classes: Sequence[str], videos: Videos, most: int
) -> list[Gallery]:
    """Return galleries of the most confident clips of each class and of the least confident ones."""
    unsure = selection.select_uncertain(found.probs_NC, found.clips, most // 4)
    most_sure = min(most - len(unsure), 2 * len(classes))
    sure = selection.select_confident(found.probs_NC, found.clips, most_sure, found.said_N)
    picks = [
        Pick("Confident predictions", "The clips of each class found in which it is most probable.", sure),
        Pick(
            "Uncertain predictions",
            "Clips in which no class stands out: look at these yourself.",
            [row for row in unsure if row not in set(sure)],
        ),
    ]
    return _build(picks, found.clips, found.probs_NC, None, table, classes, videos)


def _build(
    picks: Sequence[Pick],
    names: Sequence[str],
    probs_NC: np.ndarray,
    targets_NC: np.ndarray | None,
    table: pl.DataFrame,
    classes: Sequence[str],
    videos: Videos,
) -> list[Gallery]:
    """Read the frames of all selected clips once and return the galleries."""
    shown = [names[row] for pick in picks for row in pick.rows]
    rows = table.filter(pl.col("clip").is_in(shown)).iter_rows(named=True)
    rows_of = {row["clip"]: cast("PredictionRow", row) for row in rows}
    strips_by_clip = _draw(shown, rows_of, videos)
    about = _describe_clips(shown, videos.clips)

    def make_card(row: int) -> Card:
        said = rows_of[names[row]]
        true = [] if targets_NC is None else np.flatnonzero(targets_NC[row] == 1).tolist()
        top = int(probs_NC[row].argmax())
        best: list[int] = np.argsort(-probs_NC[row], kind="stable")[:BARS].tolist()
        best += [t for t in true if t not in best]
        return Card(
            clip=names[row],
            about=about.get(names[row], ""),
            truth=[classes[t] for t in true],
            bars=[(str(classes[c]), float(probs_NC[row, c]), c in true, c == top) for c in best],
            right=None if targets_NC is None else top in true,
            warning=said["reason"] if said["status"] == "degraded" else "",
            strip=strips_by_clip[names[row]],
        )

    return [Gallery(p.title, p.lead, [make_card(row) for row in p.rows]) for p in picks if p.rows]


def _draw(shown: Sequence[str], rows_of: Mapping[str, PredictionRow], videos: Videos) -> dict[str, Strip]:
    """Return strips by clip; without a file or a working decoder a strip holds the reason."""
    paths = _find_paths(shown, videos.clips)
    drawn = {c: Strip([], "its file is unknown") for c in shown if c not in paths}
    wanted = [
        StripRequest(c, paths[c], rows_of[c]["times"] or (), rows_of[c]["attention"] or ())
        for c in shown
        if c in paths
    ]
    if not wanted:
        return drawn
    try:
        return drawn | strips.draw_strips(wanted, videos.spec, budget_s=videos.budget_s)
    except UserError as e:
        log.warning(f"the report has no pictures: {e}")
        return drawn | {w.clip: Strip([], str(e)) for w in wanted}


def _find_paths(shown: Sequence[str], clips: pl.DataFrame | None) -> dict[str, str]:
    """Return the paths of clips, of those that the clips table has one of."""
    if clips is None or "path" not in clips.columns:
        return {}
    here = clips.filter(pl.col("clip").is_in(list(shown)) & pl.col("path").is_not_null())
    return dict(here.select("clip", "path").iter_rows())


def _describe_clips(shown: Sequence[str], clips: pl.DataFrame | None) -> dict[str, str]:
    """Return site and time of the clips, where the table has them."""
    if clips is None:
        return {}
    columns = [c for c in ("site", "time") if c in clips.columns]
    rows = clips.filter(pl.col("clip").is_in(list(shown))).select("clip", *columns).iter_rows()
    return {clip: " · ".join(str(v) for v in rest if v is not None) for clip, *rest in rows}
