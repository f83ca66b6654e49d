"""Camtrap DP 1.0.2: a data package of deployments, media and observations."""

import datetime as dt
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import polars as pl

from jungle import __version__
from jungle.console import log
from jungle.data import predictions
from jungle.data.table_io import read_table
from jungle.data.text import is_blank, match_names
from jungle.errors import UsageError, suggest
from jungle.export.camtrap_dp_schema import PROFILE, PUBLISHED, read_fields
from jungle.export.categories import find_category
from jungle.export.deployments import Deployment, Deployments, read_deployments, read_zone
from jungle.export.project import read_project
from jungle.export.settings import ExportSettings, Results
from jungle.export.tables import say_alone
from jungle.files import write_json, write_text
from jungle.names import escape, show
from jungle.postprocessing.events import find_events
from jungle.wording import tally

FOLDER = "camtrap_dp"
_REFUSED_PATH = re.compile(r"^[./~]|\.\.")
_MEDIA_TYPES = {
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".avi": "video/x-msvideo", ".mov": "video/quicktime"},
    **{".mkv": "video/x-matroska", ".asf": "video/x-ms-asf", ".wmv": "video/x-ms-wmv", ".webm": "video/webm"},
    **{".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".3gp": "video/3gpp", ".flv": "video/x-flv"},
    **{".mts": "video/mp2t", ".m2ts": "video/mp2t", ".ts": "video/mp2t"},
}
Cell = str | float | int | None
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the user's files say of the project and its cameras."""

    deployments: Deployments
    project: Mapping[str, object]
    package: Mapping[str, object]
    scientific: Mapping[str, str] | None
    """From a class, as the table of names has it, to its scientific name."""


def read_inputs(settings: ExportSettings) -> Inputs:
    """Read what the standard requires and only the user knows.

    Raises:
        UsageError: in one line, what is missing or wrong.
    """
    if settings.deployments is None or settings.timezone is None or settings.project is None:
        needed = {
            "deployments=<table with deploymentID, latitude, longitude, deploymentStart, deploymentEnd>": (
                settings.deployments
            ),
            "timezone=<zone of the cameras' clocks, as Europe/Berlin>": settings.timezone,
            "project=<YAML file with title, samplingDesign, captureMethod, individualAnimals,contributors>": (
                settings.project
            ),
        }
        lacks = [words for words, value in needed.items() if value is None]
        raise UsageError(f"camtrap_dp needs {', '.join(lacks)}: these are never made up")
    project, package = read_project(settings.project)
    deployments = read_deployments(settings.deployments, read_zone(settings.timezone))
    names = None if settings.names is None else read_scientific_names(settings.names)
    return Inputs(deployments, project, package, names)


def read_scientific_names(file: Path) -> dict[str, str]:
    """Read a table of two columns: a class, and its scientific name.

    Raises:
        UserError: it cannot be read, has another number of columns, or names a class twice.
    """
    frame = read_table(file).frame
    if frame.width != 2:
        raise UsageError(
            f"names={file}: has {frame.width} columns: write two, the class and its scientific name"
        )
    rows = frame.drop_nulls()
    twice = rows.filter(rows[frame.columns[0]].is_duplicated())
    if len(twice):
        raise UsageError(f"names={file}: the class {show(twice.item(0, 0), 60)!r} comes twice: keep one row")
    return dict(rows.iter_rows())


def write(results: Results, settings: ExportSettings) -> list[Path]:
    """Write the package into the folder `camtrap_dp`: three tables, then `datapackage.json`.

    Raises:
        UsageError: the site, the time or the deployment of a clip is unknown, or a name cannot be in it.
    """
    inputs = read_inputs(settings)
    results = _drop_timeless(results)
    table = results.table.with_columns(
        clock=pl.col("time").dt.truncate("1s"), duration=pl.col("duration").fill_null(0)
    )
    if unknown := int(results.table["duration"].null_count()):
        log.warning(f"camtrap_dp: the length of {tally(unknown, 'clips')} is unknown: each ends as it begins")
    own = inputs.deployments.assign(table.select("clip", "site", time="clock"))
    _say_odd_hours(table, inputs.deployments.zone)
    out = settings.out / FOLDER
    made = _Observations(results, settings, inputs, own)
    media = _list_media(table, settings, inputs, own)
    observations = [*made.list_of_clips(), *made.list_of_events()]
    _write_table(out / "deployments.csv", "deployments", [d.cells for d in inputs.deployments.rows])
    _write_table(out / "media.csv", "media", media)
    _write_table(out / "observations.csv", "observations", observations)
    write_json(out / "datapackage.json", _describe(inputs, observations))
    return [out]


def _drop_timeless(results: Results) -> Results:
    """Return the results without failed clips whose time or site is unknown; refuse others of these.

    Raises:
        UsageError: how many, and the first.
    """
    table = results.table.with_row_index("row")
    timeless = pl.col("time").is_null()
    failed = pl.col("status") == predictions.FAILED
    lacks = table.filter(timeless & ~failed)
    if len(lacks):
        raise UsageError(
            f"camtrap_dp: the time of {tally(len(lacks), 'clips')} is unknown, as {show(lacks['clip'][0])}: "
            "give sites=<table clip,site,time>, or index=<table of jungle index>"
        )
    left_out = timeless | (pl.col("site").is_null() if table["site"].null_count() < len(table) else False)
    lost = table.filter(failed & left_out)
    if not len(lost):
        return results
    log.warning(
        f"camtrap_dp leaves out {tally(len(lost), 'clips')} that could not be read and whose site or time is "
        f"unknown, as {show(lost['clip'][0])}"
    )
    kept = table.filter(~(failed & left_out)).with_row_index("new")
    place = dict(zip(kept["row"], kept["new"], strict=True))
    seen = results.seen.with_columns(pl.col("row").replace_strict(place, return_dtype=pl.UInt32))
    return Results(kept.drop("row", "new"), results.classes, results.task, seen)


def _say_odd_hours(table: pl.DataFrame, zone: dt.tzinfo) -> None:
    """Log how many clips are of an hour that the zone skips or has twice."""
    odd = 0
    for time in table["clock"]:
        at = time.replace(tzinfo=zone)
        odd += at.utcoffset() != at.replace(fold=1).utcoffset()
    if odd:
        log.warning(
            f"timezone={zone}: {tally(odd, 'clips are')} of an hour that this zone skips or has twice: their "
            "distance from UTC is the one before the change; if the cameras' clocks are never changed, give "
            "a zone such as +01:00"
        )


def _list_media(
    table: pl.DataFrame, settings: ExportSettings, inputs: Inputs, own: Sequence[Deployment]
) -> list[Row]:
    """Return the rows of media.csv.

    Raises:
        UsageError: a clip's name cannot be a path of the package.
    """
    refused = [c for c in table["clip"] if _REFUSED_PATH.search(c)] if settings.media_url is None else []
    if refused:
        raise UsageError(
            f"camtrap_dp: {tally(len(refused), 'clips have')} a name that the standard does not take, as "
            f"{show(refused[0])}: none may begin with '.', '/' or '~', or hold '..'; rename them, or give "
            "media_url=<address of the folder of the clips>"
        )
    methods = inputs.project["captureMethod"]
    method = methods[0] if isinstance(methods, list) and len(methods) == 1 else None
    zone = inputs.deployments.zone
    rows: list[Row] = []
    columns = table.select("clip", "clock", "status", "reason")
    for (clip, time, status, reason), deployment in zip(columns.iter_rows(), own, strict=True):
        name = PurePosixPath(clip).name
        failed = status == predictions.FAILED
        rows.append(
            {
                "mediaID": clip,
                "deploymentID": deployment.name,
                "captureMethod": method,
                "timestamp": time.replace(tzinfo=zone).isoformat(),
                "filePath": clip if settings.media_url is None else _join_url(settings.media_url, clip),
                "filePublic": "false",
                "fileName": name,
                "fileMediatype": find_media_type(name),
                "mediaComments": f"could not be read: {escape(reason)}" if failed else None,
            }
        )
    return rows


def _join_url(base: str, clip: str) -> str:
    return f"{base.rstrip('/')}/{quote(clip)}"


def find_media_type(name: str) -> str:
    """Return the media type of a video by its suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    guess = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or ""
    return guess if guess.startswith("video/") else "video/mp4"


class _Observations:
    """The rows of observations.csv."""

    def __init__(
        self, results: Results, settings: ExportSettings, inputs: Inputs, own: Sequence[Deployment]
    ) -> None:
        table = results.table.with_columns(
            deployment=pl.Series([d.name for d in own], dtype=pl.String),
            time=pl.col("time").dt.truncate("1s"),
        )
        self.table, self.results, self.zone = table, results, inputs.deployments.zone
        self.model = settings.model
        self.names = _match_scientific(results, inputs.scientific, settings.names)
        self.events = find_events(
            table, results.classes, site="deployment", task=results.task, gap_min=settings.gap_min
        )
        say_alone(self.events)
        found = zip(
            self.events.table["site"], self.events.table["start"].dt.strftime("%Y%m%dT%H%M%S"), strict=True
        )
        self.ids = [f"{deployment}_{start}" for deployment, start in found]

    def list_of_clips(self) -> list[Row]:
        """Return the rows of single clips: one a class that counts, else one that says why there is none."""
        seen: dict[int, list[tuple[str, float | None]]] = {}
        for row, name, p in self.results.seen.iter_rows():
            seen.setdefault(row, []).append((name, p))
        rows: list[Row] = []
        columns = self.table.select("clip", "deployment", "time", "duration", "status", "reason")
        probs = predictions.get_probabilities(self.table.select(self.results.classes))
        for i, (clip, deployment, time, duration, status, reason) in enumerate(columns.iter_rows()):
            start = time.replace(tzinfo=self.zone)
            common = {
                "deploymentID": deployment,
                "mediaID": clip,
                "eventID": self.ids[self.events.number_N[i]],
                "eventStart": start.isoformat(),
                "eventEnd": _add_seconds(start, duration or 0).isoformat(),
                "observationLevel": "media",
            }
            if status == predictions.FAILED:
                answers = [{"observationType": "unclassified", "observationComments": escape(reason)}]
            elif i in seen:
                answers = [self._describe(name, p) for name, p in seen[i]]
            else:
                best = int(probs[i].argmax())
                said = f"most probable: {self.results.classes[best]} ({probs[i, best]:.2f})"
                answers = [self._make_answer("unknown", None, float(probs[i, best]), comment=escape(said))]
            rows += [{**common, "observationID": f"{clip}#{n}", **a} for n, a in enumerate(answers, 1)]
        return rows

    def list_of_events(self) -> list[Row]:
        """Return the rows of events: one a class that counts in any of its clips.

        A class of empty clips is the answer only where all clips of the event that were read have it.
        """
        with_class: dict[int, list[tuple[str, int, float]]] = {}
        for event, name, clips, p in self.events.count_clips_with(self.results.seen).iter_rows():
            with_class.setdefault(event, []).append((name, clips, p))
        rows: list[Row] = []
        columns = self.events.table.select("site", "start", "end", "clips", "unread")
        for event, (deployment, start, end, clips, unread) in enumerate(columns.iter_rows()):
            counted = with_class.get(event, [])
            full = [c for c in counted if not is_blank(c[0])]
            empty = [c for c in counted if is_blank(c[0]) and c[1] == clips - unread]
            if full or empty:
                answers = [
                    {**self._describe(name, p), "observationTags": f"clipsWith:{n} | clips:{clips}"}
                    for name, n, p in full or empty
                ]
            elif unread < clips:
                answers = [self._make_answer("unknown", None, None)]
            else:
                answers = [{"observationType": "unclassified"}]
            begins = start.replace(tzinfo=self.zone)
            common = {
                "deploymentID": deployment,
                "eventID": self.ids[event],
                "eventStart": begins.isoformat(),
                "eventEnd": _add_seconds(begins, (end - start).total_seconds()).isoformat(),
                "observationLevel": "event",
            }
            rows += [
                {**common, "observationID": f"{self.ids[event]}#{n}", **a} for n, a in enumerate(answers, 1)
            ]
        return rows

    def _describe(self, name: str, probability: float | None) -> dict[str, Cell]:
        """Return the answer that a class counts."""
        scientific = self.names.get(name, name)
        kind = find_category(name)
        other = find_category(scientific)
        kind = other if kind == "animal" else kind
        return self._make_answer(
            kind, scientific if scientific != name or kind == "animal" else None, probability
        )

    def _make_answer(
        self, kind: str, scientific: str | None, probability: float | None, *, comment: str | None = None
    ) -> dict[str, Cell]:
        named = scientific if kind in ("animal", "human") else None
        return {
            "observationType": kind,
            "scientificName": named,
            "classificationMethod": "machine",
            "classifiedBy": self.model,
            "classificationProbability": None if probability is None else round(min(probability, 1.0), 6),
            "observationComments": comment,
        }


def _add_seconds(start: dt.datetime, seconds: float) -> dt.datetime:
    """Return a later time, in whole seconds, with the same distance from UTC."""
    fixed = start.replace(tzinfo=dt.timezone(start.utcoffset() or dt.timedelta()))
    return fixed + dt.timedelta(seconds=round(seconds))


def _match_scientific(results: Results, table: Mapping[str, str] | None, file: Path | None) -> dict[str, str]:
    """Return the scientific name of each class; without a table, or a row in it, the class's own name."""
    names = [n for n in {*results.classes, *results.seen["name"]} if find_category(n) == "animal"]
    found = match_names(names, list(table)).known if table is not None else {}
    if lacks := sorted(n for n in names if n not in found):
        listed = ", ".join(show(n, 40) for n in lacks[:5]) + (
            f" and {len(lacks) - 5} more" if len(lacks) > 5 else ""
        )
        fix = suggest(lacks[0], table).rstrip(".") if table else " Give names=<table class,scientificName>"
        log.warning(
            f"{'camtrap_dp' if file is None else f'names={file}'}: {tally(len(lacks), 'classes have')} no "
            f"scientific name, and their own is written: {listed}.{fix}"
        )
    return {name: (table or {})[of] for name, of in found.items()}


def _write_table(path: Path, table: str, rows: Sequence[Row]) -> None:
    """Write a table with all columns of its schema, in their order, each cell as programs read it."""
    columns = [field["name"] for field in read_fields(table)]
    cells = {c: [None if (v := row.get(c)) is None else str(v) for row in rows] for c in columns}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    write_text(path, frame.write_csv())


def _describe(inputs: Inputs, observations: Sequence[Row]) -> dict[str, object]:
    """Return the content of datapackage.json."""
    rows = inputs.deployments.rows
    species = sorted({str(o["scientificName"]) for o in observations if o.get("scientificName")})
    title = str(inputs.project["title"])
    return {
        "resources": [
            {
                "name": name,
                "path": f"{name}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": f"{PUBLISHED}/{name}-table-schema.json",
            }
            for name in ("deployments", "media", "observations")
        ],
        "profile": f"{PUBLISHED}/{PROFILE}",
        "name": re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "camera-traps",
        "created": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "title": title,
        "sources": [{"title": "Jungle", "version": __version__}],
        **inputs.package,
        "project": dict(inputs.project),
        "spatial": _make_geometry(inputs.deployments),
        "temporal": {
            "start": min(d.start for d in rows).date().isoformat(),
            "end": max(d.end for d in rows).date().isoformat(),
        },
        "taxonomic": [{"scientificName": name} for name in species],
    }


def _make_geometry(deployments: Deployments) -> dict[str, object]:
    """Return the rectangle around the deployments as GeoJSON; their points where that has no area."""
    points = sorted(
        {(float(d.cells["longitude"] or 0), float(d.cells["latitude"] or 0)) for d in deployments.rows}
    )
    (west, *_, east), (south, *_, north) = (sorted(c) * 2 for c in zip(*points, strict=True))
    if west == east or south == north:
        return {"type": "MultiPoint", "coordinates": [list(p) for p in points]}
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[list(p) for p in corners]]}
