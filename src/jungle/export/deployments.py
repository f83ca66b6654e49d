"""Deployments of cameras, from a user's table, and the one that each clip belongs to."""

import datetime as dt
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.formats.times import read_times
from jungle.data.table_io import Table, read_table
from jungle.data.text import clean_name, fold_site, match_names
from jungle.errors import UsageError, suggest
from jungle.export.camtrap_dp_schema import find_fault, read_fields
from jungle.names import show
from jungle.wording import tally

SITE_COLUMNS = ("site", "locationName", "locationID", "deploymentID", "cameraID")
"""Where the name of a clip's site is looked for; the first column that knows the most sites is taken."""
DAY = re.compile(r"\d{4}-\d\d-\d\d")
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
LAST_SECOND = dt.timedelta(days=1, seconds=-1)


def read_zone(name: str) -> dt.tzinfo:
    """Return a time zone: a name such as `Europe/Berlin`, or a distance from UTC such as `+02:00`.

    Raises:
        UsageError: there is no such zone.
    """
    if name in ("UTC", "Z"):
        return dt.UTC
    if found := OFFSET.fullmatch(name):
        distance = dt.timedelta(hours=int(found[2]), minutes=int(found[3]))
        if distance < dt.timedelta(days=1):
            return dt.timezone(-distance if found[1] == "-" else distance)
    try:
        if name in (known := zoneinfo.available_timezones()):
            return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        known = set()
    cities = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(known)}
    near = cities.get(name.strip().replace(" ", "_").casefold())
    hint = f" Nearest: {near}." if near else suggest(name, known)
    raise UsageError(f"timezone={show(name, 60)}: there is no such zone.{hint} Or give +02:00")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One placement of a camera: its row of the table, and when it began and ended."""

    name: str
    start: dt.datetime
    end: dt.datetime
    cells: dict[str, str | None]
    """All columns of the standard, as text."""
    sites: tuple[str | None, ...]
    """Of `SITE_COLUMNS`."""


@dataclass(frozen=True, slots=True)
class Deployments:
    """A table of deployments."""

    file: Path
    rows: tuple[Deployment, ...]
    zone: dt.tzinfo

    def assign(self, clips: pl.DataFrame) -> list[Deployment]:
        """Return the deployment of each clip, by its site and time.

        A table of a single deployment takes clips without a site, too.

        Args:
            clips: columns clip, site and time (the camera's clock), none null but site.

        Raises:
            UsageError: no deployment has a clip's site, or covers its time, or several do.
        """
        by_site = self._group_by_site(clips)
        found: list[Deployment] = []
        uncovered: list[tuple[str, str, dt.datetime, str]] = []
        for clip, site, time in clips.select("clip", "site", "time").iter_rows():
            at = time.replace(tzinfo=self.zone)
            here = by_site[site]
            fits = [d for d in here if d.start <= at <= d.end]
            if len(fits) == 1:
                found.append(fits[0])
                continue
            said = ", ".join(f"{d.name} from {d.start.isoformat()} to {d.end.isoformat()}" for d in here[:3])
            said += f" and {len(here) - 3} more" if len(here) > 3 else ""
            uncovered.append((clip, "several cover" if fits else "none covers", time, said))
        if uncovered:
            clip, how, time, said = uncovered[0]
            more = f" (and {tally(len(uncovered) - 1, 'clips')} more)" if len(uncovered) > 1 else ""
            raise UsageError(
                f"deployments={self.file}: {how} {time} of the clip {show(clip)}{more}; those of its site "
                f"are {show(said, 400)}: correct the table, or the times of the clips (sites=<table "
                "clip,site,time>)"
            )
        return found

    def _group_by_site(self, clips: pl.DataFrame) -> dict[str | None, list[Deployment]]:
        """Return the deployments of each site of the clips."""
        sites = clips["site"].unique(maintain_order=True).to_list()
        if len(self.rows) == 1 and clips["site"].null_count() == len(clips):
            log.info(f"deployments={self.file}: its one deployment is that of all clips, which have no site")
            return {None: list(self.rows)}
        nowhere = clips.filter(pl.col("site").is_null())
        if len(nowhere):
            raise UsageError(
                f"camtrap_dp: the site of {tally(len(nowhere), 'clips')} is unknown, as "
                f"{show(nowhere['clip'][0])}: give sites=<table clip,site,time>"
            )
        best: dict[str | None, list[Deployment]] = {}
        named: list[str] = []
        for column in range(len(SITE_COLUMNS)):
            groups: dict[str, list[Deployment]] = {}
            for row in self.rows:
                if (site := row.sites[column]) is not None:
                    groups.setdefault(fold_site(site), []).append(row)
            here = {site: groups[fold_site(site)] for site in sites if fold_site(site) in groups}
            if len(here) > len(best):
                best = dict(here)
            named += [s for row in self.rows if (s := row.sites[column]) is not None]
        if lost := [s for s in sites if s not in best]:
            first = clips.filter(pl.col("site") == lost[0])
            more = f", and {tally(len(lost) - 1, 'sites')} more" if len(lost) > 1 else ""
            raise UsageError(
                f"deployments={self.file}: no deployment of the site {show(lost[0], 40)!r} "
                f"({tally(len(first), 'clips')}, as {show(first['clip'][0])}){more}."
                f"{suggest(lost[0], dict.fromkeys(named))}"
            )
        return best


def read_deployments(file: Path, zone: dt.tzinfo) -> Deployments:
    """Read a table with the columns that Camtrap DP has for deployments, and maybe `site`.

    Times without a zone are of `zone`; a day without a time is the whole day.

    Raises:
        UserError: it cannot be read, a column is missing, or a value is not one of its column's.
    """
    table = read_table(file)
    fields = read_fields("deployments")
    known = [*(f["name"] for f in fields), "site"]
    columns = {of: name for name, of in match_names(table.frame.columns, known).known.items()}
    extra = [c for c in table.frame.columns if c not in columns.values()]
    required = [f["name"] for f in fields if f.get("constraints", {}).get("required")]
    if lost := [name for name in required if name not in columns]:
        raise UsageError(
            f"deployments={file}: it lacks the column{'s' if len(lost) > 1 else ''} {', '.join(lost)}."
            f"{suggest(lost[0], extra) if extra else ''} These are never made up: add them to the table"
        )
    if extra:
        log.warning(
            f"deployments={file}: columns that Camtrap DP does not have are left out: "
            + ", ".join(f"{show(c, 40)} ({_find_near(c, known)})" for c in extra[:5])
        )
    if not table.frame.height:
        raise UsageError(f"deployments={file}: has no row: write one for each placement of a camera")
    cells = {of: table.frame[name].to_list() for of, name in columns.items()}
    for field in fields:
        if field["name"] in cells and (fault := find_fault(field, cells[field["name"]])):
            row, why = fault
            raise UsageError(f"deployments={file}: {table.place(row)}: {columns[field['name']]}: {why}")
    _check_unique(file, table, cells["deploymentID"])
    starts = _read_times(file, table, columns["deploymentStart"], zone)
    ends = _read_times(file, table, columns["deploymentEnd"], zone, end=True)
    rows: list[Deployment] = []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if end < start:
            raise UsageError(f"deployments={file}: {table.place(i)}: deploymentEnd is before deploymentStart")
        own = {name: cells[name][i] if name in cells else None for name in known}
        sites = tuple(None if own[c] is None else clean_name(str(own[c])) for c in SITE_COLUMNS)
        own |= {"deploymentStart": start.isoformat(), "deploymentEnd": end.isoformat()}
        rows.append(Deployment(str(own["deploymentID"]), start, end, own, sites))
    return Deployments(file, tuple(rows), zone)


def _find_near(column: str, known: Sequence[str]) -> str:
    near = suggest(column, known, 1)
    return f"nearest: {near.split(': ')[1].rstrip('.')}" if near.startswith(" Nearest") else "unknown"


def _check_unique(file: Path, table: Table, ids: Sequence[str | None]) -> None:
    seen: set[str | None] = set()
    for row, name in enumerate(ids):
        if name in seen:
            raise UsageError(
                f"deployments={file}: {table.place(row)}: deploymentID {show(name, 60)!r} comes twice: give "
                "each placement of a camera an id of its own"
            )
        seen.add(name)


def _read_times(
    file: Path, table: Table, column: str, zone: dt.tzinfo, *, end: bool = False
) -> list[dt.datetime]:
    """Read a column of times; a day alone is its first second, or its last one where `end` is set."""
    found: list[dt.datetime] = []
    texts = table.frame[column].to_list()
    plain = read_times(table.frame[column])  # one pattern for the whole column
    days = 0
    for row, text in enumerate(texts):
        day = DAY.fullmatch(text) is not None
        days += day
        value = plain[row] if isinstance(plain[row], dt.datetime) else None
        try:
            value = value or dt.datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"deployments={file}: {table.place(row)}: {column}: {show(text, 40)!r} is not a time that "
                "can be read in one way only: write 2024-05-30 14:05:00, or 2024-05-30T14:05:00+02:00"
            ) from None
        value = value.replace(microsecond=0) + (LAST_SECOND if day and end else dt.timedelta())
        found.append(value if value.tzinfo is not None else value.replace(tzinfo=zone))
    if days:
        log.info(f"deployments={file}: days in {column} without a time are taken as whole days")
    return found
