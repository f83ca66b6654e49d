"""Files in one step: on a disk that is full, and with the longest names that a disk takes."""

import errno
from pathlib import Path

import pytest

from jungle.errors import UserError
from jungle.files import NAME_BYTES, expand_user, name_beside, replace_atomically, write_text


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("parquet: underlying IO error: No space left on device (os error 28)"),
    ],
)
def test_an_error_of_the_disk_names_the_file(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(OSError, match="No space") as raised, replace_atomically(tmp_path / "a.parquet"):
        raise error
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no number"), replace_atomically(tmp_path / "a.csv"):
        raise ValueError("no number")


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".mp4", "ж" * 125 + ".mp4", "野" * 83 + ".avi", "x." + "y" * 253, "." + "z" * 254]
)
def test_names_as_long_as_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    assert NAME_BYTES - 2 <= len(name.encode()) <= NAME_BYTES
    write_text(tmp_path / name, "a")
    assert [f.name for f in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "a"


def test_the_temporary_name_is_hidden_short_and_keeps_the_suffix(tmp_path: Path) -> None:
    for name in ("a.parquet", "x" * 240 + ".safetensors", "no suffix"):
        with replace_atomically(tmp_path / name) as part:
            assert part.name.startswith(".")
            assert ".part" in part.name
            assert part.suffix in (Path(name).suffix, ".part")
            assert len(part.name) < 40
            part.write_text("a")


def test_a_name_that_the_disk_refuses_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, said in (("x" * 256, "too long"), ("folder", "Is a directory")):
        with pytest.raises(OSError, match=said) as raised, replace_atomically(tmp_path / name):
            raise AssertionError("the work began")
        assert raised.value.filename == str(tmp_path / name)
    assert [f.name for f in tmp_path.iterdir()] == ["folder"]


def test_what_is_named_after_a_file_has_a_name_that_can_be(tmp_path: Path) -> None:
    assert name_beside(tmp_path / "a.csv", ".", ".lock") == tmp_path / ".a.csv.lock"
    long, other = (tmp_path / (letter * 251 + ".csv") for letter in "xy")
    beside = name_beside(long, ".", ".journal")
    beside.write_text("a")
    assert beside.name.endswith(".journal")
    assert beside == name_beside(long, ".", ".journal")
    assert beside not in (name_beside(long, ".", ".lock"), name_beside(other, ".", ".journal"))


def test_a_folder_that_is_named_as_a_user_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no user nosuchuser"):
        expand_user("~nosuchuser/x")
    (tmp_path / "~nosuchuser").mkdir()
    assert expand_user("~nosuchuser") == Path("~nosuchuser")
