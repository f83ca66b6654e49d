"""Parquet files: other people's are checked before they are decoded, ours are written in one step.

A Parquet file of a kilobyte can stand for a terabyte: one text repeated, a run of nulls, a page of zeros.
What a file would take is told by its footer and by the headers of its pages, which are read here without
decoding.
"""

import errno
import io
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from jungle.errors import UserError, shorten_error
from jungle.files import replace_atomically
from jungle.names import escape, show
from jungle.system import free_memory

MAX_ROWS = 20_000_000
MAX_COLUMNS = 10_000
MAX_LEVELS = 8  # of lists and structs within each other; ours have one
MAX_CELL = 131_072  # bytes of one text, as in a CSV
MAX_TEXT = 512 << 20  # bytes of all texts together: as much as a CSV may hold
MAX_DECODED = 4 << 30  # bytes of a whole table in memory
LEAST = 256 << 20  # bytes in memory that any file may take
RATIO = 1000  # how much larger than its file a table may be beyond that: names of clips do not compress so
MAX_FOOTER = 64 << 20
MAX_PARTS = 2_000_000  # pages, and values of a footer
_PREFIXED = 7  # DELTA_BYTE_ARRAY: each text begins as the one before, so that a page's size says nothing
# Bytes of one value in memory: of BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY (a view)
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, 6: 16}
_TEXT, _FIXED = 6, 7


def write_parquet(table: pl.DataFrame, path: str | Path, sync: bool = True) -> None:
    """Write a table in one step; on a full disk the old file stays.

    Raises:
        OSError: it cannot be written.
    """
    # Polars would report an error within the footer as one of the format; Python names the disk's.
    text = io.BytesIO()
    table.write_parquet(text)
    with replace_atomically(path, sync) as part:
        part.write_bytes(text.getbuffer())


def join_parquet(parts: Sequence[Path], path: Path, rows: int) -> None:
    """Write one table of several of the same columns, in their order, in groups of `rows`.

    They are our own. Only a few groups are in memory at once.

    Raises:
        OSError: it cannot be written.
    """
    try:
        pl.scan_parquet(list(parts), glob=False).sink_parquet(path, row_group_size=rows, maintain_order=True)
    except pl.exceptions.PolarsError as e:
        raise OSError(errno.EIO, shorten_error(e), str(path)) from None


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file that may be anybody's, after checking what it takes.

    Args:
        path: the file.
        columns: which are wanted; None = all. What the others would take does not matter.

    Raises:
        UserError: it cannot be read, is no Parquet file, lacks a column, or would take far more memory than a
            table of clips does.
    """
    try:
        size = os.path.getsize(path)
        if not os.path.isfile(path):  # opening a pipe would wait for ever
            raise _Odd("not a file")
        if size < 12:
            raise _Odd("not a Parquet table: it is too short")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            _check(held, size, columns)
        # Polars knows no name of a file that is not UTF-8.
        known_name = escape(str(path)) == str(path)
        source = path if known_name else io.BytesIO(Path(path).read_bytes())
        scan = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        if columns is not None:
            known = scan.collect_schema().names()
            if lost := [c for c in columns if c not in known]:
                raise UserError(f"{path}: it has no column {show(lost[0])}.")
            scan = scan.select(columns)
        table = scan.collect()
        _check_texts(table)
    except _Odd as e:
        raise UserError(f"{path}: {e}.") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror or show(e)}.") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as e:
        said = show(shorten_error(e))
        raise UserError(f"{path}: not a Parquet table: {said}") from None
    return table


class _Odd(Exception):
    """Fault of a file, as it is written after the file's name."""


@dataclass
class _Column:
    """Facts about a column other than its values."""

    name: str
    kind: int
    width: int
    values: int = 0
    text: int = 0


def _check(held: mmap.mmap, size: int, columns: Sequence[str] | None) -> None:
    """Add up the memory that the file would take.

    Raises:
        _Odd: it is more than any table of clips, or the file is damaged.
    """
    length = int.from_bytes(held[size - 8 : size - 4], "little")
    if held[:4] != b"PAR1" or held[size - 4 :] != b"PAR1" or not 0 < length <= size - 12:
        raise _Odd("not a Parquet table: it does not begin and end as one")
    if length > MAX_FOOTER:
        raise _Odd("not a table of clips: the description of its columns alone is larger than one")
    try:
        reader = _Thrift(held, size - 8 - length, size - 8)
        footer = reader.struct()
        leaves = _list_leaves(footer[2])
        rows, groups = footer.get(3, 0), footer.get(4, [])
        wanted = None if columns is None else set(columns)
        for group in groups:
            chunks = group[1]
            if len(chunks) != len(leaves):
                raise _Odd("not a Parquet table: its parts have different columns")
            for leaf, chunk in zip(leaves, chunks, strict=True):
                if wanted is None or leaf.name in wanted:
                    _add(held, size, reader, leaf, chunk[3], group.get(3, 0))
        rows = max(rows, sum(g.get(3, 0) for g in groups))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise _Odd("not a Parquet table: its description is damaged") from None
    names = {leaf.name for leaf in leaves}
    if rows > MAX_ROWS or len(names) > MAX_COLUMNS:
        raise _Odd(f"{rows:,} rows and {len(names):,} columns are more than can be held")
    total = sum(c.values * c.width + c.text for c in leaves)
    most = min(MAX_DECODED, max(LEAST, free_memory() // 2))
    if total > most:
        raise _Odd(
            f"it would take {total / 1e9:.1f} GB of memory, more than the {most / 1e9:.1f} that can be had. "
            "Keep only the columns needed, or split it"
        )
    if total > max(LEAST, RATIO * size):
        raise _Odd(
            f"its {size / 1e6:.1f} MB stand for {total / 1e9:.1f} GB, as no table of clips does: the same is "
            "repeated in it without end"
        )


def _list_leaves(elements: list[dict[int, Any]]) -> list[_Column]:
    """Return the columns that hold values, in order, with the outermost name of nested ones."""
    found: list[_Column] = []
    open_: list[list[Any]] = []  # [name of the outermost, children to come]
    for number, element in enumerate(elements):
        children = element.get(5, 0)
        if number == 0:
            open_.append(["", children])
            continue
        while open_ and open_[-1][1] == 0:
            open_.pop()
        if not open_ or children < 0:
            raise ValueError("the tree of columns does not close")
        open_[-1][1] -= 1
        name = open_[-1][0] if len(open_) > 1 else element[4].decode("utf-8", "replace")
        if children:
            open_.append([name, children])
            if len(open_) > 2 * MAX_LEVELS:
                raise _Odd(f"column {show(name)}: lists within lists, deeper than {MAX_LEVELS}")
            continue
        kind = element[1]
        width = element.get(2, 0) if kind == _FIXED else _WIDTHS[kind]
        if kind == _FIXED and not 0 < width <= MAX_CELL:
            raise _Odd(f"column {show(name)}: its cells have {width:,} bytes, more than {MAX_CELL:,}")
        found.append(_Column(name, kind, width + (8 * len(open_) if len(open_) > 1 else 0)))
    return found


def _add(
    held: mmap.mmap, size: int, reader: "_Thrift", leaf: _Column, facts: dict[int, Any], rows: int
) -> None:
    """Add the memory of one chunk of a column: its values, and for texts their pages."""
    at, end = facts.get(11) or facts[9], facts[7]
    end += at
    if at < 4 or end > size or facts[7] < 0 or rows < 0 or facts[5] < 0:
        raise ValueError("a column lies outside the file")
    values = 0
    while at < end:
        pages = _Thrift(held, at, end, reader.left)
        header = pages.struct()
        reader.left = pages.left
        data = header.get(5) or header.get(8) or {}
        within = header.get(7) or {}
        if header[2] < 0 or header[3] < 0 or data.get(1, 0) < 0:
            raise ValueError("a page has no size")
        if _PREFIXED in (data.get(2 if 5 in header else 4), within.get(2)):
            raise _Odd(
                f"column {show(leaf.name)} is written as DELTA_BYTE_ARRAY, which is not read, because its "
                "size cannot be told. Write it with PLAIN or dictionary encoding, or as CSV"
            )
        values += data.get(1, 0)
        # A page is decompressed at once; texts stay where they lie in it.
        leaf.text += header[2]
        at = pages.at + header[3]
    leaf.values += max(values, facts[5], rows)


def _check_texts(table: pl.DataFrame) -> None:
    """Refuse texts that are too long, alone or together: one text may be repeated in every row.

    Raises:
        _Odd: naming the column.
    """
    total = 0
    for name, texts in _iter_texts(table):
        lengths = texts.bin.size() if texts.dtype == pl.Binary else texts.str.len_bytes()
        longest = int(lengths.max() or 0)  # type: ignore[arg-type]  # lengths are numbers
        total += int(lengths.cast(pl.UInt64).sum()) + len(texts)
        if longest > MAX_CELL:
            raise _Odd(f"column {show(name)}: a cell has {longest:,} bytes, more than {MAX_CELL:,}")
        if total > MAX_TEXT:
            raise _Odd(
                f"column {show(name)}: its texts come to more than {MAX_TEXT >> 20} MiB. Keep only the "
                "columns needed, or split it"
            )


def _iter_texts(table: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    """Yield every text column, those within lists and structs too, with the name of the outermost."""
    left = [(column.name, column) for column in table.get_columns()]
    while left:
        name, column = left.pop()
        if isinstance(column.dtype, (pl.List, pl.Array)):
            if _holds_text(column.dtype):
                left.append((name, column.explode()))
        elif isinstance(column.dtype, pl.Struct):
            left += [(name, inner) for inner in column.struct.unnest().get_columns()]
        elif column.dtype in (pl.Categorical, pl.Enum):
            left.append((name, column.cast(pl.String)))
        elif column.dtype in (pl.String, pl.Binary):
            yield name, column


def _holds_text(kind: Any) -> bool:
    if isinstance(kind, (pl.List, pl.Array)):
        return _holds_text(kind.inner)
    return not kind.is_numeric() and kind != pl.Boolean


@dataclass
class _Thrift:
    """Reader of Thrift's compact protocol, which Parquet's metadata use.

    A struct becomes a dict by the numbers of its fields. Nothing is made larger than what it is read from.
    """

    held: mmap.mmap
    at: int
    end: int
    left: list[int] = field(default_factory=lambda: [MAX_PARTS])
    """How many values more may be read, shared by all that read one file."""

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of the struct that begins here."""
        if depth > 16:
            raise ValueError("too deep")
        fields: dict[int, Any] = {}
        number = 0
        while kind := (head := self._byte()) & 15:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise _Odd("not a table of clips: its description has millions of parts")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > self.end - self.at:
                raise ValueError("a list is longer than the file")
            return [self._value(head & 15, depth) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("a kind of value that Parquet does not use")

    def _byte(self) -> int:
        if self.at >= self.end:
            raise ValueError("cut off")
        self.at += 1
        return self.held[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise ValueError("cut off")
        self.at += count
        return self.held[self.at - count : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number without end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
