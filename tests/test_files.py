"""Files in one step, on a disk that is full."""

import errno
from pathlib import Path

import pytest

from jungle.files import replacing


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("parquet: underlying IO error: No space left on device (os error 28)"),
    ],
)
def test_an_error_of_the_disk_names_the_file(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(OSError, match="No space") as raised, replacing(tmp_path / "a.parquet"):
        raise error
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no number"), replacing(tmp_path / "a.csv"):
        raise ValueError("no number")
