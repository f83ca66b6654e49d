import os

import pytest

from jungle.data.formats import VIDEO_SUFFIXES, find_clips
from jungle.errors import UserError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(videos, root=None):
    found = find_clips(videos, root)
    assert all(os.path.isabs(f.path) for f in found)
    return [f.clip for f in found]


def test_a_folder_with_all_below_it(tmp_path):
    touch(
        tmp_path,
        "b.mp4",
        "a b/Ünï.AVI",
        "a b/x.txt",
        ".hidden.mp4",
        "._b.mp4",
        ".trash/c.mp4",
        "__MACOSX/b.mp4",
    )
    assert ids(tmp_path) == ["a b/Ünï.AVI", "b.mp4"]
    assert find_clips(str(tmp_path))[1].path == str(tmp_path / "b.mp4")


def test_every_suffix_in_any_case(tmp_path):
    names = [f"x{s}" for s in VIDEO_SUFFIXES] + [f"y{s.upper()}" for s in VIDEO_SUFFIXES]
    touch(tmp_path, *names)
    assert sorted(ids(tmp_path)) == sorted(names)


def test_one_video(tmp_path):
    touch(tmp_path, "x/a.MP4")
    assert find_clips(tmp_path / "x" / "a.MP4") == [("a.MP4", str(tmp_path / "x" / "a.MP4"))]


def test_globs(tmp_path):
    touch(tmp_path, "s1/a.mp4", "s1/b.MP4", "s2/deep/c.avi", "s3/d.mp4")
    assert ids(f"{tmp_path}/s1/*.mp4") == ["a.mp4", "b.MP4"]
    assert ids(f"{tmp_path}/s[12]") == ["s1/a.mp4", "s1/b.MP4", "s2/deep/c.avi"]
    assert ids(f"{tmp_path}/**/*.avi") == ["s2/deep/c.avi"]


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    touch(tmp_path, "a[1].mp4", "a1.mp4")
    assert ids(tmp_path / "a[1].mp4") == ["a[1].mp4"]


def test_lists_keep_what_is_not_there(tmp_path):
    touch(tmp_path, "x/a.MP4", "b.mp4")
    (tmp_path / "l.txt").write_text("\ufeffx\\a.mp4\n\ngone.mp4\nb.mp4\n./b.mp4\n", encoding="utf-8")
    assert ids(tmp_path / "l.txt") == ["x/a.MP4", "gone.mp4", "b.mp4"]
    (tmp_path / "l.csv").write_text("n;filepath\n1;b.mp4\n2;x/a.MP4\n")
    assert ids(tmp_path / "l.csv") == ["b.mp4", "x/a.MP4"]


def test_a_list_relative_to_the_working_folder(tmp_path, monkeypatch):
    touch(tmp_path, "clips/a.mp4")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "l.txt").write_text("clips/a.mp4\n")
    monkeypatch.chdir(tmp_path)
    assert find_clips("lists/l.txt") == [("clips/a.mp4", str(tmp_path / "clips/a.mp4"))]


def test_a_list_under_a_root(tmp_path):
    touch(tmp_path, "clips/a.mp4")
    (tmp_path / "l.csv").write_text("filename,p\na.mp4,0.5\n")
    assert find_clips(tmp_path / "l.csv", root=tmp_path / "clips") == [
        ("a.mp4", str(tmp_path / "clips/a.mp4"))
    ]


def test_one_file_named_twice_is_one_clip(tmp_path):
    touch(tmp_path, "x/a.mp4", "x/b.mp4")
    assert ids([tmp_path / "x", tmp_path / "x" / "a.mp4", f"{tmp_path}/x/*"]) == ["a.mp4", "b.mp4"]
    assert ids([tmp_path, tmp_path / "x"]) == ["x/a.mp4", "x/b.mp4"]


def test_clips_of_one_name_in_two_folders_keep_apart(tmp_path):
    touch(tmp_path, "x/a.mp4", "y/a.mp4", "y/b.mp4")
    assert ids([tmp_path / "x", tmp_path / "y"]) == ["x/a.mp4", "y/a.mp4", "b.mp4"]


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path, "disk/a.mp4", "root/b.mp4")
    (tmp_path / "root" / "more").symlink_to(tmp_path / "disk")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    assert ids(tmp_path / "root") == ["b.mp4", "more/a.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf8_has_a_printable_id(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xff.mp4")).touch()
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    (found,) = find_clips(tmp_path)
    assert found.clip == "\\xff.mp4"
    assert os.path.exists(found.path)


@pytest.mark.parametrize(
    ("videos", "says"),
    [
        ("", "empty name"),
        ([], "empty list"),
        ("none", "no such file or folder"),
        ("*.mp4", "matches no video"),
        ("empty", "no video in this folder"),
        ("model.ckpt", "not a video"),
        ("l.txt", "names no clip"),
        ("l.csv", "no column names the clips"),
    ],
)
def test_what_is_no_clip(tmp_path, monkeypatch, videos, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "model.ckpt", "l.txt")
    (tmp_path / "l.csv").write_text("foo\nbar\n")
    with pytest.raises(UserError, match=says):
        find_clips(videos)


def test_a_link_to_nowhere_is_a_clip_that_is_asked_for(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "disk" / "gone.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")  # would hang whoever opened it
    assert ids(tmp_path) == ["a.mp4", "gone.mp4"]
