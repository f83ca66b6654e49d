"""Camtrap DP: valid by frictionless and the published schemas, and what each table says."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from frictionless import Package

from jungle.errors import UsageError
from jungle.export import ExportSettings, camtrap_dp, write_exports
from jungle.export.camtrap_dp_schema import FOLDER
from tests.export.folder import CASES, Case, make_folder, with_facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camtrap")
    make_folder(root, cases=())
    return root


def settings_of(folder: Path, out: Path, **more: object) -> ExportSettings:
    given = {
        **{"deployments": folder / "deployments.csv", "timezone": "Europe/Berlin"},
        **{"project": folder / "project.yaml", "model": "jungle 1, checkpoint ab", **more},
    }
    return ExportSettings(formats=("camtrap_dp",), out=out, **given)  # type: ignore[arg-type]


def export(folder: Path, out: Path, cases: tuple[Case, ...] = CASES, **more: object) -> Path:
    (found,) = write_exports(folder, with_facts(cases), settings_of(folder, out, **more))
    return found[1]


def tables(package: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    media, observations = (
        pl.read_csv(package / f"{name}.csv", infer_schema=False) for name in ("media", "observations")
    )
    return media, observations


def validate(package: Path) -> list[object]:
    """Return what frictionless finds, with the published schemas that the package names."""
    content = json.loads((package / "datapackage.json").read_text())
    for resource in content["resources"]:
        name = resource["name"]
        address = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2"
        assert resource["schema"] == f"{address}/{name}-table-schema.json"
        resource["schema"] = json.loads((FOLDER / f"{name}-table-schema.json").read_text())
    content["profile"] = "data-package"  # the rest of the profile is checked below, without a network
    report = Package.from_descriptor(content, basepath=str(package)).validate()
    return report.flatten(["type", "rowNumber", "fieldName", "message"])


def profile_faults(package: Path) -> list[str]:
    """Return what the published profile finds in datapackage.json."""
    import frictionless
    from jsonschema import Draft4Validator

    profile = json.loads((FOLDER / "camtrap-dp-profile.json").read_text())
    assets = Path(frictionless.__file__).parent / "assets" / "profiles"
    geojson = json.loads((assets / "geojson.json").read_text())
    own = profile["allOf"][1] | {"$defs": profile["$defs"]}
    own["properties"]["spatial"] = geojson | {"id": "geojson"}
    content = json.loads((package / "datapackage.json").read_text())
    return [e.message for e in Draft4Validator(own).iter_errors(content)]


def test_it_is_valid(folder: Path, tmp_path: Path) -> None:
    package = export(folder, tmp_path)
    assert validate(package) == []
    assert profile_faults(package) == []


def test_a_broken_package_is_found(folder: Path, tmp_path: Path) -> None:
    """The checks above see what they are for."""
    package = export(folder, tmp_path)
    file = package / "media.csv"
    file.write_text(file.read_text().replace("N1", "N9", 1).replace("video/mp4", "mp4", 1))
    assert {found[0] for found in validate(package)} == {"foreign-key", "constraint-error"}  # type: ignore[index]
    file = package / "datapackage.json"
    file.write_text(file.read_text().replace("systematicRandom", "systematic"))
    assert any("'systematic' is not one of" in fault for fault in profile_faults(package))


def test_media_and_observations_of_clips(folder: Path, tmp_path: Path) -> None:
    media, observations = tables(export(folder, tmp_path))
    assert media["mediaID"].to_list() == [c.clip for c in CASES]
    assert media["filePath"].to_list() == [c.clip for c in CASES]
    assert media["deploymentID"].to_list() == ["N1"] * 3 + ["S1"] * 3
    assert media["timestamp"][0] == "2024-05-01T10:00:00+02:00"
    assert media["captureMethod"][0] == "activityDetection"
    assert media["mediaComments"].to_list() == [None] * 5 + ["could not be read: the file is no video"]
    clips = observations.filter(observationLevel="media")
    assert clips.select(
        "mediaID", "observationType", "scientificName", "classificationProbability"
    ).rows() == [
        ("north/a.mp4", "animal", "lion", "0.8"),
        ("north/b.mp4", "blank", None, "0.6"),
        ("north/c.mp4", "blank", None, "0.9"),
        ("south/a.mp4", "animal", "hog", "0.7"),
        ("south/d.mp4", "unknown", None, "0.4"),
        ("south/bad.mp4", "unclassified", None, None),
    ]
    assert clips["eventEnd"][0] == "2024-05-01T10:00:02+02:00"
    assert set(clips["classifiedBy"][:5]) == {"jungle 1, checkpoint ab"}
    assert clips["observationComments"].to_list()[4:] == [
        "most probable: blank (0.40)",
        "the file is no video",
    ]


def test_observations_of_events(folder: Path, tmp_path: Path) -> None:
    _, observations = tables(export(folder, tmp_path))
    events = observations.filter(observationLevel="event")
    assert events.select(
        "eventStart", "eventEnd", "observationType", "scientificName", "observationTags"
    ).rows() == [
        *(
            (f"2024-05-01T{start}+02:00", f"2024-05-01T{end}+02:00", *answer)
            for start, end, *answer in (
                ("10:00:00", "10:20:02", "animal", "lion", "clipsWith:1 | clips:2"),
                ("11:30:00", "11:30:02", "blank", None, "clipsWith:1 | clips:1"),
                ("10:05:00", "10:15:02", "animal", "hog", "clipsWith:1 | clips:3"),
            )
        )
    ]
    assert events["mediaID"].null_count() == 3
    assert set(events["eventID"]) == set(observations.filter(observationLevel="media")["eventID"])


def test_an_event_of_empty_and_unsure_clips_is_not_empty(folder: Path, tmp_path: Path) -> None:
    cases = (
        Case("a.mp4", "north", "2024-05-01 10:00:00", (0.9, 0.05, 0.05)),
        Case("b.mp4", "north", "2024-05-01 10:01:00", (0.4, 0.3, 0.3)),
        Case("c.mp4", "south", "2024-05-01 10:01:00", None),
    )
    _, observations = tables(export(folder, tmp_path, cases))
    events = observations.filter(observationLevel="event")
    assert events["observationType"].to_list() == ["unknown", "unclassified"]


def test_scientific_names_are_the_users(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = tmp_path / "names.csv"
    names.write_text("class;name\nLion;Panthera leo\nhogg;Sus scrofa\nwolf;Canis lupus\n")
    with caplog.at_level("WARNING", "jungle"):
        package = export(folder, tmp_path, names=names)
    _, observations = tables(package)
    assert set(observations["scientificName"].drop_nulls()) == {"Panthera leo", "hog"}
    assert "1 class has no scientific name, and their own is written: hog. Nearest: hogg" in caplog.text
    content = json.loads((package / "datapackage.json").read_text())
    assert content["taxonomic"] == [{"scientificName": "Panthera leo"}, {"scientificName": "hog"}]
    assert validate(package) == []


def test_people_and_vehicles_have_types_of_their_own(folder: Path, tmp_path: Path) -> None:
    table = with_facts(CASES[:1], classes=("Person", "car", "unknown"))
    for threshold, expected in ((0.5, "unknown"), (0.05, "unknown")):
        write_exports(folder, table, settings_of(folder, tmp_path, threshold=threshold))
        assert tables(tmp_path / "camtrap_dp")[1]["observationType"][0] == expected
    write_exports(folder, table, settings_of(folder, tmp_path, threshold=0.05, task="multilabel"))
    assert tables(tmp_path / "camtrap_dp")[1]["observationType"].to_list()[:3] == [
        "human",
        "vehicle",
        "unknown",
    ]


def test_what_only_the_user_knows_is_asked_for_at_once(tmp_path: Path) -> None:
    settings = ExportSettings(formats=("camtrap_dp",), out=tmp_path)
    with pytest.raises(UsageError, match=r"needs deployments=.*timezone=.*project=.*never made up"):
        write_exports(tmp_path, with_facts(CASES), settings)
    assert list(tmp_path.iterdir()) == []


def test_clips_without_a_time_or_a_site_are_refused(folder: Path, tmp_path: Path) -> None:
    no_time = (replace(CASES[0], time=""), *CASES[1:])
    with pytest.raises(UsageError, match=r"the time of 1 clip is unknown, as north/a.mp4: give sites="):
        export(folder, tmp_path, no_time)
    no_site = (replace(CASES[0], site=""), *CASES[1:])
    with pytest.raises(UsageError, match=r"the site of 1 clip is unknown, as north/a.mp4: give sites="):
        export(folder, tmp_path, no_site)


def test_a_failed_clip_without_a_time_is_left_out_and_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = (replace(CASES[5], time=""), *CASES[:5])
    with caplog.at_level("WARNING", "jungle"):
        package = export(folder, tmp_path, cases)
    media, observations = tables(package)
    assert media["mediaID"].to_list() == [c.clip for c in CASES[:5]]
    first = observations.row(0, named=True)
    assert (first["mediaID"], first["scientificName"]) == (
        "north/a.mp4",
        "lion",
    )  # rows have moved, answers with them
    assert (
        "leaves out 1 clip that could not be read and whose site or time is unknown, as south/bad"
        in caplog.text
    )
    assert validate(package) == []


@pytest.mark.parametrize("name", ["a..b.mp4", ".hidden/a.mp4", "/a.mp4", "~a.mp4"])
def test_names_that_the_standard_does_not_take(folder: Path, tmp_path: Path, name: str) -> None:
    cases = (replace(CASES[0], clip=name),)
    with pytest.raises(UsageError, match="1 clip has a name that the standard does not take"):
        export(folder, tmp_path, cases)


def test_clips_that_are_online(folder: Path, tmp_path: Path) -> None:
    package = export(
        folder, tmp_path, (replace(CASES[0], clip="a b/ü.mp4"),), media_url="https://x.org/clips/"
    )
    media, _ = tables(package)
    assert media["filePath"][0] == "https://x.org/clips/a%20b/%C3%BC.mp4"
    assert validate(package) == []


def test_an_hour_that_the_zone_has_twice(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deployments = tmp_path / "deployments.csv"
    deployments.write_text((folder / "deployments.csv").read_text().replace("2024-05-31", "2024-12-31"))
    cases = (
        replace(CASES[0], time="2024-10-27 02:30:00"),
        replace(CASES[1], time="2024-10-27 03:30:00"),
        replace(CASES[2], time="2024-10-27 01:59:59.5"),
    )
    with caplog.at_level("WARNING", "jungle"):
        package = export(folder, tmp_path, cases, deployments=deployments)
    media, _ = tables(package)
    assert [t[-14:] for t in media["timestamp"]] == ["02:30:00+02:00", "03:30:00+01:00", "01:59:59+02:00"]
    assert "1 clip is of an hour that this zone skips or has twice" in caplog.text
    assert validate(package) == []


def test_one_deployment_is_that_of_all_clips(folder: Path, tmp_path: Path) -> None:
    deployments = tmp_path / "one.csv"
    deployments.write_text("\n".join((folder / "deployments.csv").read_text().splitlines()[:2]))
    cases = tuple(replace(c, site="") for c in CASES)
    package = export(folder, tmp_path, cases, deployments=deployments)
    assert set(tables(package)[0]["deploymentID"]) == {"N1"}
    assert json.loads((package / "datapackage.json").read_text())["spatial"] == {
        "type": "MultiPoint",
        "coordinates": [[13.4, 52.5]],
    }
    assert (validate(package), profile_faults(package)) == ([], [])


def test_project_file_is_checked(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project.yaml"
    text = (folder / "project.yaml").read_text()
    for change, said in (
        (
            ("samplingDesign: systematicRandom\n", ""),
            "it lacks samplingDesign .one of simpleRandom, systematic",
        ),
        (("systematicRandom", "systematic"), "'systematic' is not valid. Nearest: systematicRandom"),
        (
            ("individualAnimals", "individualAnimal"),
            "no 'individualAnimal' in it. Nearest: individualAnimals",
        ),
        (("role: contact", "role: boss"), "role: 'boss' is not valid"),
        (("[activityDetection]", "motion"), "captureMethod: 'motion' is not valid. Valid: activityDetection"),
        (("false", "no idea"), "individualAnimals: true where animals are marked"),
        (("title: Lions of the Havel\n", "package: {licenses: [{name: x}]}\ntitle: L\n"), "with scope: data"),
    ):
        assert change[0] in text
        project.write_text(text.replace(*change))
        with pytest.raises(UsageError, match=said):
            export(folder, tmp_path, project=project)
    project.write_text(f"package: {{version: '2', keywords: [lion]}}\n{text}")
    content = json.loads((export(folder, tmp_path, project=project) / "datapackage.json").read_text())
    assert (content["version"], content["keywords"]) == ("2", ["lion"])


@pytest.mark.shared
def test_the_schemas_are_those_that_were_published() -> None:
    published = Path(camtrap_dp.__file__).parents[4] / "shared" / "data" / "camtrap-dp-1.0.2"
    if not published.is_dir():
        pytest.skip("the published files are not here")
    for file in FOLDER.glob("*"):
        assert file.read_bytes() == (published / file.name).read_bytes()
