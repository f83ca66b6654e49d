"""Rows of a prediction folder in an SQLite database: whatever is killed, what was committed is there.

Memory does not grow with the number of rows, and a clip is found by its name or by its content at once. The
file may be a stranger's: its tables must be exactly these, and every value is checked when it is read.
"""

import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jungle.data.predictions import FAILED, STATUSES, ClipPrediction
from jungle.errors import UserError, shorten_error

TABLES = (
    "CREATE TABLE about (classes TEXT NOT NULL, call INTEGER NOT NULL, finished INTEGER NOT NULL)",
    "CREATE TABLE rows (clip TEXT PRIMARY KEY, key TEXT NOT NULL, status TEXT NOT NULL, "
    "reason TEXT NOT NULL, probs BLOB, times BLOB, attention BLOB, duration REAL NOT NULL, "
    "created TEXT NOT NULL, copied INTEGER NOT NULL, call INTEGER NOT NULL)",
    "CREATE INDEX rows_by_key ON rows (key, copied)",
)
VALUES = "clip, status, reason, probs, times, attention, duration, created"
MOST_BYTES = 16 << 20  # of one value; those of a clip with 10,000 frames take 40 kB
ASKED = 500  # clips in one query


class StoredRow(NamedTuple):
    """Name and prediction of a clip."""

    clip: str
    prediction: ClipPrediction


class RowStore:
    """Database of rows, one per clip. The caller holds a lock on the folder.

    Args:
        file: the database; it is made where there is none.
        classes: the order of the probabilities.

    Raises:
        UserError: the file is damaged, or holds something else.
        OSError: it cannot be written.
    """

    def __init__(self, file: Path, classes: Sequence[str]) -> None:
        self.file, self.classes = file, tuple(classes)
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "locking_mode=EXCLUSIVE"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # what a process commits outlives it
        tables = [sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
        if not tables:
            with self._transaction():
                for sql in TABLES:
                    self._db.execute(sql)
                self._db.execute("INSERT INTO about VALUES (?, 1, 0)", [json.dumps(self.classes)])
        elif sorted(tables) != sorted(TABLES):
            raise self._odd("it has other tables than the rows of a prediction")
        about = self._db.execute("SELECT classes, call FROM about").fetchall()
        if len(about) != 1 or about[0][0] != json.dumps(self.classes):
            raise self._odd("it has other classes than these checkpoints")
        self.call = int(about[0][1])
        """Number of the call that writes: those after a finished one begin a new one."""

    def close(self) -> None:
        """Close the database; what was not committed is lost."""
        self._db.close()

    def find(self, clip: str) -> tuple[str, str] | None:
        """Return status and key of a clip's row; None if it has none."""
        with self._explained():
            return self._db.execute("SELECT status, key FROM rows WHERE clip = ?", [clip]).fetchone()

    def find_sound(self, key: str) -> str | None:
        """Return the name of a clip with this content that was read in full, and was not copied itself."""
        where = "key = ? AND copied = 0 AND status = 'ok'"
        sql = f"SELECT clip FROM rows WHERE {where} ORDER BY clip LIMIT 1"
        with self._explained():
            found = self._db.execute(sql, [key]).fetchone()
        return None if found is None else found[0]

    def add(self, rows: Iterable[tuple[str, str, ClipPrediction, bool]]) -> None:
        """Write rows in one transaction, each in place of an earlier one of its clip.

        Args:
            rows: name of the clip, key of its content, prediction, and whether that is a copy of another
                clip's with the same content.
        """
        values = [
            (
                *(clip, key, row.status, row.reason),
                *(_pack(values) for values in (row.probs, row.times, row.attention)),
                *(row.duration, row.created, copied, self.call),
            )
            for clip, key, row, copied in rows
        ]
        with self._explained(), self._transaction():
            self._db.execute("UPDATE about SET finished = 0")
            self._db.executemany(f"INSERT OR REPLACE INTO rows VALUES ({','.join('?' * 11)})", values)

    def remove_failed(self) -> None:
        """Remove the rows of clips that have failed."""
        with self._explained(), self._transaction():
            self._db.execute("DELETE FROM rows WHERE status = ?", [FAILED])

    def get(self, clips: Sequence[str]) -> list[ClipPrediction]:
        """Return the predictions of clips, in their order.

        Raises:
            UserError: one has none.
        """
        found: dict[str, ClipPrediction] = {}
        with self._explained():
            for start in range(0, len(clips), ASKED):
                asked = clips[start : start + ASKED]
                places = ",".join("?" * len(asked))
                sql = f"SELECT {VALUES} FROM rows WHERE clip IN ({places})"
                found.update(self._to_row(values) for values in self._db.execute(sql, asked))
        if lost := next((clip for clip in clips if clip not in found), None):
            raise UserError(f"{self.file}: it has no row of {lost}. Run the same command again")
        return [found[clip] for clip in clips]

    def list_rows(self, call: int | None = None) -> Iterator[StoredRow]:
        """Yield all rows, or those of one call, in the order in which they were written."""
        where, values = ("", []) if call is None else ("WHERE call = ?", [call])
        with self._explained():
            for found in self._db.execute(f"SELECT {VALUES} FROM rows {where} ORDER BY rowid", values):
                yield self._to_row(found)

    def begin_call(self) -> None:
        """Count a new call where the one before was finished: its rows are listed apart."""
        with self._explained(), self._transaction():
            self._db.execute("UPDATE about SET call = call + 1, finished = 0 WHERE finished = 1")
            self.call = self._db.execute("SELECT call FROM about").fetchone()[0]

    def finish_call(self) -> None:
        """Note that the results of all rows were written."""
        with self._explained(), self._transaction():
            self._db.execute("UPDATE about SET finished = 1")

    def _to_row(self, values: tuple[object, ...]) -> StoredRow:
        clip, status, reason, probs, times, attention, duration, created = values
        if status not in STATUSES:
            raise self._odd(f"a status is one of {', '.join(STATUSES)}")
        if not all(isinstance(v, str) for v in (clip, reason, created)) or not isinstance(duration, float):
            raise self._odd("a value is of another kind than those of a prediction")
        probs_C = self._unpack(probs)
        if (0 if probs_C is None else len(probs_C)) != (0 if status == FAILED else len(self.classes)):
            raise self._odd("a row has other answers than there are classes")
        if probs_C is not None and not ((probs_C >= 0) & (probs_C <= 1)).all():
            raise self._odd("a probability lies outside 0 to 1")
        row = ClipPrediction(
            str(status),
            str(reason),
            probs_C,
            times=self._unpack(times),
            attention=self._unpack(attention),
            duration=duration,
            created=str(created),
        )
        return StoredRow(str(clip), row)

    def _unpack(self, value: object) -> np.ndarray | None:
        if value is None:
            return None
        if not isinstance(value, bytes) or len(value) % 4:
            raise self._odd("a value is of another kind than those of a prediction")
        return np.frombuffer(value, "<f4")

    def _odd(self, said: str) -> UserError:
        return UserError(f"{self.file}: {said}. Delete that file: its clips are predicted again")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what is wrong with the file or the disk in one line."""
        try:
            yield
        except sqlite3.OperationalError as e:
            code = getattr(e, "sqlite_errorcode", 0) & 0xFF
            known = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}
            raise OSError(known.get(code, errno.EIO), shorten_error(e), str(self.file)) from None
        except (sqlite3.DatabaseError, sqlite3.DataError, OverflowError) as e:
            raise self._odd(f"not rows of a prediction: {shorten_error(e)}") from None


def _pack(values: np.ndarray | None) -> bytes | None:
    return None if values is None else np.asarray(values, "<f4").tobytes()
