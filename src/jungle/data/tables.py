"""Other people's tables as columns of text: encodings, separators and broken lines are dealt with here."""

import csv
import difflib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.data.problems import shown
from jungle.errors import UserError
from jungle.files import expanded
from jungle.parquet import read_parquet

MAX_BYTES = 512 * 2**20
MAX_COLUMNS = 10_000
MAX_ROWS = 20_000_000
MAX_CELLS = 100_000_000  # of a Parquet file, which says them in fewer bytes than a CSV does
CHUNK = 50_000  # rows held as Python strings at a time


@dataclass(frozen=True)
class Table:
    """A table of trimmed text, null where empty, and the line of the file that each row ends on."""

    path: Path
    frame: pl.DataFrame
    lines: pl.Series

    def place(self, row: int) -> str:
        """Where a row is, for messages: `line 17`."""
        return f"line {self.lines[row]}"


def read_table(path: str | Path, typed: bool = False) -> Table:
    """Read a CSV (comma, semicolon, tab; UTF-8 with or without BOM, UTF-16, Windows-1252) or a Parquet file.

    Args:
        path: the file.
        typed: keep the types of a Parquet file instead of turning every column into text.

    Raises:
        UserError: there is no such file, it is too large, or it is malformed; names the file and the line.
    """
    path = expanded(path)
    try:
        if not path.is_file():
            if path.exists():
                raise UserError(f"{path}: not a file.")
            beside = difflib.get_close_matches(path.name, [f.name for f in path.parent.glob("*")], 1)
            raise UserError(f"{path}: no such file." + (f" There is {beside[0]}." if beside else ""))
        if path.stat().st_size > MAX_BYTES:
            raise UserError(
                f"{path}: larger than {MAX_BYTES >> 20} MiB. Keep only the columns needed, or split it."
            )
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path, typed)
        return _read_csv(path, path.read_bytes())
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}.") from None


def _read_parquet(path: Path, typed: bool) -> Table:
    frame = read_parquet(path)
    try:
        if not typed:
            if frame.height * frame.width > MAX_CELLS:
                raise UserError(
                    f"{path}: {frame.height:,} rows of {frame.width:,} columns are more than can be held as "
                    "text. Keep only the columns needed, or split it."
                )
            frame = _trimmed(frame.cast(pl.String))
    except pl.exceptions.PolarsError as e:
        raise UserError(f"{path}: not a Parquet table: {shown(str(e).splitlines()[0])}") from None
    return Table(path, frame, pl.int_range(1, frame.height + 1, eager=True))


def decoded(data: bytes) -> str:
    """The text of a file written by who knows which program."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Spreadsheets on Windows write their code page; Latin-1 gives every byte some letter.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")


def _separator(header: str) -> str:
    """The one of comma, semicolon and tab that the header line has most of, outside quotes."""
    outside = "".join(header.split('"')[::2])
    return max(",;\t", key=outside.count)


def _read_csv(path: Path, data: bytes) -> Table:
    try:
        text = decoded(data)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text. Save it as CSV in UTF-8.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}: line {line}: not text. Save it as CSV in UTF-8.")
    stream = io.StringIO(text, newline="")
    header = ""
    skipped = 0
    for line in stream:
        header = line
        marker = line.strip().lower()
        if marker.startswith("sep=") and len(marker) <= 5:  # a spreadsheet's note to itself
            header = ""
        if header.strip():
            break
        skipped += 1
    if not header.strip():
        raise UserError(f"{path}: empty. It needs a header line and one line a clip.")
    stream.seek(0)
    for _ in range(skipped):
        stream.readline()
    reader = csv.reader(stream, delimiter=_separator(header), strict=True)
    try:
        names = _header(path, next(reader))
        frames, lines = _chunks(path, reader, names, skipped)
    except csv.Error as e:
        raise UserError(
            f"{path}: line {reader.line_num + skipped}: {e}. Is a quote unclosed? Put names that hold a "
            'separator or a quote between "quotes".'
        ) from None
    kept = [n for n in names if n]  # columns without a name are row numbers that a program added
    frame = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(kept, pl.String))
    return Table(path, _trimmed(frame), pl.Series("line", lines, dtype=pl.Int64))


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [c.strip() for c in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path}: {len(names)} columns are more than {MAX_COLUMNS}.")
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise UserError(f"{path}: line 1: two columns are named {shown(name)!r}. Rename or remove one.")
        seen.add(name)
    return names


def _chunks(
    path: Path, reader: Iterator[list[str]], names: list[str], skipped: int
) -> tuple[list[pl.DataFrame], list[int]]:
    """The rows as frames of text, and each row's line.

    Raises:
        UserError: rows have another number of cells than the header; the first lines are named.
    """
    width = len(names)
    frames: list[pl.DataFrame] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    uneven: list[tuple[int, int]] = []
    for row in reader:
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            row = row[:width]
        if not row or (not row[0].strip() and not any(cell.strip() for cell in row)):
            continue
        if len(row) != width:
            uneven.append((reader.line_num + skipped, len(row)))  # type: ignore[attr-defined]  # csv.reader has it
            if len(uneven) == 5:
                break
            continue
        rows.append(row)
        lines.append(reader.line_num + skipped)  # type: ignore[attr-defined]  # csv.reader has it
        if len(rows) == CHUNK:
            frames.append(_frame(rows, names))
            rows = []
            if len(lines) > MAX_ROWS:
                raise UserError(f"{path}: more than {MAX_ROWS} rows.")
    if uneven:
        where = ", ".join(f"line {line} has {cells}" for line, cells in uneven)
        raise UserError(
            f"{path}: the header has {width} columns, but {where}. Write every cell, and put names that hold "
            'the separator between "quotes".'
        )
    if rows:
        frames.append(_frame(rows, names))
    return frames, lines


def _frame(rows: list[list[str]], names: list[str]) -> pl.DataFrame:
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return pl.DataFrame([pl.Series(name, cells, dtype=pl.String) for name, cells in columns if name])


def _trimmed(frame: pl.DataFrame) -> pl.DataFrame:
    text = pl.all().str.strip_chars()
    return frame.select(pl.when(text != "").then(text).name.keep())
