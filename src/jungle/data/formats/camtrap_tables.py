"""Tables of a Camtrap DP package: `datapackage.json` names its deployments, media and observations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ValidationError

from jungle.data.formats.observed import read_json
from jungle.data.paths import name_clips
from jungle.data.table_io import Table, read_table
from jungle.data.text import match_names
from jungle.data.validation_report import Problems
from jungle.errors import UserError, suggest
from jungle.names import show

DESCRIPTION = "datapackage.json"
COLUMNS = {
    "deployments": ("deploymentID",),
    "media": ("mediaID", "deploymentID", "timestamp", "filePath"),
    "observations": ("deploymentID", "observationLevel", "observationType"),
}
"""Resources that are read, and the columns without which they cannot be."""
MORE = {
    "deployments": ("locationID", "timestampIssues"),
    "media": ("fileName", "fileMediatype"),
    "observations": (
        "mediaID",
        "eventID",
        "eventStart",
        "eventEnd",
        "scientificName",
        "classificationMethod",
    ),
}
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
ZONE = r"(?i)(Z|[+-]\d\d:?\d\d)$"
PROFILE = re.compile(r"camtrap-dp/(\d[\w.-]*)/")


class _Resource(BaseModel):
    """A table of the package."""

    name: str = ""
    path: str | list[str] | None = None


class _Description(BaseModel):
    """What is read of `datapackage.json`."""

    resources: list[_Resource]
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """The tables of a package, each with a column for each name of `COLUMNS` and `MORE`."""

    deployments: Table
    media: Table
    observations: Table


def open_package(root: Path) -> Package:
    """Return the tables of the package in a folder.

    Raises:
        UserError: it has no description or lacks a table, or one lies elsewhere.
    """
    file = root / DESCRIPTION
    if not file.is_file():
        near = sorted(found.parent for found in root.glob(f"*/{DESCRIPTION}"))[:3]
        hint = f" Nearest: data.root={' or data.root='.join(map(show, near))}" if near else ""
        raise UserError(f"data.root={root}: no {DESCRIPTION} in it: give the folder of a Camtrap DP.{hint}")
    try:
        description = _Description.model_validate(read_json(file))
    except ValidationError as e:
        first = e.errors()[0]
        raise UserError(
            f"{file}: not the description of a package ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        ) from None
    if (version := PROFILE.search(description.profile)) and not version[1].startswith("1."):
        raise UserError(
            f"{file}: Camtrap DP {version[1]}; 1.0 can be read: export it again as 1.0, for example with the "
            "R package camtrapdp"
        )
    found = {resource.name: resource for resource in description.resources}
    tables = {}
    for name, required in COLUMNS.items():
        if name not in found:
            raise UserError(f"{file}: no resource is named {name}.{suggest(name, found)}")
        tables[name] = _read_resource(root, name, found[name], required)
    return Package(**tables)


def _read_resource(root: Path, name: str, resource: _Resource, required: Sequence[str]) -> Table:
    """Return a table of the package.

    Raises:
        UserError: it lies outside the package, cannot be read or lacks a column.
    """
    given = resource.path if isinstance(resource.path, list) else [resource.path]
    where = f"{root / DESCRIPTION}: resource {name}"
    if len(given) != 1 or not given[0]:
        raise UserError(f"{where}: {len([p for p in given if p])} paths; give it the path of one CSV file")
    place = name_clips(pl.Series([given[0]], dtype=pl.String), root, say=False)
    path = Path(place.path[0] or root)
    inside = path.resolve().is_relative_to(root.resolve())
    if place.clip[0] is None or "://" in given[0] or not inside:
        raise UserError(
            f"{where}: {show(given[0], 80)}: only files within the package's folder are read: put it there"
        )
    table = read_table(path)
    headings = match_names([*required, *MORE[name]], table.frame.columns).known
    if lost := [column for column in required if column not in headings]:
        raise UserError(f"{table.path}: no column {lost[0]}.{suggest(lost[0], table.frame.columns)}")
    columns = [
        (pl.col(headings[c]) if c in headings else pl.lit(None, dtype=pl.String)).alias(c)
        for c in (*required, *MORE[name])
    ]
    return Table(table.path, table.frame.select(columns), table.lines)


def report_rows(table: Table, column: str, rows: pl.Series, what: str, fix: str, problems: Problems) -> None:
    """Add the rows of a table where `rows` is true to `problems`."""
    found = rows.arg_true().to_list()
    text = table.frame[column]
    problems.add(
        what,
        [f"{show(text[i], 60) if text[i] is not None else ''} ({table.place(i)})".strip() for i in found[:5]],
        fix,
        count=len(found),
    )


def read_times(
    table: Table, column: str, timezone: str | None, problems: Problems
) -> tuple[pl.Series, pl.Series]:
    """Return the times of a column on the camera's clock, and as moments in UTC; null where there is none.

    A time is taken as it is written, without its offset; `timezone` moves all that have an offset to a zone.
    A time without an offset is taken for one of UTC where moments are compared.
    """
    text = table.frame[column]
    parts = [TIME.fullmatch(cell) if cell is not None else None for cell in text]
    local = pl.Series("time", [f"{p[1]} {p[2]}" if p else None for p in parts], dtype=pl.String)
    seconds = pl.select(pl.when(local.str.len_chars() == 16).then(local + ":00").otherwise(local)).to_series()
    clock = seconds.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us").alias("time")
    zones = [(p[3] or "").upper() if p else "" for p in parts]
    offsets = pl.Series([_parse_offset(zone) for zone in zones], dtype=pl.Int64)
    moments = clock - (offsets * 60_000_000).cast(pl.Duration("us"))
    wrong = text.is_not_null() & clock.is_null()
    report_rows(
        table,
        column,
        wrong,
        f"rows have a {column} that is no time",
        "Write it as the standard does: 2020-05-30T04:57:37+02:00.",
        problems,
    )
    zoned = pl.Series([bool(zone) for zone in zones], dtype=pl.Boolean)
    if zoned.any():
        report_rows(
            table,
            column,
            ~zoned & clock.is_not_null(),
            f"rows have a {column} without a time zone",
            "Others have one: write it as the standard does, 2020-05-30T04:57:37+02:00.",
            problems,
        )
    if timezone is not None:
        moved = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.replace_time_zone(None)
        clock = pl.select(pl.when(zoned).then(moved).otherwise(clock).alias("time")).to_series()
    return clock, moments


def _parse_offset(zone: str) -> int:
    """Return the minutes of an offset such as `+02:00`; 0 for Z and for none."""
    if zone in ("", "Z"):
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return -minutes if zone[0] == "-" else minutes
