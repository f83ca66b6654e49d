"""Rows of a prediction run, written in parts so that a kill loses little, and joined at the end."""

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.content_key import Content
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.files import Held, Lock, read_json, write_json
from jungle.names import show
from jungle.parquet import read_parquet, write_parquet
from jungle.wording import tally

PLAN = ".prediction.json"
PARTS = ".parts"
DERIVED = ("submission.csv", "report.html")
RESULTS = ("predictions.parquet", "predictions.csv", "failures.csv", *DERIVED)


FILES = "files"
"""Entry of a plan that tells its checkpoints without loading them: the content key of each file."""


def check_out(out: Path, files: Sequence[str], decoder: str | None) -> None:
    """Refuse a folder of other predictions before anything is loaded.

    The checkpoints' own identities are compared when they are loaded (`Rows`): they are the last word.

    Args:
        out: the folder of the results.
        files: content keys of the checkpoints' files.
        decoder: that the command names.

    Raises:
        UsageError: the folder holds what other checkpoints, or another decoder, predicted.
    """
    known = read_json(out / PLAN)
    _refuse_other(out, known, {**known, "decoder": decoder, FILES: list(files)} if known else known)


def _refuse_other(out: Path, known: dict[str, Any], plan: dict[str, Any]) -> None:
    if not known:
        return
    both = known.keys() & plan.keys()
    differs = [k for k in ("ckpt", FILES, "decoder") if k in both and known[k] != plan[k]]
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
    """

    def __init__(self, out: Path, plan: dict[str, Any], classes: tuple[str, ...], overwrite: bool) -> None:
        self.out, self.plan, self.classes, self.overwrite = out, plan, classes, overwrite
        out.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(out / ".lock")
        self._done = pl.DataFrame()
        self._new: list[tuple[str, str, ClipPrediction]] = []

    def __enter__(self) -> "Rows":
        try:
            self._lock.take()
        except Held:
            raise UsageError(f"out={self.out}: another process is predicting into this folder") from None
        known = read_json(self.out / PLAN)
        if not self.overwrite:
            try:
                _refuse_other(self.out, known, self.plan)
            except UsageError:
                self._lock.release()
                raise
        if not known or self.overwrite:
            self._forget(bool(known))
        if known != self.plan:
            write_json(self.out / PLAN, self.plan)
        parts = sorted((self.out / PARTS).glob("part-*.parquet"))
        self._done = self._join([_read(p, self.classes) for p in parts])
        return self

    def _forget(self, results: bool) -> None:
        """Remove rows and results of an earlier prediction, so that they are not taken for new ones."""
        parts = self.out / PARTS
        if parts.is_dir():
            if any(parts.glob("part-*.parquet")):
                log.info(f"out={self.out}: what an earlier prediction wrote there is removed")
            shutil.rmtree(parts)
        for name in RESULTS if results else ():
            (self.out / name).unlink(missing_ok=True)

    def _forget_derived(self, table: pl.DataFrame) -> None:
        """Remove report and submission of another table: this command may not write them."""
        stands = [name for name in DERIVED if (self.out / name).exists()]
        if not stands:
            return
        try:
            if predictions.read(self.out / RESULTS[0]).equals(table):
                return
        except (UserError, OSError):
            pass  # not there or damaged: nothing tells what they were made of
        log.info(
            f"out={self.out}: {' and '.join(stands)} of an earlier prediction removed: it had other rows"
        )
        for name in stands:
            (self.out / name).unlink()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def waiting(self) -> int:
        """Rows not yet on disk."""
        return len(self._new)

    @property
    def private(self) -> Path:
        """Folder for what a resumed command must find unchanged; emptied for another plan."""
        return self.out / PARTS

    @property
    def failed(self) -> set[str]:
        """Names of the clips that have failed, among those on disk."""
        return set(predictions.select_failed(self._done)["clip"]) if len(self._done) else set()

    def has(self, clip: str, content: Content) -> bool:
        """Tell whether the clip, with exactly this content, has a row.

        One that was not read in full has it only while its file is as it was then.
        """
        status, key = self._known.get(clip, ("", None))
        return key is not None and key == content.key_of(status)

    def is_damaged(self, clip: str) -> bool:
        """Tell whether the clip has a row on disk of a file that was opened and could not be read in full."""
        status, key = self._known.get(clip, ("ok", ""))
        return status != "ok" and key != ""

    @cached_property
    def _known(self) -> dict[str, tuple[str, str]]:
        """Status and key of each row that was on disk at first."""
        rows = self._done.select("clip", "status", "key").iter_rows() if len(self._done) else ()
        return {clip: (status, key) for clip, status, key in rows}

    def forget_failed(self) -> None:
        """Forget the failed clips, so that they are tried again."""
        if len(self._done):
            self._done = predictions.select_read(self._done)

    def add(self, clip: str, key: str, row: ClipPrediction) -> None:
        """Take the prediction of a clip.

        Args:
            clip: its name.
            key: of its file's content: see `Content.key_of`.
            row: the prediction, or `ClipPrediction.failure`.
        """
        self._new.append((clip, key, row))

    def flush(self) -> None:
        """Write the waiting rows to disk."""
        if not self._new:
            return
        clips, keys, rows = zip(*self._new, strict=True)
        table = predictions.make_table(clips, rows, self.classes).with_columns(
            pl.Series("key", keys, dtype=pl.String)
        )
        write_parquet(table, self._next_part())
        self._done, self._new = self._join([self._done, table]), []

    def table(self, clips: list[str]) -> pl.DataFrame:
        """Return one row for each of `clips`, in their order."""
        self.flush()
        wanted = pl.DataFrame({"clip": clips}, schema={"clip": pl.String})
        whole = wanted.join(self._done.drop("key"), on="clip", how="left", maintain_order="left")
        return predictions.check(whole)

    def finish(self, table: pl.DataFrame) -> None:
        """Write the results, and join the parts into one."""
        self._forget_derived(table)
        predictions.write(table, self.out / "predictions.parquet")
        predictions.write(table, self.out / "predictions.csv")
        failed = predictions.select_failed(table)
        predictions.write_failures(list(failed.select("clip", "reason").iter_rows()), self.out)
        old = sorted((self.out / PARTS).glob("part-*.parquet"))
        if len(old) > 1:
            write_parquet(self._done, self._next_part())
            for path in old:
                path.unlink()

    def _next_part(self) -> Path:
        """Return a name that sorts after all parts: of a clip's rows the last one counts."""
        numbers = [int(p.stem.split("-")[1]) for p in (self.out / PARTS).glob("part-*.parquet")]
        return self.out / PARTS / f"part-{max(numbers, default=-1) + 1:06d}.parquet"

    def _join(self, tables: list[pl.DataFrame]) -> pl.DataFrame:
        """Join parts: of a clip's rows the last one counts."""
        full = [t for t in tables if len(t)]
        if not full:
            return _empty(self.classes)
        return pl.concat(full).unique("clip", keep="last", maintain_order=True)


def _empty(classes: tuple[str, ...]) -> pl.DataFrame:
    return predictions.make_table([], [], classes).with_columns(pl.Series("key", [], dtype=pl.String))


def _read(path: Path, classes: tuple[str, ...]) -> pl.DataFrame:
    """Read a part; another kind of file under its name is refused with the fix."""
    kinds = dict(_empty(classes).schema)
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
    return table
