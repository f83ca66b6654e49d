"""Tables of one row per clip, made by worker processes; rows are kept as they come, so a kill loses none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from jungle.console import Progress
from jungle.files import name_beside
from jungle.video.indexing.inspect_file import read_stamp, to_text
from jungle.video.workers.process_pool import TaskFailed, WorkerPool
from jungle.video.workers.worker_main import Task

MEMORY_GB = 2.0  # of private memory for each worker
Row = dict[str, object]


class Journal:
    """Unfinished rows of a table, in a file next to it; a context manager for writing.

    Args:
        out: the table.
        columns: of the table; rows with others are ignored.
    """

    def __init__(self, out: Path, columns: set[str]) -> None:
        self.path = name_beside(out, ".", ".journal")
        self.columns = columns

    def rows(self) -> list[Row]:
        """Return the rows that earlier runs left."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue  # cut by a kill
            if isinstance(row, dict) and "clip" in row and row.keys() <= self.columns:
                found.append(row)
        return found

    def add(self, row: Row) -> None:
        """Keep a row."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        self._file = self.path.open("a", encoding="utf-8")
        self._file.write("\n")  # separates a line that a kill has cut
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def drop(self) -> None:
        """Delete all rows: the table is written."""
        self.path.unlink(missing_ok=True)


def run_tasks(
    journal: Journal,
    task: Task[tuple[str, str]],
    left: list[tuple[str, str]],
    *,
    label: str,
    total: int,
    workers: int,
    timeout_s: float,
    failed: Row,
) -> Iterator[Row]:
    """Answer clips in worker processes; yield their rows in order, each kept in the journal.

    Args:
        journal: of the table.
        task: takes a pair of clip name and path.
        left: the clips that have no row yet.
        label: of the progress bar.
        total: clips, those with a row included.
        workers: processes.
        timeout_s: seconds a clip may take.
        failed: further columns of a clip on which the task hangs or dies.
    """
    with (
        journal,
        Progress(label, total, done=total - len(left)) as bar,
        WorkerPool(task, workers=workers, timeout_s=timeout_s, memory_gb=MEMORY_GB) as pool,
    ):
        for (name, path), answer in pool.map(left, ahead=4 * max(1, workers)):
            if isinstance(answer, TaskFailed):
                facts: Row = {**read_stamp(path), "status": "failed", "reason": str(answer), **failed}
            else:
                facts = dict(answer[0])
            own = {"path": to_text(path)} if "path" in journal.columns else {}
            row = {"clip": name, **own, **facts}
            journal.add(row)
            yield row
            bar.advance()
