"""The user's deployments: what is refused, in one line, with the nearest right thing."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from jungle.errors import UsageError
from jungle.export.deployments import read_deployments, read_zone
from tests.export.folder import DEPLOYMENTS

BERLIN = read_zone("Europe/Berlin")


def write(tmp_path: Path, text: str = DEPLOYMENTS) -> Path:
    file = tmp_path / "deployments.csv"
    file.write_text(text)
    return file


def clips(*rows: tuple[str | None, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "clip": [f"{i}.mp4" for i in range(len(rows))],
            "site": [site for site, _ in rows],
            "time": [dt.datetime.fromisoformat(time) for _, time in rows],
        },
        schema_overrides={"site": pl.String},
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Berln", "Nearest: Europe/Berlin"),
        ("berlin", "Nearest: Europe/Berlin"),
        ("new york", "Nearest: America/New_York"),
        ("+99:00", "there is no such zone"),
        ("../etc/passwd", "there is no such zone"),
        ("", "there is no such zone"),
    ],
)
def test_a_zone_that_does_not_exist(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_zone(name)


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("Z", 0), ("+02:00", 2), ("-0330", -3.5), ("Asia/Tokyo", 9)]
)
def test_zones(name: str, hours: float) -> None:
    at = dt.datetime(2024, 5, 1, tzinfo=read_zone(name))
    assert at.utcoffset() == dt.timedelta(hours=hours)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("latitude", "lattitude"), "it lacks the column latitude. Nearest: lattitude"),
        (("latitude,longitude", "lat,lon"), "it lacks the columns latitude, longitude."),
        (
            ("52.5", "95"),
            "line 2: latitude: '95' is not|line 2: latitude: '95': write a number from -90 to 90",
        ),
        (("52.5", '"52,5"'), "line 2: latitude: '52,5': write a number, with a point"),
        (("52.4", ""), "line 3: latitude: is empty"),
        (("S1", "N1"), "line 3: deploymentID 'N1' comes twice"),
        (("2024-05-31", "03/04/2024"), "line 2: deploymentEnd: '03/04/2024' is not a time that can be read"),
        (("2024-05-31", "2023-05-31"), "line 2: deploymentEnd is before deploymentStart"),
        (("cameraModel", "featureType"), "line 2: featureType: 'Reconyx-HF2X' is not valid"),
        (("cameraModel", "baitUse"), "line 2: baitUse: 'Reconyx-HF2X': write true or false"),
        (("cameraModel", "cameraTilt"), "line 2: cameraTilt: 'Reconyx-HF2X': write a number"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in DEPLOYMENTS
    with pytest.raises(UsageError, match=said) as error:
        read_deployments(write(tmp_path, DEPLOYMENTS.replace(*change, 1)), BERLIN)
    assert "\n" not in str(error.value)


def test_an_unknown_column_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "jungle"):
        read_deployments(write(tmp_path, DEPLOYMENTS.replace("cameraModel", "cameraModl")), BERLIN)
    assert (
        "columns that Camtrap DP does not have are left out: cameraModl (nearest: cameraModel)" in caplog.text
    )


def test_a_table_of_a_spreadsheet(tmp_path: Path) -> None:
    """Semicolons, headings in another spelling, days alone, times of another zone."""
    text = (
        "Deployment ID;LATITUDE;longitude;deployment_start;Deployment End;site\n"
        "N1;52.5;13.4;2024-04-01;2024-05-31;north\n"
        "S1;52.5;13.4;2024-04-01T00:00:00Z;2024-05-31;south\n"
    )
    first, second = read_deployments(write(tmp_path, text), BERLIN).rows
    assert (first.cells["deploymentStart"], first.cells["deploymentEnd"]) == (
        "2024-04-01T00:00:00+02:00",
        "2024-05-31T23:59:59+02:00",
    )
    assert second.cells["deploymentStart"] == "2024-04-01T00:00:00+00:00"


def test_a_clip_belongs_to_the_deployment_of_its_site_and_time(tmp_path: Path) -> None:
    text = DEPLOYMENTS + "N2,North ,52.5,13.4,2024-06-01,2024-06-30,\n"
    found = read_deployments(write(tmp_path, text), BERLIN)
    rows = clips(
        ("north", "2024-05-31 23:59:59"), ("NORTH", "2024-06-01 00:00:00"), ("south", "2024-06-01 09:00:00")
    )
    assert [d.name for d in found.assign(rows)] == ["N1", "N2", "S1"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [("nort", "2024-05-01 10:00:00")],
            "no deployment of the site 'nort' .1 clip, as 0.mp4.. Nearest: north",
        ),
        (
            [("north", "2024-05-01 10:00:00"), ("north", "2024-06-01 10:00:00")],
            "none covers 2024-06-01 10:00:00 of the clip 1.mp4; those of its site are N1 from 2024-04-01T",
        ),
        ([(None, "2024-05-01 10:00:00")], "the site of 1 clip is unknown, as 0.mp4: give sites="),
    ],
)
def test_a_clip_that_no_deployment_covers(
    tmp_path: Path, rows: list[tuple[str | None, str]], said: str
) -> None:
    found = read_deployments(write(tmp_path), BERLIN)
    with pytest.raises(UsageError, match=said):
        found.assign(clips(*rows))


def test_deployments_that_overlap(tmp_path: Path) -> None:
    text = DEPLOYMENTS + "N2,north,52.5,13.4,2024-05-31,2024-06-30,\n"
    found = read_deployments(write(tmp_path, text), BERLIN)
    with pytest.raises(UsageError, match="several cover 2024-05-31 10:00:00 of the clip"):
        found.assign(clips(("north", "2024-05-31 10:00:00")))
