"""Tables as Timelapse exports them: a folder and a file a row; notes, choices, counts and flags."""

import logging
from pathlib import Path

import pytest

from jungle.data.formats import LabelSource, load_labels
from tests.data.formats.test_camtrap_dp import labels

TABLE = """RootFolder,File,RelativePath,DateTime,DeleteFlag,Species,Empty,Count,Behaviour
root,IMG_001.MP4,Station1\\100EK113,2021-03-31 14:05:00,false,deer,false,1,grazing
root,IMG_002.AVI,Station1\\100EK113,2021-03-31 14:06:00,false,,true,,
root,IMG_001.MP4,Station2,2021-03-31 14:07:00,true,fox,true,2,running
root,top.mp4,,2021-03-31 14:08:00,false,,false,,resting
"""
CLIPS = ["Station1/100EK113/IMG_001.MP4", "Station1/100EK113/IMG_002.AVI", "Station2/IMG_001.MP4", "top.mp4"]


def read(tmp_path: Path, text: str = TABLE, **settings):
    for clip in CLIPS:
        (tmp_path / "root" / clip).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / clip).touch()
    (tmp_path / "timelapse.csv").write_text(text)
    return load_labels(
        "csv", LabelSource(labels=tmp_path / "timelapse.csv", root=tmp_path / "root", **settings)
    )


def test_folder_and_file_name_a_clip_and_a_flag_says_what_is_blank(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    clips = read(tmp_path)
    assert labels(clips) == dict(zip(CLIPS, (["deer"], ["blank"], ["fox"], None), strict=True))
    assert clips.table["path"].to_list() == [f"{tmp_path}/root/{clip}" for clip in CLIPS]
    assert clips.table["time"].is_sorted()
    for said in (
        "columns RelativePath and File together name a clip",
        "labels of rows without one are blank where Empty is true: 1",
        "rows where Empty is true that have another label, which is taken: 1",
        "rows with DeleteFlag true are used like the others: 1",
        "columns not used: RootFolder, DeleteFlag, Count, Behaviour",
    ):
        assert said in caplog.text


@pytest.mark.parametrize("root", ["", "root"])
def test_the_root_folder_belongs_to_a_name_where_the_clips_lie_in_it(tmp_path, root) -> None:
    read(tmp_path)
    source = LabelSource(labels=tmp_path / "timelapse.csv", root=tmp_path / root)
    found = load_labels("csv", source).table["path"].to_list()
    assert found == [f"{tmp_path}/root/{clip}" for clip in CLIPS]


def test_another_column_may_be_the_label(tmp_path) -> None:
    clips = read(tmp_path, label_column="Behaviour")
    assert labels(clips) == dict(zip(CLIPS, (["grazing"], ["blank"], ["running"], ["resting"]), strict=True))


def test_the_classes_of_the_settings_name_the_blank_one(tmp_path) -> None:
    clips = read(tmp_path, classes=["deer", "fox", "empty"])
    assert labels(clips)[CLIPS[1]] == ["empty"]
    clips = read(tmp_path, classes=["deer", "fox"])
    assert labels(clips)[CLIPS[1]] is None
