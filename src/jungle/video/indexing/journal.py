"""Rows of a table kept as they come, a line each, so that a kill loses none of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from jungle.files import name_beside


class Journal:
    """The unfinished rows beside the table `out`; a context manager while it is written.

    Args:
        out: the table that the rows are for.
        columns: rows with other columns are not believed.
    """

    def __init__(self, out: Path, columns: set[str]) -> None:
        self.path = name_beside(out, ".", ".journal")
        self._columns = columns

    def rows(self) -> list[dict[str, Any]]:
        """What earlier runs left."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue  # cut by a kill
            if isinstance(row, dict) and "clip" in row and row.keys() <= self._columns:
                found.append(row)
        return found

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        self._file = self.path.open("a", encoding="utf-8")
        self._file.write("\n")  # a line that a kill has cut stays a line of its own
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._file.close()

    def drop(self) -> None:
        """Forget everything: the table is written."""
        self.path.unlink(missing_ok=True)
