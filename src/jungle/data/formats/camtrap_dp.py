"""A package of Camtrap DP 1.0 as labels: videos with what was observed in them."""

import bisect
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.camtrap_tables import ZONE, open_package, read_times, report_rows
from jungle.data.formats.columns import drop_missing, read_sites
from jungle.data.formats.folders import load_roots
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.labels_csv import report_refused, unify_names
from jungle.data.formats.observed import build_clips, count_labels, list_counts
from jungle.data.formats.roots import place_names
from jungle.data.table_io import Table
from jungle.data.text import clean_name
from jungle.data.validation_report import Problems
from jungle.data.video_suffixes import get_suffix, is_video
from jungle.errors import UserError, suggest
from jungle.wording import tally

TYPES = {"blank": "blank", "human": "human", "vehicle": "vehicle", "animal": "animal"}
"""The class of an observation by its type; an animal's is its species where the package names species."""
NO_LABEL = ("unknown", "unclassified")


@dataclass(frozen=True, slots=True)
class _Observation:
    """A row of the observations."""

    row: int
    deployment: str
    media: str
    event: str
    level: Literal["media", "event"]
    kind: str
    label: str | None
    machine: bool


Key = tuple[str, str]
"""An event: its deployment and its ID, which is unique within that."""


@dataclass(frozen=True, slots=True)
class _Spans:
    """The spans of a deployment's events, sorted by their start."""

    begins: list[datetime]
    ends: list[datetime]
    keys: list[Key]
    latest: list[datetime]
    """The latest end of the events up to each."""

    @classmethod
    def sort(cls, spans: Sequence[tuple[datetime, datetime, Key]]) -> "_Spans":
        """Return spans from begin, end and key of each."""
        ranked = sorted(spans)
        ends = [end for _, end, _ in ranked]
        latest = list(itertools.accumulate(ends, max))
        return cls([begin for begin, _, _ in ranked], ends, [key for _, _, key in ranked], latest)

    def at(self, moment: datetime) -> list[Key]:
        """Return the events that began before a moment, or at it, and ended after it, or at it."""
        found: list[Key] = []
        for i in range(bisect.bisect_right(self.begins, moment) - 1, -1, -1):
            if self.latest[i] < moment:
                break
            if self.ends[i] >= moment:
                found.append(self.keys[i])
        return found


def load_camtrap_dp(source: LabelSource, problems: Problems) -> Clips:
    """Read the videos of a package in `source.root`, with labels, sites and times.

    An observation of a video (`observationLevel` media) is its label: the scientific name of an animal, else
    `blank`, `human` or `vehicle`; `unknown` and `unclassified` are none. A video without one, or with
    `unclassified` alone, has the labels of its events (level event): those whose `eventID` its own
    observations name, else those of its deployment that began before its time and ended after it, which is
    how the standard links media and events. A person's observation counts more than a machine's of the same
    video. The site is the `locationID` of the deployment, or its `deploymentID`; the time is that of the
    camera's clock.

    Raises:
        UserError: the package cannot be read, is of another version, or has no video.
    """
    return load_roots(source, problems, _read_package)


def _read_package(root: Path, source: LabelSource, problems: Problems) -> Clips:
    package = open_package(root)
    deployments, media, observations = Problems(), Problems(), Problems()
    videos, known = _select_videos(package.media, media)
    places = place_names(videos.frame["filePath"], [root])
    names = unify_names(videos, places)
    report_refused(videos, names, "filePath", media)
    times, moments = read_times(videos, "timestamp", source.timezone, media)
    in_utc = int(videos.frame["timestamp"].str.contains(r"(?i)(Z|\+00:?00)$").fill_null(False).sum())
    if in_utc and source.timezone is None:
        log.info(
            f"{videos.path}: {tally(in_utc, 'times are')} in UTC, and read as the cameras' clocks: where "
            "these show local time, give its zone, as data.timezone=Europe/Paris"
        )
    sites = _read_sites(package.deployments, videos, deployments, media)
    rows = _read_observations(package.observations, known, observations)
    labels = _label_videos(videos, moments, rows, package.observations, observations)
    keep = names.clip.is_not_null()
    frame = pl.DataFrame([names.clip, names.path, sites, times])
    media.know(pl.DataFrame([names.clip, videos.lines.alias("line")]).filter(keep), {})
    for table, own in (
        (package.deployments, deployments),
        (package.media, media),
        (package.observations, observations),
    ):
        problems.absorb(own, table.path.name)
    return build_clips(
        frame.filter(keep),
        [row for row, kept in zip(labels, keep, strict=True) if kept],
        classes=source.classes,
        path=package.observations.path,
        problems=problems,
    )


def _select_videos(media: Table, problems: Problems) -> tuple[Table, frozenset[str]]:
    """Return the rows of the media that are videos, and the IDs of all media.

    Raises:
        UserError: none is.
    """
    frame = media.frame
    ids = frame["mediaID"]
    report_rows(media, "mediaID", ids.is_null(), "rows have no mediaID", "Give each its own.", problems)
    twice = (ids.is_duplicated() & ids.is_not_null()).fill_null(False)
    report_rows(
        media, "mediaID", twice, "rows have the mediaID of another row", "Give each its own.", problems
    )
    kinds = frame["fileMediatype"].fill_null("").str.to_lowercase()
    suffixed = pl.Series(
        [
            is_video(path or "") or is_video(name or "")
            for path, name in frame.select("filePath", "fileName").rows()
        ],
        dtype=pl.Boolean,
    )
    known = kinds.str.contains("^(image|audio|text)/")
    chosen = kinds.str.starts_with("video/") | (suffixed & ~known)
    others = [
        kind or get_suffix(path or "") or "without a type"
        for kind, path, video in zip(kinds, frame["filePath"], chosen, strict=True)
        if not video
    ]
    counts = list_counts({kind: others.count(kind) for kind in dict.fromkeys(others)})
    if not chosen.any():
        raise UserError(
            f"{media.path}: none of its {len(others)} media is a video ({counts or 'it is empty'}), and "
            "Jungle learns from videos alone"
        )
    if others:
        log.warning(f"{media.path}: {tally(len(others), 'files are no videos')}, left out: {counts}")
    videos = Table(media.path, frame.filter(chosen), media.lines.filter(chosen))
    remote = videos.frame["filePath"].str.contains("://").fill_null(False)
    report_rows(
        videos,
        "filePath",
        remote,
        "videos are on the web",
        "Download them into the folder of the package, and write their names there into filePath.",
        problems,
    )
    local = Table(videos.path, videos.frame.filter(~remote), videos.lines.filter(~remote))
    return local, frozenset(ids.drop_nulls())


def _read_sites(deployments: Table, videos: Table, problems: Problems, media: Problems) -> pl.Series:
    """Return the site of each video."""
    frame = deployments.frame
    ids = frame["deploymentID"]
    twice = (ids.is_duplicated() & ids.is_not_null()).fill_null(False)
    report_rows(
        deployments, "deploymentID", twice, "rows have the deploymentID of another row", "Keep one.", problems
    )
    located = read_sites(deployments, "locationID", problems)
    sites = pl.select(pl.coalesce(located, ids)).to_series()
    if located.null_count() and located.null_count() < len(located):
        log.warning(
            f"{deployments.path}: {tally(located.null_count(), 'deployments have')} no locationID, so the "
            "deploymentID is the site"
        )
    if issues := int((frame["timestampIssues"].str.to_lowercase() == "true").fill_null(False).sum()):
        log.warning(
            f"{deployments.path}: {tally(issues, 'deployments have')} timestampIssues: times may be wrong"
        )
    of = {i: s for i, s in zip(ids, sites, strict=True) if i is not None}
    given = videos.frame["deploymentID"]
    lost = given.is_null() | ~given.is_in(list(of)).fill_null(False)
    first = next((i for i in given.filter(lost) if i), "")
    report_rows(
        videos,
        "deploymentID",
        lost,
        f"videos are of a deployment that {deployments.path.name} does not have",
        f"Add it there, or correct the deploymentID.{suggest(first, of) if first else ''}",
        media,
    )
    return given.replace_strict(of, default=None, return_dtype=pl.String).alias("site")


def _read_observations(table: Table, known: frozenset[str], problems: Problems) -> list[_Observation]:
    """Return the observations that can be used; add the other rows to `problems`."""
    frame = table.frame
    kinds = frame["observationType"].fill_null("").str.to_lowercase()
    levels = frame["observationLevel"].fill_null("").str.to_lowercase()
    names = drop_missing(table, "scientificName")
    by_species = bool((names.is_not_null() & (kinds == "animal")).any())
    strange = ~kinds.is_in([*TYPES, *NO_LABEL])
    first = next((k for k in kinds.filter(strange) if k), "")
    near = suggest(first, [*TYPES, *NO_LABEL]) if first else ""
    report_rows(
        table,
        "observationType",
        strange,
        "rows have an unknown observationType",
        f"Correct it.{near}",
        problems,
    )
    unclear = ~levels.is_in(["media", "event"])
    fix = "The level is media or event."
    report_rows(table, "observationLevel", unclear, "rows have an unknown observationLevel", fix, problems)
    media = frame["mediaID"]
    lost = (levels == "media") & (media.is_null() | ~media.is_in(list(known)).fill_null(False))
    first = next((m for m in media.filter(lost) if m), "")
    near = suggest(first, known) if first and len(known) < 10_000 else ""
    report_rows(
        table,
        "mediaID",
        lost,
        "rows are of media that the package does not have",
        f"Correct the mediaID.{near}",
        problems,
    )
    rows: list[_Observation] = []
    nameless = 0
    columns = ("deploymentID", "mediaID", "eventID", "scientificName", "classificationMethod")
    cells = frame.with_columns(names).select(pl.col(c).fill_null("") for c in columns).rows()
    for row, (cell, kind, level) in enumerate(zip(cells, kinds, levels, strict=True)):
        if kind not in (*TYPES, *NO_LABEL) or level not in ("media", "event") or lost[row]:
            continue
        deployment, of, event, name, method = cell
        label = TYPES.get(kind)
        if kind == "animal" and by_species:
            label = clean_name(name) or None
            nameless += label is None
        level = "media" if level == "media" else "event"
        machine = method.casefold() == "machine"
        rows.append(_Observation(row, deployment, of, event, level, kind, label, machine))
    if nameless:
        log.warning(
            f"{table.path}: {tally(nameless, 'observations have')} an animal without a "
            "scientificName, which is no label"
        )
    if others := {kind: int((kinds == kind).sum()) for kind in NO_LABEL if (kinds == kind).any()}:
        log.info(f"{table.path}: observations that are no label: {list_counts(others)}")
    return rows


def _label_videos(
    videos: Table, moments: pl.Series, rows: Sequence[_Observation], table: Table, problems: Problems
) -> list[list[str] | None]:
    """Return the labels of each video, None where it has none; log where they come from."""
    of_media: dict[str, list[_Observation]] = {}
    events: dict[Key, list[_Observation]] = {}
    for one in rows:
        if one.level == "media":
            of_media.setdefault(one.media, []).append(one)
        else:
            events.setdefault((one.deployment, one.event or f"row {one.row}"), []).append(one)
    spans = _find_spans(events, table, problems) if events else {}
    zoned = [
        bool(t[c].str.contains(ZONE).any())
        for t, c in ((videos.frame, "timestamp"), (table.frame, "eventStart"))
    ]
    if spans and zoned[0] != zoned[1]:
        problems.say(
            f"Its times have {'no' if zoned[0] else 'a'} time zone and those of {videos.path.name} have "
            f"{'one' if zoned[0] else 'none'}, so that events cannot be matched: write it in both."
        )
    labels: list[list[str] | None] = []
    machines = dropped = by_event = 0
    taken: Counter[Key] = Counter()
    ids = videos.frame.select("mediaID", "deploymentID").rows()
    for (media, deployment), moment in zip(ids, moments, strict=True):
        own = of_media.get(media, [])
        if all(one.kind == "unclassified" for one in own):
            named = [(deployment, one.event) for one in own if (deployment, one.event) in events]
            here = spans.get(deployment)
            found = named or (here.at(moment) if here is not None and moment is not None else [])
            own = [one for key in dict.fromkeys(found) for one in events[key]]
            taken.update(dict.fromkeys(found, 1))
            by_event += bool(found)
        kept = [one for one in own if not one.machine] or own
        dropped += len(own) - len(kept)
        label = list(dict.fromkeys(one.label for one in kept if one.label is not None)) or None
        machines += label is not None and kept[0].machine
        labels.append(label)
    log.info(f"{table.path}: labels of videos: {count_labels(labels) or 'none'}")
    if by_event:
        shared = sum(n for n in taken.values() if n > 1)
        weak = f"; {shared} of them share an event, which may show less than all of it" if shared else ""
        log.warning(
            f"{table.path}: {tally(by_event, 'videos have')} no label of their own and take that of their "
            f"event{weak}"
        )
    if dropped:
        log.info(
            f"{table.path}: {tally(dropped, 'observations')} by a machine left out where a person's is there"
        )
    if machines:
        log.warning(f"{table.path}: {tally(machines, 'videos have')} labels by a machine alone: look at some")
    if unlabelled := sum(row is None for row in labels):
        log.info(f"{table.path}: {tally(unlabelled, 'videos have')} no label")
    return labels


def _find_spans(
    events: Mapping[Key, Sequence[_Observation]], table: Table, problems: Problems
) -> dict[str, _Spans]:
    """Return the spans of each deployment's events, by their start; add events without one to `problems`."""
    rows = [(key, one.row) for key, found in events.items() for one in found]
    at = [row for _, row in rows]
    some = Table(table.path, table.frame[at], table.lines[at])
    begins, ends = (read_times(some, column, None, problems)[1] for column in ("eventStart", "eventEnd"))
    lacking = some.frame["eventStart"].is_null() | some.frame["eventEnd"].is_null()
    fix = "Write when the event began and ended: its videos are found by that."
    report_rows(some, "eventID", lacking, "events have no eventStart or eventEnd", fix, problems)
    by_deployment: dict[str, list[tuple[datetime, datetime, Key]]] = {}
    for (key, _), begin, end in zip(rows, begins, ends, strict=True):
        if begin is not None and end is not None:
            by_deployment.setdefault(key[0], []).append((begin, end, key))
    return {name: _Spans.sort(spans) for name, spans in by_deployment.items()}
