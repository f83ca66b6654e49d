"""MegaDetector's JSON: the documented rules, checked independently, and its own validator if installed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jungle.errors import UsageError
from jungle.export import ExportSettings, Results, write_exports
from jungle.export.megadetector import write
from jungle.postprocessing.seen import find_seen
from tests.export.folder import CASES, CLASSES, Case, make_table, with_facts


def export(tmp_path: Path, cases: tuple[Case, ...] = CASES, task: str = "exclusive") -> dict:
    table = with_facts(cases)
    seen = find_seen(table, CLASSES, task=task, threshold=0.5)
    settings = ExportSettings(formats=("megadetector",), out=tmp_path, model="jungle 1")
    (file,) = write(Results(table, CLASSES, task, seen), settings)
    assert file == tmp_path / "megadetector.json"
    return json.loads(file.read_text())


def check_rules(content: dict) -> None:
    """Check the rules of the format as its page states them."""
    assert isinstance(content["info"]["format_version"], str)
    assert float(content["info"]["format_version"]) == 1.6
    for family in ("detection_categories", "classification_categories"):
        assert all(
            number.isdecimal() and number != "0" and name.strip() for number, name in content[family].items()
        )
    for image in content["images"]:
        assert not image["file"].startswith("/")
        assert "\\" not in image["file"]
        assert all(isinstance(f, int) and f >= 0 for f in image["frames_processed"])
        if "failure" in image:
            assert image["failure"]
            assert image["detections"] is None
            continue
        assert image["frame_rate"] > 0
        for detection in image["detections"]:
            assert detection["category"] in content["detection_categories"]
            assert isinstance(detection["conf"], float)
            assert 0 <= detection["conf"] <= 1
            assert detection["bbox"] == [0, 0, 1, 1]
            assert detection["frame_number"] in image["frames_processed"]
            probabilities = [p for _, p in detection["classifications"]]
            assert probabilities == sorted(probabilities, reverse=True)
            assert all(c in content["classification_categories"] for c, _ in detection["classifications"])


def test_a_clip_is_the_whole_frame_at_the_most_attended_frame(tmp_path: Path) -> None:
    content = export(tmp_path)
    check_rules(content)
    first = content["images"][0]
    assert (first["file"], first["frame_rate"], first["frames_processed"]) == (
        "north/a.mp4",
        6,
        [2, 4, 8, 10],
    )
    (detection,) = first["detections"]
    assert (detection["category"], detection["conf"], detection["frame_number"]) == ("1", 0.9, 8)
    names = content["classification_categories"]
    assert [(names[c], p) for c, p in detection["classifications"]] == [("lion", 0.8), ("hog", 0.1)]
    assert content["info"]["classifier"] == "jungle 1"


def test_a_clip_that_failed_has_a_reason_and_null(tmp_path: Path) -> None:
    failed = export(tmp_path)["images"][-1]
    assert failed["failure"] == "the file is no video"
    assert failed["detections"] is None


def test_a_clip_that_is_surely_empty_has_an_empty_list(tmp_path: Path) -> None:
    case = Case("a.mp4", "north", "2024-05-01 10:00:00", (0.998, 0.001, 0.001))
    assert export(tmp_path, (case,))["images"][0]["detections"] == []


def test_without_attention_it_is_the_middle_frame(tmp_path: Path) -> None:
    case = replace(CASES[0], attention=None, times=(0.0, 1.0, 1.5))
    assert export(tmp_path, (case,))["images"][0]["detections"][0]["frame_number"] == 6


def test_classes_that_do_not_exclude_each_other(tmp_path: Path) -> None:
    case = Case("a.mp4", "north", "2024-05-01 10:00:00", (0.25, 0.9, 0.8))
    assert export(tmp_path, (case,), "multilabel")["images"][0]["detections"][0]["conf"] == 0.75


def test_people_and_vehicles_are_detections_of_their_own(tmp_path: Path) -> None:
    classes = ("blank", "Person", "lion", "vehicle")
    case = Case("a.mp4", "north", "2024-05-01 10:00:00", (0.1, 0.6, 0.2, 0.1))
    table = make_table([case], classes).with_columns(fps=6.0)
    seen = find_seen(table, classes, task="exclusive", threshold=0.5)
    settings = ExportSettings(formats=("megadetector",), out=tmp_path)
    (file,) = write(Results(table, classes, "exclusive", seen), settings)
    content = json.loads(file.read_text())
    check_rules(content)
    found = [(d["category"], d["conf"]) for d in content["images"][0]["detections"]]
    assert found == [("2", 0.6), ("1", 0.2), ("3", 0.1)]


def test_an_unknown_frame_rate_is_refused(tmp_path: Path) -> None:
    settings = ExportSettings(formats=("megadetector",), out=tmp_path)
    with pytest.raises(UsageError, match=r"frame rate of 5 clips is unknown, as north/a.mp4: give videos="):
        write_exports(tmp_path, make_table(CASES), settings)


def test_the_official_validator_accepts_it(tmp_path: Path) -> None:
    validator = pytest.importorskip("megadetector.postprocessing.validate_batch_results")
    export(tmp_path)
    found = validator.validate_batch_results(str(tmp_path / "megadetector.json"))["validation_results"]
    assert (found["errors"], found["warnings"]) == ([], [])
