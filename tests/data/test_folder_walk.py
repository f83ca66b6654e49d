"""Folders with links in circles, entries that may not be entered, and depths beyond any path."""

import logging
import os
import socket
import subprocess
import sys
import time
from ast import literal_eval
from pathlib import Path

import polars as pl
import pytest

from jungle.data.folder_walk import glob_paths
from jungle.data.formats.discover import find_clips
from jungle.data.paths import locate, make_absolute
from jungle.data.table_io import read_table
from jungle.data.validation_report import Problems
from jungle.ensemble.members import find_runs
from jungle.errors import UsageError, UserError
from jungle.files import expand_user, read_json
from jungle.plain import read_settings
from tests.data.loading import load_folders

CLIPS = 40  # more than `locate` asks for one by one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    root.mkdir()
    for i in range(CLIPS):
        (root / f"c{i:02d}.mp4").write_bytes(b"x")
    return root


AS_NOBODY = """
import os, sys
import polars as pl
from pathlib import Path
from jungle.data.formats.discover import find_clips
from jungle.data.paths import locate
folder = Path(sys.argv[1])
videos = pl.Series([str(p) for p in sorted(folder.glob("*.mp4"))])
os.setuid(65534)
print([f.clip for f in find_clips(folder)])
print(locate(videos).to_list())
print(len(find_clips(str(folder / "**"))))
"""


@pytest.mark.parametrize(
    "name", ["self", "self.mp4", "site.txt", "z", "0"], ids=["folder", "video", "text", "last", "first"]
)
def test_a_link_to_itself(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (folder / name).symlink_to(name)
    with caplog.at_level(logging.WARNING, logger="jungle"):
        found = [f.clip for f in find_clips(folder)]
    wanted = [f"c{i:02d}.mp4" for i in range(CLIPS)]
    assert found == sorted([*wanted, name] if name.endswith(".mp4") else wanted)
    assert ("1 entry is passed over" in caplog.text) == (not name.endswith(".mp4"))
    paths = pl.Series([str(folder / n) for n in (*wanted, name)])
    assert locate(paths).to_list() == [*(str(folder / n) for n in wanted), None]
    assert locate(paths[-9:]).to_list() == [*(str(folder / n) for n in wanted[-8:]), None]
    assert [f.clip for f in find_clips(str(folder / "c*.mp4"))] == wanted
    assert len(find_clips(str(folder / "**" / "c*.mp4"))) == CLIPS


@pytest.mark.skipif(os.getuid() != 0, reason="somebody else must be asked to look")
def test_what_may_not_be_entered(folder: Path, tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    (shut / "in").mkdir(parents=True)
    (folder / "elsewhere").symlink_to(shut / "in")
    (folder / "far.mp4").symlink_to(shut / "in" / "far.mp4")
    (folder / "closed").mkdir()
    (folder / "closed" / "hidden.mp4").write_bytes(b"x")
    for place in (shut, folder / "closed"):
        place.chmod(0)
    ours = [p for p in tmp_path.parents if p.stat().st_uid == 0 and not p.stat().st_mode & 1]
    for place in (tmp_path, *ours):
        place.chmod(0o755)
    command = [sys.executable, "-c", AS_NOBODY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    for place in ours:
        place.chmod(0o700)
    assert done.returncode == 0, done.stderr
    names, there, globbed = map(literal_eval, done.stdout.splitlines())
    assert names == [*(f"c{i:02d}.mp4" for i in range(CLIPS)), "far.mp4"]
    assert there == [*(str(folder / f"c{i:02d}.mp4") for i in range(CLIPS)), None]
    assert globbed == CLIPS + 1
    assert "passed over" not in done.stdout


def test_circles_of_folders(folder: Path) -> None:
    for i in range(4):
        (folder / f"sub{i}").mkdir()
        (folder / f"sub{i}" / "x.mp4").write_bytes(b"x")
        (folder / f"sub{i}" / "up").symlink_to(folder)
        (folder / f"sub{i}" / "aside").symlink_to(folder / f"sub{(i + 1) % 4}")
    began = time.monotonic()
    assert len(find_clips(folder)) == CLIPS + 4
    for pattern in ("**/*.mp4", "**", "**/x.mp4", "*/**/x.mp4", "**/**/x.mp4", "sub?/**/**/x.MP4"):
        assert len(find_clips(f"{folder}/{pattern}")) == (4 if "x" in pattern else CLIPS + 4)
    assert time.monotonic() - began < 10
    clips = load_folders(folder, classes=["sub0", "sub1", "sub2", "sub3"], problems=Problems())
    assert len(clips) == 4


def test_globs_with_stars_match_as_they_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import glob

    (folder / "a" / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("a/x.mp4", "a/b/y.mp4", ".hidden/z.mp4", "a/[1].mp4", "a/b/.w.mp4"):
        (folder / name).write_bytes(b"x")
    monkeypatch.chdir(folder)
    for pattern in ("**/*.mp4", "**/b/*", "a/**", "*/**/y.mp4", "**/*.txt", "c0*.mp4", "**/[[]1].mp4"):
        for one in (pattern, f"{folder}/{pattern}"):
            theirs = {os.path.normpath(p) for p in glob.glob(one, recursive=True)}
            assert {os.path.normpath(p) for p in glob_paths(one)} - theirs <= {"a"}, one
            assert theirs - {os.path.normpath(p) for p in glob_paths(one)} <= {"."}, one


def test_folders_deeper_than_a_path_may_be_long(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = os.open(folder, os.O_RDONLY)
    handles = [here]
    for name in (*["d"] * 1050, *["d" * 200] * 10):
        os.mkdir(name, dir_fd=handles[-1])
        handles.append(os.open(name, os.O_RDONLY, dir_fd=handles[-1]))
        os.close(handles.pop(-2))
    os.close(os.open("deep.mp4", os.O_CREAT | os.O_WRONLY, dir_fd=handles[-1]))
    os.close(handles[-1])
    with caplog.at_level(logging.WARNING, logger="jungle"):
        assert len(find_clips(folder)) == CLIPS
    assert "file name too long" in caplog.text
    assert len(load_folders(folder, classes=["d"], problems=Problems())) == 0
    os.system(f"rm -rf '{folder}/d'")  # shutil would fail


def test_pipes_and_sockets_are_said(folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    (folder / "null.mp4").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as end:
        os.chdir(folder)
        end.bind("socket.mp4")
        with caplog.at_level(logging.WARNING, logger="jungle"):
            assert len(find_clips(folder)) == CLIPS
    os.chdir(tmp_path)
    assert "3 entries are passed over" in caplog.text


def test_a_folder_that_goes_while_it_is_walked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    (folder / "gone" / "x.mp4").write_bytes(b"x")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path)

    monkeypatch.setattr("jungle.data.folder_walk.os.scandir", scandir)
    assert len(find_clips(folder)) == CLIPS


def test_names_of_any_depth_in_a_table_are_looked_for() -> None:
    deep = "/" + "é/" * 60_000 + "a.mp4"
    assert locate(pl.Series([deep, deep.replace("é", "e"), "/é\0/a.mp4"])).to_list() == [None, None, None]


def test_a_home_that_nobody_has() -> None:
    for ask in (
        expand_user,
        make_absolute,
        read_table,
        lambda p: find_clips(p),
        lambda p: find_clips(f"{p}/*.mp4"),
    ):
        with pytest.raises(UserError, match="there is no user nosuchuser"):
            ask("~nosuchuser/a")


def test_a_drive_s_name_has_a_hint() -> None:
    with pytest.raises(UserError, match="/mnt/d"):
        find_clips("D:\\clips")


def test_runs_beside_a_folder_that_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="neither a training run"):
        find_runs([tmp_path])


BOMB = "b0: &b0 [x]\n" + "".join(f"b{i}: &b{i} [{','.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "an alias"),
        ("a: &a {b: 1}\nc: {<<: *a}\n", "an alias"),
        ("a: 1\n" * 300_000, "more than 1 MB"),
        ("[" * 5000, "deeper ones, than settings have"),
        ("- a\n", "holds no settings"),
        ("", "holds no settings"),
        ("a: !!python/object/apply:os.system ['true']\n", "not YAML"),
        ("a: \x00", "cannot be read"),
        ("a: [", "not YAML"),
    ],
)
def test_settings_of_a_stranger(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as refused:
        read_settings(tmp_path / "config.yaml")
    assert str(refused.value).isprintable()


def test_settings_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a: \xff")
    (tmp_path / "c.yaml").symlink_to("c.yaml")
    (tmp_path / "d.yaml").mkdir()
    for name in "abcde":
        with pytest.raises(UserError, match=f"{name}.yaml"):
            read_settings(tmp_path / f"{name}.yaml")
        assert read_json(tmp_path / f"{name}.yaml") == {}


def test_json_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[" * 200_000, '{"a":' * 200_000, "[1]", "\xff", "{"):
        (tmp_path / "run.json").write_text(text, encoding="latin-1")
        assert read_json(tmp_path / "run.json") == {}
    monkeypatch.setattr("jungle.files.MAX_JSON", 10)
    (tmp_path / "run.json").write_text('{"a": 12345678}')
    assert read_json(tmp_path / "run.json") == {}
