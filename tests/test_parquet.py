"""Parquet files of strangers: refused in one line, before they cost memory; ours on a disk that fills."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from jungle import parquet
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.table_io import read_table
from jungle.errors import UserError
from jungle.parquet import read_parquet, write_parquet

MILLION = 1_000_000


def peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def rows(n: int) -> pl.Series:
    return pl.select(pl.repeat("a.mp4", n).alias("filepath")).to_series()


def deep(levels: int) -> pl.Series:
    kind: pl.DataType = pl.Int8()
    for _ in range(levels):
        kind = pl.List(kind)
    return pl.Series("filepath", [None], dtype=kind)


# Some kilobytes each; what they stand for is 0.3 to 8 GB.
BOMBS: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "one long text in every row": (
        lambda: pl.DataFrame(
            {"filepath": ["a.mp4"] * 3000, "label": pl.repeat("x" * MILLION, 3000, eager=True)}
        ),
        "a cell has 1,000,000 bytes",
    ),
    "many texts as long as may be": (
        lambda: pl.DataFrame({"filepath": pl.repeat("x" * 100_000, 6000, eager=True)}),
        "come to more than 512 MiB",
    ),
    "long texts within lists": (
        lambda: pl.DataFrame({"filepath": ["a.mp4"], "label": [["x" * MILLION]]}),
        "a cell has 1,000,000 bytes",
    ),
    "long texts within structs": (
        lambda: pl.DataFrame({"filepath": ["a.mp4"], "label": [{"inner": "x" * MILLION}]}),
        "a cell has 1,000,000 bytes",
    ),
    "bytes": (lambda: pl.DataFrame({"filepath": [b"x" * MILLION]}), "a cell has 1,000,000 bytes"),
    "categories": (
        lambda: pl.DataFrame({"filepath": pl.Series(["x" * MILLION] * 9, dtype=pl.Categorical)}),
        "a cell has 1,000,000 bytes",
    ),
    "rows that repeat": (lambda: pl.DataFrame(rows(20 * MILLION)), "repeated in it without end"),
    "more rows than can be": (lambda: pl.DataFrame(rows(20 * MILLION + 1)), "more than can be held"),
    "a list of nulls": (
        lambda: pl.DataFrame({"filepath": ["a"], "times": [pl.repeat(0.0, 40 * MILLION, eager=True)]}),
        "repeated in it without end",
    ),
    "columns without end": (
        lambda: pl.DataFrame({str(i): [1] for i in range(10_001)}),
        "more than can be held",
    ),
    "lists within lists": (lambda: pl.DataFrame(deep(40)), "lists within lists"),
}


def said(do: Callable[..., object], *given: object) -> str:
    """Return what a call that may fail says of it; empty where it did not fail."""
    try:
        do(*given)
    except (UserError, OSError) as e:
        return str(e)
    return ""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bombs, made by another process, so that this one's memory can be looked at."""
    folder = tmp_path_factory.mktemp("bombs")
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.test_parquet import BOMBS\n"
        "for name, (make, _) in BOMBS.items():\n"
        "    make().write_parquet(Path(sys.argv[1]) / f'{name}.parquet')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=Path(__file__).parents[1])
    return folder


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_stands_for_far_more_is_refused(bombs: Path, name: str) -> None:
    path, before = bombs / f"{name}.parquet", peak()
    assert path.stat().st_size < 4_000_000
    for read in (read_parquet, read_table):
        with pytest.raises(UserError, match=BOMBS[name][1]) as refused:
            read(path)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert peak() - before < 400 * MILLION


def test_all_doors_look(bombs: Path) -> None:
    path = bombs / "one long text in every row.parquet"
    for read in (Clips.read, predictions.read):
        with pytest.raises(UserError, match="1,000,000 bytes"):
            read(path)


def test_what_is_not_asked_for_may_be_large(tmp_path: Path) -> None:
    pl.DataFrame({"clip": ["a"], "other": ["x" * MILLION]}).write_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", ["clip"])["clip"].to_list() == ["a"]
    with pytest.raises(UserError, match="no column split"):
        read_parquet(tmp_path / "a.parquet", ["clip", "split"])


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "uncompressed", "lz4", "brotli"])
def test_an_honest_one_is_read_as_it_is(tmp_path: Path, compression: str) -> None:
    table = pl.DataFrame(
        {
            "clip": [f"é{i}\n.mp4" for i in range(5000)],
            "times": [[0.0, 1.5], None, []] * 1666 + [[1.0]] * 2,
            "n": range(5000),
            "time": pl.Series(range(5000)).cast(pl.Datetime("us")),
            "kind": pl.Series(["a", None] * 2500, dtype=pl.Categorical),
            "flag": [True, None] * 2500,
            "inner": [{"a": 1, "b": ["x"]}] * 5000,
        }
    )
    table.write_parquet(tmp_path / "a[1].parquet", compression=compression, row_group_size=700)  # type: ignore[arg-type]
    assert read_parquet(tmp_path / "a[1].parquet").equals(table)
    write_parquet(table, tmp_path / "b.parquet")
    assert read_parquet(tmp_path / "b.parquet").equals(table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a[1].parquet", "b.parquet"]


def test_an_encoding_whose_size_cannot_be_told_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"clip": ["a", "b", "a"]}).write_parquet(tmp_path / "a.parquet")
    text = (tmp_path / "a.parquet").read_bytes()
    at = text.index(b"\x15\x10", 8)  # RLE_DICTIONARY, in the header of the page of values
    (tmp_path / "b.parquet").write_bytes(text[:at] + b"\x15\x0e" + text[at + 2 :])
    with pytest.raises(UserError, match="DELTA_BYTE_ARRAY"):
        read_parquet(tmp_path / "b.parquet")


def test_damage_of_any_sort_is_one_line(tmp_path: Path) -> None:
    pl.DataFrame({"clip": ["a", "b"] * 50, "n": range(100)}).write_parquet(tmp_path / "a.parquet")
    text = (tmp_path / "a.parquet").read_bytes()
    path = tmp_path / "b.parquet"
    for at in range(0, len(text), 3):
        for spoilt in (text[:at], text[:at] + b"\xff" + text[at + 1 :], text[:at] + text[at + 1 :]):
            path.write_bytes(spoilt)
            assert "\n" not in said(read_parquet, path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, Path.touch, lambda p: p.symlink_to(p)])
def test_what_is_no_file_is_one_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet"):
        read_parquet(tmp_path / "a.parquet")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB, where one may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free_kb", [0, 4, 8, 12])
def test_a_disk_that_fills_says_so(small_disk: Path, free_kb: int) -> None:
    fill = small_disk / "fill"
    for n in (1, 100, 150, 200, 300, 3000):
        fill.write_bytes(os.urandom((16 - free_kb) * 1024))
        table = pl.DataFrame({"clip": [os.urandom(20).hex() for _ in range(n)]})
        if told := said(write_parquet, table, small_disk / "a.parquet"):
            assert told == f"[Errno {errno.ENOSPC}] No space left on device: '{small_disk / 'a.parquet'}'"
            assert [p.name for p in small_disk.iterdir()] == ["fill"]
        else:
            assert read_parquet(small_disk / "a.parquet").equals(table)
            (small_disk / "a.parquet").unlink()
        fill.unlink()


def test_a_disk_that_is_full_for_any_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_parquet(pl.DataFrame({"a": [1]}), tmp_path / "a.parquet")
    assert raised.value.filename == str(tmp_path / "a.parquet")


def test_limits_are_those_of_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pl.DataFrame({"a": pl.int_range(MILLION, eager=True)}).write_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "LEAST", MILLION)
    monkeypatch.setattr(parquet, "free_memory", lambda: 2 * MILLION)
    with pytest.raises(UserError, match=r"0\.0 GB of memory"):
        read_parquet(tmp_path / "a.parquet")
