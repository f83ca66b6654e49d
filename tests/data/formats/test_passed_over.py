"""Files that look like videos but have another suffix are passed over, and counted in one line."""

import logging

import pytest

from jungle.data.formats import VIDEO_SUFFIXES, find_clips
from jungle.data.formats.discover import walk_videos
from jungle.data.video_suffixes import OTHER_VIDEO_SUFFIXES
from jungle.errors import UserError
from tests.data.loading import load_folders

FILES = ("cam1/a.mp4", "cam1/b.DAV", "cam2/c.dav", "cam2/d.FLV", "cam2/e.LRV", "f.insv", "notes.txt", "g.jpg")
SAID = "2 .dav, 1 .flv, 1 .insv, 1 .lrv"


@pytest.fixture
def disk(tmp_path):
    for name in FILES:
        file = tmp_path / "disk" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a")
    return tmp_path / "disk"


@pytest.mark.parametrize("form", ["{}", "{}/**", "{}/*"])
def test_they_are_counted_in_one_line(disk, caplog, form):
    with caplog.at_level(logging.WARNING, "jungle"):
        found = find_clips(form.format(disk))
    assert [f.clip for f in found] == ["cam1/a.mp4"]
    lines = [r.getMessage() for r in caplog.records if "passed over" in r.getMessage()]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert f": {SAID}. Name them in a list" in lines[0]


def test_nothing_is_said_where_nothing_looks_like_a_video(disk, caplog):
    for file in disk.rglob("*"):
        if file.suffix.lower() in OTHER_VIDEO_SUFFIXES:
            file.unlink()
    with caplog.at_level(logging.WARNING, "jungle"):
        find_clips(disk)
    assert not caplog.records


def test_where_there_is_nothing_else_the_error_says_it(disk):
    (disk / "cam1" / "a.mp4").unlink()
    with pytest.raises(UserError, match=r"no video in this folder\..* There are 2 \.dav, 1 \.flv"):
        find_clips(disk)


def test_a_list_takes_any_name(disk, caplog):
    (disk / "list.txt").write_text("cam1/b.DAV\nf.insv\n")
    with caplog.at_level(logging.WARNING, "jungle"):
        assert [f.clip for f in find_clips(disk / "list.txt")] == ["cam1/b.DAV", "f.insv"]
    assert not caplog.records


def test_folders_of_classes_say_it_too(tmp_path, caplog):
    for name in ("hog/a.mp4", "hog/b.dav", "lion/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")
    with caplog.at_level(logging.WARNING, "jungle"):
        assert len(load_folders(tmp_path)) == 2
    assert "passed over, since their suffixes are not looked for: 1 .dav" in caplog.text


def test_hidden_files_and_folders_are_not_counted(disk):
    (disk / "._b.DAV").write_text("a")
    (disk / "__MACOSX").mkdir()
    (disk / "__MACOSX" / "b.DAV").write_text("a")
    passed: set[str] = set()
    assert len(list(walk_videos(disk, passed))) == 1
    assert len(passed) == 5


def test_no_suffix_is_both_read_and_passed_over():
    assert not VIDEO_SUFFIXES & OTHER_VIDEO_SUFFIXES
