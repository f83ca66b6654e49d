import os
import unicodedata

import polars as pl
import pytest

from jungle.data.paths import locate, name_clips


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.mp4", "a.mp4"),
        ("x\\y\\a.MP4", "x/y/a.MP4"),
        ("./x//a.mp4", "x/a.mp4"),
        ("x/../a.mp4", "a.mp4"),
        ("/r/o/x/a.mp4", "x/a.mp4"),
        ("a..b.mp4", "a..b.mp4"),
        ("with space é.mp4", "with space é.mp4"),
    ],
)
def test_names_inside_the_root(name, clip):
    from pathlib import Path

    names = name_clips(pl.Series([name]), Path("/r/o"))
    assert names.clip.to_list() == [clip]
    assert names.path.to_list() == [f"/r/o/{clip}"]
    assert names.refused == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.mp4", "leads out of the root"),
        ("x/../../a.mp4", "leads out of the root"),
        ("..\\a.mp4", "leads out of the root"),
        ("/etc/passwd", "is outside the root"),
        ("/r/other/a.mp4", "is outside the root"),
        ("/r/o/../a.mp4", "is outside the root"),
        ("//server/a.mp4", "is outside the root"),
        ("C:\\clips\\a.mp4", "is outside the root"),
        ("a\x00.mp4", "holds control characters"),
        ("a\n.mp4", "holds control characters"),
        ("x/", "is a folder"),
        (".", "no name"),
        (None, "no name"),
    ],
)
def test_names_that_are_refused(tmp_path, name, reason):
    from pathlib import Path

    names = name_clips(pl.Series(["fine.mp4", name]), Path("/r/o"))
    assert names.refused == {1: reason}
    assert names.clip.to_list() == ["fine.mp4", None]


def test_an_absolute_name_may_reach_the_root_by_another_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    names = name_clips(pl.Series([f"{tmp_path}/link/a.mp4"]), tmp_path / "disk")
    assert names.clip.to_list() == ["a.mp4"]


@pytest.mark.parametrize("n", [1, 100])
def test_locate(tmp_path, n):
    accented = unicodedata.normalize("NFD", "é.mp4")
    for name in ("a.MP4", accented, "b.mp4", *(f"{i}.mp4" for i in range(n))):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    asked = ["a.mp4", "é.mp4", "b.mp4", "A.mp4", "folder.mp4", "gone.mp4", *(f"{i}.mp4" for i in range(n))]
    asked = [f"{tmp_path}/{a}" for a in asked] + [f"{tmp_path}/none/x.mp4", f"{tmp_path}/b.mp4"]
    found = locate(pl.Series("path", asked)).to_list()
    assert found[:6] == [
        f"{tmp_path}/a.MP4",
        f"{tmp_path}/{accented}",
        f"{tmp_path}/b.mp4",
        f"{tmp_path}/a.MP4",
        None,
        None,
    ]
    assert found[6:-2] == asked[6:-2]
    assert found[-2:] == [None, f"{tmp_path}/b.mp4"]


def test_locate_takes_neither_of_two_that_fit(tmp_path):
    for name in ("a.MP4", "a.Mp4"):
        (tmp_path / name).touch()
    assert locate(pl.Series([f"{tmp_path}/a.mp4"])).to_list() == [None]


def test_locate_follows_links_and_knows_broken_ones(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.mp4").touch()
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "disk" / "a.mp4", tmp_path / "root" / "a.mp4")
    os.symlink(tmp_path / "disk" / "gone.mp4", tmp_path / "root" / "b.mp4")
    asked = [f"{tmp_path}/root/a.mp4", f"{tmp_path}/root/b.mp4"]
    assert locate(pl.Series(asked)).to_list() == [asked[0], None]


def test_a_folder_whose_accents_are_composed_otherwise_is_found(tmp_path):
    there = tmp_path / unicodedata.normalize("NFC", "Übersicht é") / "x"
    there.mkdir(parents=True)
    (there / "a.mp4").touch()
    asked = f"{tmp_path}/{unicodedata.normalize('NFD', 'Übersicht é')}/x/a.mp4"
    found = locate(pl.Series([asked, f"{tmp_path}/Übersicht è/x/a.mp4"]))
    assert found.to_list() == [str(there / "a.mp4"), None]
