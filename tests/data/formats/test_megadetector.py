"""Labels from MegaDetector's JSON."""

import json
import logging
from pathlib import Path

import pytest

from jungle.data.formats import LabelSource, load_labels
from jungle.errors import UserError
from tests.data.formats.test_camtrap_dp import labels

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}
SPECIES = {"0": "fox", "1": "elk", "2": "blank", "3": "animal"}


def found(category: str, conf: float, *classifications: list) -> dict:
    more = {"classifications": list(classifications)} if classifications else {}
    return {"category": category, "conf": conf, "bbox": [0, 0, 1, 1], "frame_number": 0, **more}


def video(file: str, *detections: dict, **more: object) -> dict:
    return {"file": file, "frame_rate": 20, "frames_processed": [0], "detections": list(detections), **more}


def write(tmp_path: Path, images: list, name: str = "md.json", **more: object) -> Path:
    content = {"info": {"format_version": "1.6", "detector": "md_v5a"}, "detection_categories": CATEGORIES}
    (tmp_path / name).write_text(json.dumps({**content, "images": images, **more}))
    return tmp_path / name


def read(path, **settings):
    root = (path if isinstance(path, Path) else path[0]).parent
    return load_labels("megadetector", LabelSource(**{"labels": path, "root": root, **settings}))


def test_categories_over_a_confidence_are_classes(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    path = write(
        tmp_path,
        [
            video("cam1\\a.mp4", found("1", 0.9), found("1", 0.3), found("2", 0.2)),
            video("b.mp4", found("3", 0.5)),
            video("c.mp4", found("1", 0.19)),
            video("d.mp4"),
            video("e.mp4", failure="cannot be opened", detections=None),
            {"file": "f.mp4", "failure": "cannot be opened"},
            {"file": "g.jpg", "detections": []},
            video("h.mp4", found("9", 0.9)),
        ],
    )
    clips = read(path)
    assert clips.classes == ("animal", "blank", "person", "vehicle")
    assert labels(clips) == {
        "cam1/a.mp4": ["animal", "person"],
        "b.mp4": ["vehicle"],
        "c.mp4": ["blank"],
        "d.mp4": ["blank"],
        "e.mp4": None,  # a failure is no label, never blank
        "f.mp4": None,
        "h.mp4": ["blank"],
    }
    for said in (
        "labels by md_v5a, of detections from a confidence of 0.2 (data.min_confidence): 3 blank, 1 animal",
        "2 files failed there and have no label: e.mp4, f.mp4",
        "1 file is no videos, left out: 1 .jpg",
        "detections of unknown categories are passed over: 1 9",
    ):
        assert said in caplog.text


@pytest.mark.parametrize(
    ("info", "given", "label"),
    [
        ({}, None, "animal"),
        ({"detector_metadata": {"typical_detection_threshold": 0.8}}, None, "blank"),
        ({"detector_metadata": {"typical_detection_threshold": 0.8}}, 0.3, "animal"),
        ({}, 0.6, "blank"),
        ({}, 0.5, "animal"),
    ],
)
def test_the_confidence_is_that_of_the_settings_else_the_files(tmp_path, info, given, label) -> None:
    path = write(tmp_path, [video("a.mp4", found("1", 0.5))], info={"format_version": "1.4", **info})
    assert labels(read(path, min_confidence=given)) == {"a.mp4": [label]}


def test_classifications_are_classes_and_an_animal_of_unknown_species_is_no_label(tmp_path, caplog) -> None:
    path = write(
        tmp_path,
        [
            video("a.mp4", found("1", 0.9, ["1", 0.1], ["0", 0.8]), found("1", 0.9, ["1", 0.9])),
            video("b.mp4", found("1", 0.9, ["0", 0.4])),
            video("c.mp4", found("1", 0.9)),
            video("d.mp4", found("1", 0.9, ["2", 0.9])),
            video("e.mp4", found("1", 0.9, ["2", 0.9]), found("1", 0.9, ["0", 0.9])),
            video("f.mp4", found("2", 0.9), found("1", 0.9, ["3", 0.99])),
            video("g.mp4", found("1", 0.1, ["0", 0.99])),
        ],
        classification_categories=SPECIES,
    )
    clips = read(path)
    assert clips.classes == ("blank", "elk", "fox", "person")
    assert labels(clips) == {
        "a.mp4": ["elk", "fox"],
        "b.mp4": None,
        "c.mp4": None,
        "d.mp4": ["blank"],
        "e.mp4": ["fox"],
        "f.mp4": ["person"],
        "g.mp4": ["blank"],
    }
    assert "2 videos have no label, since it is not sure which species they show: b.mp4, c.mp4" in caplog.text
    assert labels(read(path, min_confidence=0.3))["b.mp4"] == ["fox"]


def test_several_files_and_names_of_classes(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    old = write(tmp_path, [video("a.mp4", found("1", 0.9)), video("b.mp4")], "old.json")
    new = write(
        tmp_path, [video("b.mp4", found("2", 0.9)), video("c.mp4"), video("a.mp4", failure="x")], "new.json"
    )
    clips = read([old, new], rename={"person": "human"})
    assert labels(clips) == {"a.mp4": ["animal"], "b.mp4": ["human"], "c.mp4": ["blank"]}
    assert (
        "new.json: 1 answer changed (b.mp4: blank, now person), 1 clip is new, 1 clip has no label there"
        in caplog.text
    )


def test_sites_come_from_their_own_table(tmp_path) -> None:
    path = write(tmp_path, [video("a.mp4", found("1", 0.9)), video("b.mp4")])
    (tmp_path / "sites.csv").write_text("filename,site\na.mp4,s1\nb.mp4,s2\n")
    assert read(path, sites=tmp_path / "sites.csv").table["site"].to_list() == ["s1", "s2"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"detections": []}, "entry 2 (file: field required)"),
        (7, "entry 2 (the file: input should be a valid dictionary"),
        (video("b.mp4", {"category": "1"}), "entry 2 (detections.0.conf: field required)"),
        (
            video("b.mp4", found("1", 1.5)),
            "entry 2 (detections.0.conf: input should be less than or equal to 1)",
        ),
        (video("b.mp4", found("1", float("nan"))), "entry 2 (detections.0.conf: "),
        (video("../b.mp4"), "1 row whose file leads out of the root: ../b.mp4 (entry 2)"),
        (video("/etc/b.mp4"), "1 row whose file is outside the root: /etc/b.mp4 (entry 2)"),
    ],
)
def test_an_entry_that_cannot_be_read_is_told(tmp_path, entry, said) -> None:
    with pytest.raises(UserError) as e:
        read(write(tmp_path, [video("a.mp4", found("1", 0.9)), entry]))
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "md.json: not JSON"),
        ("[" * 100_000, "md.json: not JSON"),
        ("[]", "not results of MegaDetector in format 1.x"),
        ('{"images": 3}', "images: input should be a valid list"),
        ('{"images": [], "info": {"format_version": "2.0"}}', "results in format 2.0 of MegaDetector"),
        ('{"images": [{"file": "a.jpg", "detections": []}]}', "none of its 1 file is a video (1 .jpg)"),
        ('{"images": []}', "none of its 0 files is a video (it is empty)"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, text, said) -> None:
    (tmp_path / "md.json").write_text(text)
    with pytest.raises(UserError) as e:
        read(tmp_path / "md.json")
    assert said in str(e.value)


def test_a_file_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(UserError, match=r"md.json: no such file"):
        read(tmp_path / "md.json")
