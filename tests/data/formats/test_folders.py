import os

import pytest

from jungle.errors import UserError
from tests.data.loading import load_folders


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_one_folder_a_class(tmp_path):
    touch(
        tmp_path,
        "lion/a.mp4",
        "lion/2017/b.AVI",
        "wild dog/ü.mov",
        "lion/._a.mp4",
        "lion/notes.txt",
        ".x/a.mp4",
    )
    clips = load_folders(tmp_path)
    assert clips.classes == ("lion", "wild dog")
    assert clips.table.rows() == [
        ("lion/2017/b.AVI", f"{tmp_path}/lion/2017/b.AVI", 1, 0),
        ("lion/a.mp4", f"{tmp_path}/lion/a.mp4", 1, 0),
        ("wild dog/ü.mov", f"{tmp_path}/wild dog/ü.mov", 0, 1),
    ]


def test_splits_above_the_classes(tmp_path):
    touch(
        tmp_path,
        "train/lion/a.mp4",
        "Validation/lion/b.mp4",
        "test/lion/c.mp4",
        "test/d.mp4",
        "train/ox/e.mp4",
    )
    clips = load_folders(tmp_path)
    assert set(clips.table.select("clip", "split", "lion", "ox").rows()) == {
        ("train/lion/a.mp4", "train", 1, 0),
        ("Validation/lion/b.mp4", "val", 1, 0),
        ("test/lion/c.mp4", "test", 1, 0),
        ("test/d.mp4", "test", None, None),
        ("train/ox/e.mp4", "train", 0, 1),
    }


def test_unlabelled_clips_beside_classes(tmp_path):
    touch(tmp_path, "lion/a.mp4", "ox/b.mp4", "unlabelled/c.mp4")
    clips = load_folders(tmp_path)
    assert clips.classes == ("lion", "ox")
    assert clips.table["split"].to_list() == [None, None, "unlabelled"]
    assert clips.labelled().to_list() == [True, True, False]


def test_an_empty_class_folder_is_a_class_for_the_checks_to_find(tmp_path):
    touch(tmp_path, "lion/a.mp4")
    (tmp_path / "hyena").mkdir()
    assert load_folders(tmp_path).classes == ("hyena", "lion")


def test_what_cannot_be_meant_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_folders(tmp_path / "none")
    with pytest.raises(UserError, match="no video"):
        load_folders(tmp_path)
    touch(tmp_path, "lion/a.mp4", "stray.mp4")
    with pytest.raises(UserError, match=r"1 video lies in no class folder: stray\.mp4"):
        load_folders(tmp_path)
    touch(tmp_path, "train/lion/a.mp4")
    with pytest.raises(UserError, match=r"splits \(train\) are mixed with folders of classes \(lion\)"):
        load_folders(tmp_path)


def test_classes_that_were_not_asked_for(tmp_path):
    touch(tmp_path, "lion/a.mp4", "ox/b.mp4")
    with pytest.raises(UserError, match=r"not in data\.classes: ox"):
        load_folders(tmp_path, classes=["lion"])
    assert load_folders(tmp_path, classes=["ox", "lion"]).classes == ("ox", "lion")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf8_is_named(tmp_path):
    touch(tmp_path, "lion/a.mp4")
    try:
        (tmp_path / "lion" / os.fsdecode(b"\xff.mp4")).touch()
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    with pytest.raises(UserError, match=r"not UTF-8: lion/\\xff\.mp4"):
        load_folders(tmp_path)
