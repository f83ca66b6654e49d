"""Reading of tables as columns of text, whatever their encoding, separator and broken lines."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from jungle.console import log
from jungle.data.encodings import decode_text
from jungle.data.paths import make_absolute
from jungle.data.text import ENDS, clean_name
from jungle.errors import UserError, shorten_error
from jungle.files import describe_absent
from jungle.names import show
from jungle.parquet import read_parquet

MAX_BYTES = 512 * 2**20
MAX_COLUMNS = 10_000
MAX_ROWS = 20_000_000
MAX_CELLS = 100_000_000  # of a Parquet file, which says them in fewer bytes than a CSV does
ABOVE = 20  # lines of titles and comments that may stand above the header
_NAME = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
FIRST = 1000  # values of a column without a name that tell whether it numbers the rows
CHUNK = 50_000  # rows held as Python strings at a time


@dataclass(frozen=True)
class Table:
    """A table of trimmed text (NFC), null where empty, and the line of the file that each row ends on."""

    path: Path
    frame: pl.DataFrame
    lines: pl.Series
    separator: str = ","
    """Between the cells of a text file."""
    unit: str = "line"
    """What messages call a row."""

    def place(self, row: int) -> str:
        """Return where a row is, for messages: `line 17`."""
        return f"{self.unit} {self.lines[row]}"


def read_table(path: str | Path, typed: bool = False, as_written: bool = False) -> Table:
    """Read a CSV (comma, semicolon, tab or bar, in any usual encoding) or a Parquet file.

    What was guessed of its form is logged in one line.

    Args:
        path: the file.
        typed: keep the types of a Parquet file instead of turning every column into text.
        as_written: keep the accents of names and cells as they are composed in the file, for who writes them
            out again.

    Raises:
        UserError: there is no such file, it is too large, or it is malformed; names the file and the line.
    """
    path = make_absolute(path)
    try:
        if not path.is_file():
            if path.exists():
                raise UserError(f"{path}: not a file.")
            raise UserError(f"{path}: {describe_absent(path)}")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(
                f"{path}: larger than {MAX_BYTES >> 20} MiB; keep only the columns needed, or split it"
            )
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path, typed, as_written)
        return _read_csv(path, path.read_bytes(), as_written)
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}.") from None


def _read_parquet(path: Path, typed: bool, as_written: bool) -> Table:
    frame = read_parquet(path)
    try:
        if not typed:
            if frame.height * frame.width > MAX_CELLS:
                raise UserError(
                    f"{path}: {frame.height:,} rows of {frame.width:,} columns are more than can be held as "
                    "text; keep only the columns needed, or split it"
                )
            frame = _trim(path, frame, as_written)
    except pl.exceptions.PolarsError as e:
        raise UserError(f"{path}: not a Parquet table: {show(shorten_error(e))}") from None
    return Table(path, frame, pl.int_range(1, frame.height + 1, eager=True))


def read_text(path: Path) -> str:
    """Read the text of a file written by an unknown program; a guessed encoding is logged.

    Raises:
        UserError: it cannot be read, is not text, or its encoding cannot be guessed.
    """
    try:
        return _decode_file(path, path.read_bytes())
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}.") from None


def _decode_file(path: Path, data: bytes) -> str:
    try:
        found = decode_text(data)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text; save it as CSV in UTF-8") from None
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    if found.guess:
        log.warning(f"{path}: {found.guess}")
    return found.text.rstrip("\x1a")  # the end of a file, as DOS wrote it


def _find_separator(header: str) -> str:
    """Find the separator of a header line outside quotes: comma, semicolon or tab, else a bar."""
    outside = "".join(header.split('"')[::2])
    best = max(",;\t", key=outside.count)
    return best if best in outside or "|" not in outside else "|"


@dataclass(frozen=True)
class _Top:
    """Where a table begins: lines above its header, its separator, and whether those lines were a title."""

    above: int
    separator: str
    title: bool


def _find_header(path: Path, text: str) -> _Top:
    """Find the header: the first line that is not empty, a note of a spreadsheet, a title or a comment."""
    declared = ""
    said: list[tuple[int, str]] = []  # the first lines that say something
    for number, line in enumerate(io.StringIO(text, newline="")):
        marker = line.strip(ENDS)
        if not said and re.fullmatch(r"(?i)\"?sep=.\"?|sep=\t?", line.strip("\r\n \ufeff")):
            declared = line.strip("\r\n \ufeff").strip('"')[4:]
        elif marker.strip(",;\t|" + ENDS):
            said.append((number, line))
            if len(said) == ABOVE:
                break
    if not said:
        raise UserError(f"{path}: empty; write a header line and one line a clip")
    first = _find_first_row(said)
    number, header = said[first]
    separator = declared if declared and declared in header else _find_separator(header)
    return _Top(number, separator, first > 0)


def _find_first_row(said: list[tuple[int, str]]) -> int:
    """Find the first line with several cells, if the lines above are titles or comments of one; else 0."""
    for i, (_, line) in enumerate(said):
        remark = line.startswith("# ") and i + 1 < len(said) and not _NAME.search(line)
        cells = sum(bool(c.strip(ENDS)) for c in _split_cells(line, _find_separator(line)))
        below = said[i + 1][1] if remark else ""
        if cells > 1 and not (remark and cells < len(_split_cells(below, _find_separator(below)))):
            return i
        if line.count('"') % 2 or _NAME.search(line.strip(ENDS + ',;"')):
            return 0  # a heading of two lines, or the first name of a list
    return 0


def _split_cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return line.split(separator)


def _read_csv(path: Path, data: bytes, as_written: bool) -> Table:
    text = _decode_file(path, data)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}: line {line}: not text; save it as CSV in UTF-8")
    top = _find_header(path, text)
    if top.title:
        log.warning(f"{path}: the header is line {top.above + 1}; what stands above it is passed over")
    stream = io.StringIO(text, newline="")
    for _ in range(top.above):
        stream.readline()
    reader = csv.reader(stream, delimiter=top.separator, strict=True, skipinitialspace=True)
    try:
        cells = next(reader)
        names = _read_header(path, cells, top.above + 1, as_written)
        numbered = ((reader.line_num + top.above, row) for row in reader)
        frames, lines = _read_chunks(path, numbered, names, cells)
    except csv.Error as e:
        raise UserError(
            f"{path}: line {reader.line_num + top.above}: {e}; close each quote, and put names that hold "
            'a separator or a quote between "quotes"'
        ) from None
    kept = [n for n in names if n]
    frame = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(kept, pl.String))
    return Table(
        path, _trim(path, frame, as_written), pl.Series("line", lines, dtype=pl.Int64), top.separator
    )


def _read_header(path: Path, cells: list[str], line: int, as_written: bool) -> list[str]:
    names = [c.strip(ENDS) if as_written else clean_name(c) for c in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path}: {len(names)} columns are more than {MAX_COLUMNS}.")
    seen: set[str] = set()
    for name in names:
        if name and name in seen and any(_NAME.search(n) for n in names) and name in ("0", "1"):
            raise UserError(
                f"{path}: line {line} holds a clip and its labels: the table has no header; write one above "
                "it, with the name of each column"
            )
        if name and name in seen:
            raise UserError(
                f"{path}: line {line}: two columns are named {show(name)!r}; rename or remove one"
            )
        seen.add(name)
    return names


def _read_chunks(
    path: Path, numbered: Iterator[tuple[int, list[str]]], names: list[str], header: list[str]
) -> tuple[list[pl.DataFrame], list[int]]:
    """Read rows, each with its line, as frames of text; skip a header that is repeated.

    Raises:
        UserError: rows have another number of cells than the header; the first lines are named.
    """
    width = len(names)
    frames: list[pl.DataFrame] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    uneven: list[tuple[int, int]] = []
    nameless = {i: set[str]() for i, name in enumerate(names) if not name}
    for line, row in numbered:
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            row = row[:width]
        if not row or (not row[0].strip() and not any(cell.strip() for cell in row)):
            continue
        if _is_header(row, header, width):
            log.warning(f"{path}: line {line} is the header again: passed over")
            continue
        if len(row) != width:
            uneven.append((line, len(row)))
            if len(uneven) == 5:
                break
            continue
        # Numbers without a name, all different, are row numbers that a program added; others should be known.
        for i, before in list(nameless.items()):
            if re.search(r"[^\W\d]", row[i]) or row[i] in before:
                where = f"column {i + 1} (line {line}: {show(row[i], 40)!r})"
                log.warning(f"{path}: {where} has no name and is not used")
                del nameless[i]
            elif row[i].strip() and len(before) < FIRST:
                before.add(row[i])
        rows.append(row)
        lines.append(line)
        if len(rows) == CHUNK:
            frames.append(_make_frame(rows, names))
            rows = []
            if len(lines) > MAX_ROWS:
                raise UserError(f"{path}: more than {MAX_ROWS} rows.")
    if uneven:
        where = ", ".join(f"line {number} has {cells}" for number, cells in uneven)
        raise UserError(
            f"{path}: the header has {width} columns, but {where}; write every cell, and put names that hold "
            'the separator between "quotes"'
        )
    if rows:
        frames.append(_make_frame(rows, names))
    return frames, lines


def _is_header(row: list[str], header: list[str], width: int) -> bool:
    if row[0].strip(ENDS) != header[0].strip(ENDS):  # nearly every row ends here
        return False
    return [c.strip(ENDS) for c in row[:width]] == [c.strip(ENDS) for c in header[:width]]


def _make_frame(rows: list[list[str]], names: list[str]) -> pl.DataFrame:
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return pl.DataFrame([pl.Series(name, cells, dtype=pl.String) for name, cells in columns if name])


def _trim(path: Path, frame: pl.DataFrame, as_written: bool) -> pl.DataFrame:
    """Return the frame as text without blanks at the ends, null where empty; list items on a line each."""

    def is_flat(kind: pl.DataType) -> bool:
        return not kind.is_nested() and kind not in (pl.Duration, pl.Object)

    nested = {c: k for c, k in frame.schema.items() if isinstance(k, (pl.List, pl.Array))}
    lists = [c for c, k in nested.items() if is_flat(cast("pl.DataType", k.inner))]
    if other := [c for c, kind in frame.schema.items() if not is_flat(kind) and c not in lists]:
        kinds = ", ".join(f"{show(c, 40)} ({frame.schema[c].base_type().__name__})" for c in other)
        log.warning(
            f"{path}: columns that hold more than one value a cell, or none of text, are not used: {kinds}"
        )
        frame = frame.drop(other)
    items = {c: pl.col(c).cast(pl.List(pl.String)).list.drop_nulls() for c in lists}
    empty = {c: pl.when(pl.col(c).is_not_null()).then(pl.lit("[]")) for c in lists}  # as a CSV has it
    one = [
        pl.when(i.list.len() == 0).then(empty[c]).otherwise(i.list.join("\n")).alias(c)
        for c, i in items.items()
    ]
    whole = [c for c, k in frame.schema.items() if k.is_float() and _is_whole(frame[c])]
    text = frame.with_columns(*one, *(pl.col(c).cast(pl.Int64) for c in whole)).cast(pl.String)
    cell = pl.all().str.strip_chars(ENDS)
    if not as_written:
        cell = cell.str.normalize("NFC")
        names = {c: clean_name(c) for c in text.columns}
        text = text.rename(names) if len(set(names.values())) == len(names) else text
    return text.select(pl.when(cell != "").then(cell).name.keep())


def _is_whole(values: pl.Series) -> bool:
    """Return whether numbers with a point are all whole, as pandas makes them where a cell is empty."""
    known = values.drop_nulls()
    return bool(len(known)) and bool(((known == known.round()) & (known.abs() < 2**53)).all())
