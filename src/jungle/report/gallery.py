"""The gallery: clips worth seeing, each with its frames, the answers given, and what was true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data.paths import name_clips
from jungle.errors import UserError
from jungle.report import selection, strips
from jungle.report.evaluation import Outcome
from jungle.report.strips import Strip, Wanted
from jungle.report.summary import Found
from jungle.video import ClipSpec

BARS = 4  # probabilities shown a clip
SURE = 0.5  # as where classes count as found


@dataclass(frozen=True)
class Card:
    """One clip."""

    clip: str
    about: str
    truth: list[str]
    bars: list[tuple[str, float, bool, bool]]
    """Class, probability, whether it is true, whether it is the most probable."""
    right: bool | None
    """None where nobody told what is in the clip."""
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
    """Rows of the clips that go under one heading."""

    title: str
    lead: str
    rows: list[int]


@dataclass(frozen=True)
class Videos:
    """Where the videos are and how they are read."""

    clips: pl.DataFrame | None
    root: Path | None
    spec: ClipSpec | None
    budget_s: float


def of_truth(
    judged: Outcome, table: pl.DataFrame, classes: Sequence[str], split: str, videos: Videos, most: int
) -> list[Gallery]:
    """Wrong clips and right ones, of those that were read."""
    wrong = selection.errors(judged, max(most // 3, most - 2 * len(classes)))
    sure = [row for row in wrong if judged.probs_NC[row].max() >= SURE]
    unsure = [row for row in wrong if row not in set(sure)]
    right = selection.right(judged, min(most - len(wrong), 2 * len(classes)))
    picks = [
        Pick(
            "Wrong, and sure of it",
            f"The {split} clips where a wrong class has half of the probability or more, the surest first.",
            sure,
        ),
        Pick("Wrong, and unsure", f"The {split} clips it got wrong, with no class at a half.", unsure),
        Pick("Right", f"The {split} clips it got right with most confidence, class by class.", right),
    ]
    return _hang(picks, judged.clips, judged.probs_NC, judged.targets_NC, table, classes, videos)


def of_found(
    found: Found, table: pl.DataFrame, classes: Sequence[str], videos: Videos, most: int
) -> list[Gallery]:
    """The most certain clips of each class, and the least certain ones."""
    unsure = selection.least_sure(found.probs_NC, found.clips, most // 4)
    most_sure = min(most - len(unsure), 2 * len(classes))
    sure = selection.surest(found.probs_NC, found.clips, most_sure, found.said_N)
    picks = [
        Pick("Most certain", "For every class that was found, the clips where it is most probable.", sure),
        Pick(
            "Least certain",
            "Where no class stands out: the clips worth looking at yourself.",
            [row for row in unsure if row not in set(sure)],
        ),
    ]
    return _hang(picks, found.clips, found.probs_NC, None, table, classes, videos)


def _hang(
    picks: Sequence[Pick],
    names: Sequence[str],
    probs_NC: np.ndarray,
    targets_NC: np.ndarray | None,
    table: pl.DataFrame,
    classes: Sequence[str],
    videos: Videos,
) -> list[Gallery]:
    """Read the frames of all picked clips once and lay them out under their headings."""
    shown = [names[row] for pick in picks for row in pick.rows]
    rows_of = {row["clip"]: row for row in table.filter(pl.col("clip").is_in(shown)).iter_rows(named=True)}
    drawn = _draw(shown, rows_of, videos)
    about = _about(shown, videos.clips)

    def card(row: int) -> Card:
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
            strip=drawn[names[row]],
        )

    return [Gallery(p.title, p.lead, [card(row) for row in p.rows]) for p in picks if p.rows]


def _draw(shown: Sequence[str], rows_of: Mapping[str, Mapping[str, Any]], videos: Videos) -> dict[str, Strip]:
    """Strips of the clips by name; a clip without a file, or a decoder that cannot work, gives the reason."""
    paths = _paths(shown, videos.clips, videos.root)
    drawn = {c: Strip([], "its file is not known here") for c in shown if c not in paths}
    wanted = [
        Wanted(c, paths[c], rows_of[c]["times"] or (), rows_of[c]["attention"] or ())
        for c in shown
        if c in paths
    ]
    if not wanted:
        return drawn
    try:
        return drawn | strips.draw(wanted, videos.spec, budget_s=videos.budget_s)
    except UserError as e:
        log.warning(f"the report has no pictures: {e}")
        return drawn | {w.clip: Strip([], str(e)) for w in wanted}


def _paths(shown: Sequence[str], clips: pl.DataFrame | None, root: Path | None) -> dict[str, str]:
    """Where the clips are; those whose name leads out of the root have no place."""
    if clips is not None and "path" in clips.columns:
        here = clips.filter(pl.col("clip").is_in(list(shown)) & pl.col("path").is_not_null())
        return dict(here.select("clip", "path").iter_rows())
    if root is None or not shown:
        return {}
    named = name_clips(pl.Series("clip", list(shown), dtype=pl.String), root)
    return {c: p for i, (c, p) in enumerate(zip(shown, named.path, strict=True)) if i not in named.refused}


def _about(shown: Sequence[str], clips: pl.DataFrame | None) -> dict[str, str]:
    """Site and time of the clips, as far as the table says."""
    if clips is None:
        return {}
    columns = [c for c in ("site", "time") if c in clips.columns]
    rows = clips.filter(pl.col("clip").is_in(list(shown))).select("clip", *columns).iter_rows()
    return {clip: " · ".join(str(v) for v in rest if v is not None) for clip, *rest in rows}
