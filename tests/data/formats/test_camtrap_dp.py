"""Labels from a Camtrap DP package, written by hand or the standard's own example."""

import csv
import datetime
import json
import logging
from pathlib import Path

import pytest

from jungle.data.formats import LabelSource, load_labels
from jungle.errors import UserError
from tests.conftest import ROOT

EXAMPLE = ROOT.parent / "shared" / "data" / "camtrap-dp-1.0.2" / "example"
PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json"
NAMES = ("deployments", "media", "observations")
DEPLOYMENTS = [
    {"deploymentID": "d1", "locationID": "ridge", "timestampIssues": "false"},
    {"deploymentID": "d2", "locationID": "", "timestampIssues": "true"},
]


def video(media: str, time: str = "2020-05-30T04:57:37+02:00", deployment: str = "d1", **more: str) -> dict:
    return {
        "mediaID": media,
        "deploymentID": deployment,
        "timestamp": time,
        "filePath": f"media/{media}.mp4",
        "fileMediatype": "video/mp4",
        **more,
    }


def seen(media: str, kind: str, name: str = "", **more: str) -> dict:
    return {
        "deploymentID": "d1",
        "mediaID": media,
        "eventID": "",
        "eventStart": "2020-05-30T02:57:37Z",
        "eventEnd": "2020-05-30T02:57:44Z",
        "observationLevel": "media",
        "observationType": kind,
        "scientificName": name,
        "classificationMethod": "human",
        **more,
    }


def event(name: str, kind: str, species: str = "", **more: str) -> dict:
    return seen("", kind, species, eventID=name, observationLevel="event", **more)


def write(folder: Path, media: list[dict], observations: list[dict], **description) -> Path:
    for name, rows in zip(NAMES, (DEPLOYMENTS, media, observations), strict=True):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            columns = list(dict.fromkeys(key for row in rows for key in row))
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(rows)
    resources = [{"name": name, "path": f"{name}.csv"} for name in NAMES]
    found = {"profile": PROFILE, "resources": resources, **description}
    (folder / "datapackage.json").write_text(json.dumps(found))
    return folder


def read(folder: Path, **settings):
    return load_labels("camtrap_dp", LabelSource(**{"root": folder, **settings}))


def labels(clips) -> dict:
    """Return the classes of each clip, None where it has no label."""
    return {
        row["clip"]: None if row[clips.classes[0]] is None else [c for c in clips.classes if row[c]]
        for row in clips.table.iter_rows(named=True)
    }


def test_observations_of_videos_are_their_labels(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    media = [
        video("a"),
        video("b", "2020-05-31T23:00:00+02:00"),
        video("c", deployment="d2"),
        *(video(n) for n in "defgh"),
    ]
    write(
        tmp_path,
        [*media, video("photo", filePath="media/photo.jpg", fileMediatype="image/jpeg")],
        [
            seen("a", "animal", "Vulpes vulpes"),
            seen("a", "animal", "Meles meles"),
            seen("b", "blank"),
            seen("c", "human", "Homo sapiens"),
            seen("d", "vehicle"),
            seen("e", "unknown"),
            seen("f", "unclassified"),
            seen("g", "animal"),
            seen("photo", "animal", "Lutra lutra"),
        ],
    )
    clips = read(tmp_path)
    assert clips.classes == ("Meles meles", "Vulpes vulpes", "blank", "human", "vehicle")
    assert labels(clips) == {
        "media/a.mp4": ["Meles meles", "Vulpes vulpes"],
        "media/b.mp4": ["blank"],
        "media/c.mp4": ["human"],
        "media/d.mp4": ["vehicle"],
        **{f"media/{n}.mp4": None for n in "efgh"},
    }
    assert clips.table["path"][0] == f"{tmp_path}/media/a.mp4"
    assert clips.table["site"].to_list() == ["ridge", "ridge", "d2", *["ridge"] * 5]
    assert clips.table["time"][1] == datetime.datetime(2020, 5, 31, 23)
    for said in (
        "1 file is no videos, left out: 1 image/jpeg",
        "1 deployment has no locationID, so the deploymentID is the site",
        "1 deployment has timestampIssues",
        "1 observation has an animal without a scientificName, which is no label",
        "observations that are no label: 1 unclassified, 1 unknown",
        "4 videos have no label",
    ):
        assert said in caplog.text


def test_a_package_without_species_is_of_animals(tmp_path) -> None:
    write(tmp_path, [video("a"), video("b")], [seen("a", "animal"), seen("b", "blank")])
    assert labels(read(tmp_path)) == {"media/a.mp4": ["animal"], "media/b.mp4": ["blank"]}


def test_videos_without_a_label_have_that_of_their_event(tmp_path, caplog) -> None:
    media = [
        video("own", "2020-05-30T04:57:40+02:00"),
        video("first", "2020-05-30T04:57:37+02:00"),  # at the start, in another zone
        video("last", "2020-05-30T04:57:44+02:00"),
        video("late", "2020-05-30T04:57:45+02:00"),
        video("elsewhere", "2020-05-30T04:57:40+02:00", "d2"),
        video("named", "2021-01-01T00:00:00Z"),
        video("unknown", "2020-05-30T04:57:40+02:00"),
    ]
    write(
        tmp_path,
        media,
        [
            event("e1", "animal", "Vulpes vulpes"),
            event("e1", "animal", "Meles meles"),
            event("e2", "blank", eventStart="2020-06-01T00:00:00Z", eventEnd="2020-06-01T01:00:00Z"),
            seen("own", "animal", "Lutra lutra"),
            seen("named", "unclassified", eventID="e2"),
            seen("unknown", "unknown"),
        ],
    )
    both = ["Meles meles", "Vulpes vulpes"]
    assert labels(read(tmp_path)) == {
        "media/own.mp4": ["Lutra lutra"],
        "media/first.mp4": both,
        "media/last.mp4": both,
        "media/late.mp4": None,
        "media/elsewhere.mp4": None,
        "media/named.mp4": ["blank"],
        "media/unknown.mp4": None,  # somebody looked, and could not say
    }
    assert (
        "3 videos have no label of their own and take that of their event; 2 of them share an event"
        in caplog.text
    )


def test_overlapping_events_all_count(tmp_path) -> None:
    spans = {
        "e1": ("00:00", "09:00"),
        "e2": ("02:00", "02:30"),
        "e3": ("03:00", "05:00"),
        "e4": ("06:00", "07:00"),
    }
    rows = [
        event(name, "animal", name, eventStart=f"2020-05-30T{a}:00Z", eventEnd=f"2020-05-30T{b}:00Z")
        for name, (a, b) in spans.items()
    ]
    write(tmp_path, [video("a", "2020-05-30T04:00:00Z")], rows)
    assert labels(read(tmp_path)) == {"media/a.mp4": ["e1", "e3"]}


def test_a_person_counts_more_than_a_machine(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    write(
        tmp_path,
        [video("a"), video("b")],
        [
            seen("a", "animal", "Vulpes vulpes", classificationMethod="machine"),
            seen("a", "animal", "Meles meles"),
            seen("b", "animal", "Vulpes vulpes", classificationMethod="machine"),
        ],
    )
    assert labels(read(tmp_path)) == {"media/a.mp4": ["Meles meles"], "media/b.mp4": ["Vulpes vulpes"]}
    assert "1 observation by a machine left out where a person's is there" in caplog.text
    assert "1 video has labels by a machine alone" in caplog.text


def test_times_are_those_of_the_cameras_clock(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    times = [
        "2020-07-01T12:00:00Z",
        "2020-01-01T12:00:00Z",
        "2020-07-01T12:00:00.5+05:30",
        "2020-07-01 12:00+0200",
    ]
    write(
        tmp_path, [video(f"v{i}", t) for i, t in enumerate(times)], [seen("v0", "blank"), seen("v1", "human")]
    )
    hours = [t.strftime("%H:%M") for t in read(tmp_path).table["time"]]
    assert hours == ["12:00", "12:00", "12:00", "12:00"]
    hours = [t.strftime("%H:%M") for t in read(tmp_path, timezone="Europe/Brussels").table["time"]]
    assert hours == ["14:00", "13:00", "08:30", "12:00"]
    write(tmp_path, [video("a", "2020-07-01T12:00:00Z")], [seen("a", "blank")])
    read(tmp_path)
    assert "1 time is in UTC" in caplog.text


@pytest.mark.parametrize(
    ("media", "observations", "said"),
    [
        ([video("a", "noon")], [], "media.csv: 1 row has a timestamp that is no time: noon (line 2)"),
        ([video("a", "2020-05-30T04:57:37"), video("b")], [], "zone: 2020-05-30T04:57:37 (line 2)"),
        ([video("a", "2020-05-30T04:57:37")], [event("e", "blank")], "events cannot be matched"),
        ([video("a", filePath="../x.mp4")], [], "media.csv: 1 row whose filePath leads out of the root"),
        ([video("a", filePath="/etc/x.mp4")], [], "media.csv: 1 row whose filePath is outside the root"),
        ([video("a", filePath="https://x.org/a.mp4")], [], "media.csv: 1 video is on the web"),
        ([video("a", deployment="d3")], [], "deployments.csv does not have: d3 (line 2)"),
        ([video("a"), video("a", filePath="media/b.mp4")], [], "of another row: a (line 2), a (line 3)"),
        ([video("a")], [seen("b", "blank")], "media that the package does not have: b (line 2)"),
        ([video("a")], [seen("a", "blnk")], "blnk (line 2). Correct it. Nearest: blank"),
        ([video("a")], [seen("a", "blank", observationLevel="clip")], "observationLevel: clip (line 2)"),
        ([video("a")], [event("e", "blank", eventEnd="")], "no eventStart or eventEnd: e (line 2)"),
    ],
)  # fmt: skip
def test_faults_of_rows_name_table_and_line(tmp_path, media, observations, said) -> None:
    write(tmp_path, media, [seen(media[0]["mediaID"], "human"), *observations][::-1])
    with pytest.raises(UserError) as e:
        read(tmp_path)
    assert said in str(e.value)


def test_all_faults_are_told_at_once(tmp_path) -> None:
    write(tmp_path, [video("a", "noon", deployment="d3")], [seen("b", "blank"), seen("a", "bird")])
    with pytest.raises(UserError) as e:
        read(tmp_path, classes=["human"])
    assert "4 kinds of problems" in str(e.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../media.csv", "only files within the package's folder are read"),
        ("/etc/passwd", "only files within the package's folder are read"),
        ("https://x.org/media.csv", "only files within the package's folder are read"),
        (["media.csv", "more.csv"], "2 paths; give it the path of one CSV file"),
        (None, "0 paths; give it the path of one CSV file"),
        ("mdia.csv", "mdia.csv: no such file"),
    ],
)
def test_a_table_lies_in_the_package(tmp_path, path, said) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    resources = [{"name": n, "path": f"{n}.csv"} for n in NAMES if n != "media"]
    write(folder, [video("a")], [], resources=[*resources, {"name": "media", "path": path}])
    (tmp_path / "media.csv").write_text("x")
    with pytest.raises(UserError) as e:
        read(folder)
    assert said in str(e.value)


def test_a_link_out_of_the_package_is_no_table_of_it(tmp_path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    write(folder, [video("a")], [seen("a", "blank")])
    (folder / "media.csv").rename(tmp_path / "media.csv")
    (folder / "media.csv").symlink_to(tmp_path / "media.csv")
    with pytest.raises(UserError, match="only files within"):
        read(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "datapackage.json: not JSON"),
        ("[]", "not the description of a package"),
        ('{"resources": 3}', "not the description of a package (resources"),
        ('{"resources": [{"name": "medium", "path": "x"}]}', "no resource is named deployments"),
        (
            json.dumps({"resources": [], "profile": PROFILE.replace("1.0.2", "0.1.6")}),
            "Camtrap DP 0.1.6; 1.0 can",
        ),
    ],
)
def test_a_description_that_is_none_is_told(tmp_path, text, said) -> None:
    (tmp_path / "datapackage.json").write_text(text)
    with pytest.raises(UserError) as e:
        read(tmp_path)
    assert said in str(e.value)


def test_a_folder_without_a_description_names_the_one_below(tmp_path) -> None:
    (tmp_path / "package").mkdir()
    write(tmp_path / "package", [video("a")], [seen("a", "blank")])
    with pytest.raises(UserError) as e:
        read(tmp_path)
    assert (
        f"no datapackage.json in it: give the folder of a Camtrap DP. Nearest: data.root={tmp_path}/package"
        in str(e.value)
    )


def test_a_table_without_a_column_names_the_nearest(tmp_path) -> None:
    write(tmp_path, [video("a")], [seen("a", "blank")])
    text = (tmp_path / "media.csv").read_text()
    (tmp_path / "media.csv").write_text(text.replace("filePath", "filePaths"))
    with pytest.raises(UserError, match=r"media.csv: no column filePath\. Nearest: filePaths"):
        read(tmp_path)


def test_several_packages_are_one_set(tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    write(
        tmp_path / "one", [video("a"), video("b")], [seen("a", "animal", "Meles meles"), seen("b", "blank")]
    )
    write(tmp_path / "two", [video("c")], [seen("c", "animal", "Lutra lutra")])
    clips = read(tmp_path, root=[tmp_path / "one", tmp_path / "two"], rename={"Meles meles": "badger"})
    assert clips.classes == ("Lutra lutra", "badger", "blank")
    assert labels(clips) == {
        "media/a.mp4": ["badger"],
        "media/b.mp4": ["blank"],
        "media/c.mp4": ["Lutra lutra"],
    }
    write(tmp_path / "two", [video("c", "x")], [seen("c", "animal", "Lutra lutra")])
    with pytest.raises(UserError, match=r"two: media.csv: 1 row has a timestamp that is no time: x"):
        read(tmp_path, root=[tmp_path / "one", tmp_path / "two"])


def test_the_classes_of_the_settings_are_the_only_ones(tmp_path) -> None:
    write(tmp_path, [video("a"), video("b")], [seen("a", "animal", "Meles meles"), seen("b", "blank")])
    assert read(tmp_path, classes=["blank", "meles meles", "x"]).classes == ("blank", "meles meles", "x")
    with pytest.raises(UserError, match=r"1 label is not in data.classes: Meles meles.*Nearest: Meles"):
        read(tmp_path, classes=["blank", "Meles"])


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the standard's example is not here")
def test_the_standards_own_example_has_photographs_alone() -> None:
    with pytest.raises(UserError, match=r"none of its 423 media is a video \(423 image/jpeg\)"):
        read(EXAMPLE)


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the standard's example is not here")
def test_the_standards_own_example_as_videos(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    for name in (*(f"{n}.csv" for n in NAMES), "datapackage.json"):
        text = (EXAMPLE / name).read_text(encoding="utf-8")
        if name == "media.csv":
            text = text.replace("image/jpeg", "video/mp4").replace("https://multimedia.agouti.eu/", "media/")
        (tmp_path / name).write_text(text, encoding="utf-8")
    clips = read(tmp_path)
    assert len(clips) == 423
    assert clips.table["site"].n_unique() == 4
    assert clips.table["time"][0] == datetime.datetime(2020, 5, 30, 4, 57, 37)
    assert clips.labelled().sum() == 412  # 11 are unknown
    assert {"Anas platyrhynchos", "blank", "human", "vehicle"} <= set(clips.classes)
