"""Write a smaller copy of a data set, with the same names and tables, so that a terabyte fits a laptop."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Container, Iterable
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.errors import UsageError, UserError
from jungle.files import replace_atomically, write_json
from jungle.parquet import read_parquet, write_parquet
from jungle.video.indexing.index import name_clips
from jungle.video.indexing.inspect_file import is_current, read_stamp, to_text
from jungle.video.indexing.journal import Journal, Row, run_tasks
from jungle.video.transcode.clip import ShrinkTask
from jungle.video.transcode.spec import Shrink
from jungle.wording import count

# Labels, sites, templates: files that `data.labels` and similar settings read, or that people keep with
# clips.
TABLES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".json", ".jsonl", ".xlsx", ".xls", ".ods")
SETTINGS, LIST = "shrink.json", "shrink.parquet"

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "clip": pl.String,
    "status": pl.String,  # ok, degraded, failed
    "reason": pl.String,
    "size": pl.Int64,  # bytes of the source
    "mtime_ns": pl.Int64,
    "ctime_ns": pl.Int64,
    "size_after": pl.Int64,
    "checked": pl.Boolean,  # the copy was read back and compared with its original
    "frames": pl.Int64,
    "width": pl.Int32,
    "height": pl.Int32,
}


def shrink_clips(
    paths: Iterable[str | Path],
    root: str | Path,
    out: str | Path,
    spec: Shrink,
    *,
    workers: int = 1,
    timeout_s: float = 600,
) -> pl.DataFrame:
    """Write a smaller copy of every clip below `out`, under the name that it has below `root`.

    Sound is left out. A clip that is already as small and slow, and would only grow, is copied unchanged
    (`AS_IT_IS` is its reason). Each new copy is read back and compared with its original. Tables at the top
    of the root (`TABLES`) are copied, so that training on the copy needs only `data.root=<out>`. Killed at
    any moment, the same call resumes; called later, it copies what is new, has changed, or failed before.

    Args:
        paths: video files.
        root: folder that holds them.
        out: folder for the copies.
        spec: how small.
        workers: processes.
        timeout_s: seconds a clip may take.

    Returns:
        One row per clip, in the order of `clip`: columns `SCHEMA`, also written to `<out>/shrink.parquet`.

    Raises:
        UserError: `out` lies in `root`, holds copies made in another way or other files, or its disk takes
            the names of two clips for one.
    """
    given, root, out = root, Path(root).resolve(), Path(out).resolve()
    if out == root or out.is_relative_to(root):
        raise UserError(
            f"shrink: {out} lies in {root}, which would mix originals and copies: give another out"
        )
    names = name_clips(paths, given)  # a linked clip has the name of its link
    _write_settings(out, spec)
    _check_names(names, out)
    journal = Journal(out / LIST, set(SCHEMA))
    rows = _read_done(out, journal, names)
    left = [(name, path) for name, path in names.items() if name not in rows]
    if rows:
        log.info(f"shrink: {len(rows)} of {count(len(names), 'clip')} from before")
    for row in run_tasks(
        journal,
        ShrinkTask(spec, str(out)),
        left,
        label="shrink",
        total=len(names),
        workers=workers,
        timeout_s=timeout_s,
        failed={"checked": False},
    ):
        rows[str(row["clip"])] = row
    table = pl.DataFrame([rows[name] for name in sorted(rows)], schema=SCHEMA, strict=False)
    _copy_tables(root, out, names)
    write_parquet(table, out / LIST)
    journal.drop()
    return table


def _copy_tables(root: Path, out: Path, names: Container[str]) -> None:
    """Copy the tables at the top of the root; log which other files there are not copied."""
    others, refused = [], []
    for source in sorted(root.iterdir()):
        if source.name.startswith(".") or to_text(source.name) in names or not os.path.isfile(source):
            continue
        if source.suffix.lower() not in TABLES or source.name in (SETTINGS, LIST):
            others.append(source.name)
            continue
        try:
            with replace_atomically(out / source.name) as part:
                shutil.copyfile(source, part)
        except PermissionError:
            refused.append(source.name)
    if others:
        log.info(f"shrink: not copied, as neither clips nor tables: {_list_some(others)}")
    if refused:
        log.warning(f"shrink: not copied, as they may not be read: {_list_some(refused)}")


def _list_some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check_names(names: Iterable[str], out: Path) -> None:
    """Check that no copy would replace another on a disk that treats their names as one.

    Raises:
        UserError: one would.
    """
    twins: dict[str, list[str]] = {}
    for name in names:
        twins.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    same = [n for n in twins.values() if len(n) > 1]
    if same and _ignores_case(out):
        raise UserError(
            f"shrink: the disk of {out} treats {' and '.join(same[0])} as one name"
            f"{f', and {len(same) - 1} more such' if len(same) > 1 else ''}. Rename them, or give a folder "
            "on another disk."
        )


def _ignores_case(folder: Path) -> bool:
    """Return whether a disk ignores case, or how accents are written, in names."""
    with tempfile.TemporaryDirectory(prefix=".names.", dir=folder) as inside:
        (Path(inside) / "aé").touch()
        return any(
            os.path.lexists(os.path.join(inside, n)) for n in ("AÉ", unicodedata.normalize("NFD", "aé"))
        )


def _write_settings(out: Path, spec: Shrink) -> None:
    """Write the settings of the copies, and delete copies that a killed run left half written.

    Raises:
        UserError: the folder holds copies of other settings, or other files.
    """
    settings = out / SETTINGS
    if settings.exists():
        try:
            before: Shrink | None = Shrink.from_dict(json.loads(settings.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError, OSError, UsageError):
            before = None
        if before != spec:
            made = "unknown" if before is None else str(before)
            raise UserError(
                f"shrink: {out} holds copies made with other settings ({made}). Give another folder, or "
                "delete it."
            )
    elif out.is_dir() and any(not f.name.startswith(".") for f in out.iterdir()):
        # Copies would replace files of the same names, and half written ones are deleted below.
        raise UserError(f"shrink: {out} holds other files. Give a new or an empty folder.")
    write_json(settings, spec.to_dict())
    for part in out.rglob(".*.part*"):
        part.unlink(missing_ok=True)


def _read_done(out: Path, journal: Journal, names: dict[str, str]) -> dict[str, Row]:
    """Return the rows of clips whose copies exist and whose sources have not changed."""
    rows = journal.rows()
    if (out / LIST).exists():
        try:
            before = read_parquet(out / LIST)
            if "checked" not in before.columns:
                log.info(
                    f"shrink: copies in {out} are of an earlier version, which did not check them: again"
                )
                before = before.clear().with_columns(checked=pl.lit(None))
            if "ctime_ns" not in before.columns:  # of an earlier version
                before = before.with_columns(ctime_ns=pl.lit(None, pl.Int64))
            rows = before.select(list(SCHEMA)).to_dicts() + rows
        except (pl.exceptions.PolarsError, UserError):
            log.warning(f"shrink: {out / LIST} cannot be read; all clips are copied again")
    found = {}
    for row in rows:
        name = str(row["clip"])
        path = names.get(name)
        if path is None or row.get("status") == "failed" or not row.get("checked"):
            continue
        if is_current(row, path) and read_stamp(str(out / name)).get("size") == row.get("size_after"):
            found[name] = row
    return found
