"""The message about a path that is not there names what was probably meant, and only what is lacking."""

from pathlib import Path

import pytest

from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.data.formats.discover import find_clips
from jungle.ensemble.members import find_runs
from jungle.errors import UsageError, UserError
from jungle.files import describe_absent
from jungle.wording import tally_part
from tests.data.loading import load_folders


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clip.csv").write_text("filepath,label\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_that_is_not_there_names_the_folder_beside_it(disk: Path) -> None:
    assert describe_absent(disk / "clip", "folder") == "no such folder. There is clips."
    assert describe_absent(disk / "clip.cvs") == "no such file. There is clip.csv."
    assert describe_absent(disk / "elsewhere" / "clip", "folder") == "no such folder."


def test_clips_to_predict_name_the_folder_beside_them(disk: Path) -> None:
    with pytest.raises(UserError, match=r"videos=clisp: no such file or folder\. There is clips\.$"):
        find_clips("clisp")
    with pytest.raises(UserError, match=r"videos=quite_other: no such file or folder\. Looked in "):
        find_clips("quite_other")


def test_a_folder_a_class_names_the_folder_beside_it(disk: Path) -> None:
    with pytest.raises(UserError, match=r"clisp: no such folder\. There is clips\.$"):
        load_folders(disk / "clisp")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["data=csv", "data.labels=clip.csv"], "data=csv needs data.root=<folder of the clips>"),
        (["data=csv", "data.root=clips"], "data=csv needs data.labels=<table>"),
        (["data=csv"], "data=csv needs data.labels=<table> and data.root=<folder of the clips>"),
        (["data=folders"], "data=folders needs data.root=<folder with one folder a class>"),
    ],
)
def test_only_what_is_lacking_is_asked_for(given: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        compose("train", given, config_dir())
    assert str(error.value) == said


def test_members_of_an_ensemble_name_the_run_beside_them(disk: Path) -> None:
    (disk / "runs" / "first").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"^members=runs/frist: no such folder\. There is first\.$"):
        find_runs(["runs/frist"])


def test_a_part_of_several_things_agrees_with_its_verb() -> None:
    assert tally_part(1, 16, "frames are damaged") == "1 of 16 frames is damaged"
    assert tally_part(7, 16, "frames are damaged") == "7 of 16 frames are damaged"
    assert tally_part(1, 1, "frames are damaged") == "1 of 1 frame is damaged"
