"""Folder of a prediction: rows are kept as they come and become tables in the order asked for at the end.

Memory does not grow with the number of rows: they lie in a database, and tables are written in parts.
"""

import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.content_key import Content
from jungle.data.predictions import FAILED, ClipPrediction
from jungle.data.spreadsheets import format_csv
from jungle.errors import UsageError, UserError
from jungle.files import Held, Lock, read_json, replace_atomically, write_json
from jungle.names import show
from jungle.parquet import join_parquet, read_parquet, write_parquet
from jungle.prediction.requests import ClipRequest
from jungle.prediction.row_store import RowStore, StoredRow
from jungle.video.container.timestamps import NAME_PATTERN, compile_pattern, find_recording_time
from jungle.wording import tally

PLAN = ".prediction.json"
PRIVATE = ".parts"
STORE = "rows.sqlite"
SO_FAR = "predictions_so_far.csv"
NEW = "predictions_new.csv"
DECISIONS = ("decisions.parquet", "decisions.csv")
DERIVED = ("submission.csv", "report.html", *DECISIONS)
RESULTS = ("predictions.parquet", "predictions.csv", "failures.csv", NEW, *DERIVED)
CHUNK = 8192  # rows that are held at once
IN_NAME = compile_pattern(NAME_PATTERN)

FILES = "files"
"""Entry of a plan that tells its checkpoints without loading them: the content key of each file."""


def check_out(out: Path, files: Sequence[str] | None, decoder: str | None) -> None:
    """Refuse a folder of other predictions before anything is loaded.

    The checkpoints' own identities are compared when they are loaded (`Rows`): they are the last word.

    Args:
        out: the folder of the results.
        files: content keys of the checkpoints' files; None = they do not tell, because a calibration may have
            been stored since.
        decoder: that the command names.

    Raises:
        UsageError: the folder holds what other checkpoints, or another decoder, predicted.
    """
    known = read_json(out / PLAN)
    asked = {"decoder": decoder} if files is None else {"decoder": decoder, FILES: list(files)}
    _refuse_other(out, known, asked if known else known)


def _refuse_other(out: Path, known: dict[str, Any], plan: dict[str, Any]) -> None:
    if not known:
        return
    both = known.keys() & plan.keys()
    differs = [k for k in ("ckpt", FILES, "decoder") if k in both and known[k] != plan[k]]
    if "ckpt" in both and "ckpt" not in differs:  # the same models: a calibration was stored in their files
        differs = [k for k in differs if k != FILES]
    if not differs:
        return
    what = "other checkpoints, or of these in another order"
    if differs == ["decoder"]:
        what = f"decoder={known['decoder'] or 'auto'}, not {plan['decoder'] or 'auto'}"
    raise UsageError(f"out={out}: holds the predictions of {what}; name another, or overwrite=true")


def check_clips(out: Path, clips: Sequence[str]) -> None:
    """Refuse to replace a table by one that lacks some of its rows.

    Args:
        out: the folder of the results.
        clips: names of all clips that the new table will have.

    Raises:
        UsageError: the folder's table has other clips, too.
    """
    asked = set(clips)
    if lost := [clip for clip in _clips_in(out) if clip not in asked]:
        raise UsageError(
            f"out={out}: holds {tally(len(lost), 'clips')} of an earlier prediction, as {show(lost[0])}, "
            f"which {'is' if len(lost) == 1 else 'are'} not among these videos and would leave its tables: "
            "name another folder, or overwrite=true"
        )


def _clips_in(out: Path) -> list[str]:
    """Return the clips of the table in a folder; none where there is no table, or it cannot be read."""
    try:
        return read_parquet(out / RESULTS[0], ["clip"])["clip"].to_list()
    except (UserError, OSError):
        pass
    try:
        return pl.read_csv(out / RESULTS[1], columns=["clip"], infer_schema=False)["clip"].to_list()
    except (pl.exceptions.PolarsError, OSError):
        return []


class Rows:
    """Prediction rows in the folder `out`, of one plan (its models). As a context manager it holds a lock.

    Raises:
        UsageError: `out` holds the results of another plan, or another process is writing there.
        UserError: what the folder keeps of its rows is damaged.
    """

    def __init__(self, out: Path, plan: dict[str, Any], classes: tuple[str, ...], overwrite: bool) -> None:
        self.out, self.plan, self.classes, self.overwrite = out, plan, classes, overwrite
        out.mkdir(parents=True, exist_ok=True)
        self._new: list[tuple[str, str, ClipPrediction, bool]] = []
        self._held = ExitStack()
        self._is_listed = False  # whether `SO_FAR` has the rows on disk

    def __enter__(self) -> "Rows":
        with ExitStack() as stack:
            lock = Lock(self.out / ".lock")
            try:
                lock.take()
            except Held:
                raise UsageError(f"out={self.out}: another process is predicting into this folder") from None
            stack.callback(lock.release)
            known = read_json(self.out / PLAN)
            if not self.overwrite:
                _refuse_other(self.out, known, self.plan)
            if not known or self.overwrite:
                self._forget(bool(known))
            if known != self.plan:
                write_json(self.out / PLAN, self.plan)
            self._store = RowStore(self.private / STORE, self.classes)
            stack.callback(self._store.close)
            self._take_parts()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _forget(self, results: bool) -> None:
        """Remove rows and results of an earlier prediction, so that they are not taken for new ones."""
        if self.private.is_dir():
            if (self.private / STORE).exists() or any(self.private.glob("part-*.parquet")):
                log.info(f"out={self.out}: what an earlier prediction wrote there is removed")
            shutil.rmtree(self.private)
        for name in (*RESULTS, SO_FAR) if results else ():
            (self.out / name).unlink(missing_ok=True)

    def _take_parts(self) -> None:
        """Take over the rows that earlier versions kept in Parquet files."""
        parts = sorted(self.private.glob("part-*.parquet"))
        for part in parts:
            self._store.add(_read_part(part, self.classes))
        for part in parts:
            part.unlink()

    @property
    def waiting(self) -> int:
        """Rows not yet on disk."""
        return len(self._new)

    @property
    def private(self) -> Path:
        """Folder for what a resumed command must find unchanged; emptied for another plan."""
        return self.out / PRIVATE

    def find(self, clip: str, content: Content) -> str | None:
        """Return the status of the clip's row on disk, if it is of exactly this content.

        A row of a clip that was not read in full counts only while its file is as it was then.
        """
        found = self._store.find(clip)
        return found[0] if found is not None and found[1] == content.key_of(found[0]) else None

    def has(self, clip: str) -> bool:
        """Tell whether the clip has a row on disk, of whatever content."""
        return self._store.find(clip) is not None

    def has_copy(self, clip: str, content: Content) -> bool:
        """Tell whether another clip with this content was read in full."""
        return self._store.find_sound(content.key) not in (None, clip)

    def find_copy(self, clip: str, content: Content) -> ClipPrediction | None:
        """Return the row of another clip with this content that was read in full."""
        other = self._store.find_sound(content.key)
        return None if other in (None, clip) else self._store.get([other])[0]

    def is_damaged(self, clip: str) -> bool:
        """Tell whether the clip has a row on disk of a file that was opened and could not be read in full."""
        status, key = self._store.find(clip) or ("ok", "")
        return status != "ok" and key != ""

    def forget_failed(self) -> None:
        """Forget the failed clips, so that they are tried again."""
        self._store.remove_failed()

    def add(self, clip: str, key: str, row: ClipPrediction, copied: bool = False) -> None:
        """Take the prediction of a clip.

        Args:
            clip: its name.
            key: of its file's content: see `Content.key_of`.
            row: the prediction, or `ClipPrediction.failure`.
            copied: whether it is that of another clip with the same content.
        """
        self._new.append((clip, key, row, copied))

    def flush(self) -> None:
        """Write the waiting rows to disk, and to the table of all rows so far."""
        if not self._new:
            return
        self._store.begin_call()
        self._store.add(self._new)
        if self._is_listed:
            clips, _, rows, _ = zip(*self._new, strict=True)
            self._list_so_far([predictions.make_table(clips, rows, self.classes)])
        else:
            (self.out / SO_FAR).unlink(missing_ok=True)
            self._list_so_far(_in_tables(self._store.list_rows(), self.classes), header=True)
            self._is_listed = True
        self._new = []

    def _list_so_far(self, tables: Iterable[pl.DataFrame], header: bool = False) -> None:
        """Append rows to `SO_FAR`, which can be opened at any moment."""
        with (self.out / SO_FAR).open("ab", buffering=0) as file:
            for table in tables:
                file.write(predictions.format_csv(table, header).encode())
                header = False

    def table(self, clips: Sequence[str]) -> pl.DataFrame:
        """Return one row for each of `clips`, in their order."""
        self.flush()
        return predictions.make_table(clips, self._store.get(clips), self.classes)

    def finish(self, requests: Sequence[ClipRequest]) -> None:
        """Write the results: a row for each request, in their order.

        Raises:
            OSError: they cannot be written; those of an earlier call stay.
        """
        self.flush()
        parts = self.private / "tables"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        try:
            whole = parts / "whole.parquet"
            with (
                (parts / "whole.csv").open("w", encoding="utf-8", newline="") as csv,
                (parts / "failures.csv").open("w", encoding="utf-8", newline="") as failures,
            ):
                for at in range(0, max(len(requests), 1), CHUNK):
                    table = self._make_table(requests[at : at + CHUNK])
                    failed = predictions.select_failed(table).select("clip", "reason")
                    csv.write(predictions.format_csv(table, header=not at))
                    failures.write(format_csv(failed, header=not at))
                    write_parquet(table.rechunk(), parts / f"{at:09d}.parquet", sync=False)
            if len(requests) <= CHUNK:
                (parts / f"{0:09d}.parquet").rename(whole)
            else:
                join_parquet(sorted(parts.glob("0*.parquet")), whole, CHUNK)
            self._forget_derived(whole)
            for part, name in ((whole, RESULTS[0]), (parts / "whole.csv", RESULTS[1])):
                _move(part, self.out / name)
            _move(parts / "failures.csv", self.out / "failures.csv")
            self._list_new(requests)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
        self._store.finish_call()
        (self.out / SO_FAR).unlink(missing_ok=True)

    def _make_table(self, requests: Sequence[ClipRequest]) -> pl.DataFrame:
        """Return the rows of requests with what is known of their files."""
        clips = [r.clip for r in requests]
        rows = self._store.get(clips)
        times = [
            r.time or find_recording_time(row.created, Path(r.clip).name, IN_NAME)[0]
            for r, row in zip(requests, rows, strict=True)
        ]
        facts = pl.DataFrame(
            {
                "path": [r.path if r.path and r.path.isprintable() else None for r in requests],
                "site": [r.site for r in requests],
                "time": times,
                "duration": [row.duration or None for row in rows],
            },
            schema=predictions.FACTS,
        )
        table = predictions.make_table(clips, rows, self.classes)
        at = predictions.META.index("reason") + 1
        return table.select(table.columns[:at]).hstack(facts).hstack(table.select(table.columns[at:]))

    def _list_new(self, requests: Sequence[ClipRequest]) -> None:
        """List the rows of a later call apart."""
        if self._store.call == 1:
            return
        asked = {r.clip for r in requests}
        rows = (row for row in self._store.list_rows(self._store.call) if row.clip in asked)
        with replace_atomically(self.out / NEW) as part, part.open("w", encoding="utf-8", newline="") as file:
            for number, table in enumerate(_in_tables(rows, self.classes)):
                file.write(predictions.format_csv(table, header=number == 0))

    def _forget_derived(self, whole: Path) -> None:
        """Remove report and submission of another table: this command may not write them."""
        stands = [name for name in DERIVED if (self.out / name).exists()]
        earlier = self.out / RESULTS[0]
        if not stands or (earlier.is_file() and filecmp.cmp(earlier, whole, shallow=False)):
            return
        log.info(
            f"out={self.out}: {' and '.join(stands)} of an earlier prediction removed: it had other rows"
        )
        for name in stands:
            (self.out / name).unlink()


def _move(part: Path, file: Path) -> None:
    """Move a file of the same disk to its name in one step, its bytes before it."""
    with part.open("rb+") as held:
        os.fsync(held.fileno())
    part.replace(file)


def _in_tables(rows: Iterable[StoredRow], classes: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    """Yield tables of at most `CHUNK` rows; where there is no row, an empty one."""
    left = iter(rows)
    some = list(islice(left, CHUNK))
    while True:
        yield predictions.make_table([r.clip for r in some], [r.prediction for r in some], classes)
        if not (some := list(islice(left, CHUNK))):
            return


def _read_part(path: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, str, ClipPrediction, bool]]:
    """Read rows that an earlier version kept; another kind of file under its name is refused with the fix."""
    kinds = {
        **predictions.make_table([], [], classes).schema,
        "key": pl.String(),
    }
    try:
        table = read_parquet(path)
        if dict(table.schema) != kinds:
            raise UserError(f"{path}: it has other columns than the predictions of these checkpoints.")
        table = predictions.clear_failed(table.select(*kinds), classes)
        try:
            predictions.check(table.drop("key"))
        except UserError as e:
            raise UserError(f"{path}: {e}.") from None
    except UserError as e:
        raise UserError(f"{e} Delete that file: its clips are predicted again") from None
    for clip, status, reason, *probs, times, attention, key in table.iter_rows():
        lists = (None if status == FAILED else probs, times, attention)
        probs_C, times_T, attention_T = (None if v is None else np.array(v, np.float32) for v in lists)
        yield clip, key, ClipPrediction(status, reason, probs_C, times_T, attention_T), False
