"""Members of an ensemble: training runs; runs that differ only in their fold are one member."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.errors import UsageError, UserError
from jungle.files import describe_absent, read_json
from jungle.metrics.logits import adds_to_one
from jungle.plain import drop_empty, read_settings

FILES = ("config.yaml", "clips.parquet", "predictions_val.parquet")
SPLITS = ("val", "test")
Settings = dict[str, object]


@dataclass(frozen=True)
class Member:
    """Predictions of one model, from one training run or from one run per fold.

    Attributes:
        name: unique in an ensemble.
        runs: folders of the runs.
        folds: the clips of each run's validation split, in the order of `runs`.
        classes: class names.
        task: `exclusive` or `multilabel`.
        clips: labels, sites and splits of the first run.
        answers: predictions tables: `val` and, if there are test clips, `test`. For folds, `val` is out of
            fold (by the run that did not train on a clip), and `test` the mean of the runs.
    """

    name: str
    runs: tuple[Path, ...]
    folds: tuple[frozenset[str], ...]
    classes: tuple[str, ...]
    task: str
    clips: Clips
    answers: dict[str, pl.DataFrame]


def load_members(paths: Sequence[str | Path]) -> list[Member]:
    """Load members from runs, folders of runs (sweeps), or patterns of these.

    Raises:
        UsageError: a folder is not a finished run, or two folds of one member have a clip in common.
        UserError: a table in it is damaged.
    """
    groups: dict[str, list[tuple[Path, Settings]]] = {}
    for run in find_runs(paths):
        settings = _settings(run)
        groups.setdefault(_but_for_fold(settings), []).append((run, settings))
    names = make_unique([_name(found[0][1]) for found in groups.values()])
    return [
        _member(name, [run for run, _ in found]) for name, found in zip(names, groups.values(), strict=True)
    ]


def make_unique(names: Sequence[str]) -> list[str]:
    """Return the names, with a number appended to repeated ones: `lite0`, `lite0 (2)`."""
    seen: list[str] = []
    for plain in names:
        name, n = plain, 2
        while name in seen:
            name, n = f"{plain} ({n})", n + 1
        seen.append(name)
    return seen


def expand(path: str | Path) -> list[Path]:
    """Return the paths that match a pattern, sorted; a plain path as it is, even if it does not exist."""
    return [Path(p) for p in sorted(glob.glob(str(path)))] if glob.has_magic(str(path)) else [Path(path)]


def find_runs(paths: Sequence[str | Path], setting: str = "members") -> list[Path]:
    """Return the training runs in paths, each once, in order.

    Args:
        paths: runs, folders of runs, or patterns of these.
        setting: its name in messages.

    Raises:
        UsageError: a path contains none, or a run that has not finished.
    """
    runs: dict[Path, None] = {}
    for path in paths:
        found = expand(path)
        if not found:
            raise UsageError(f"{setting}={path}: nothing matches this pattern")
        before = len(runs)
        for folder in found:
            inner = [folder] if _is_run(folder) else sorted(f for f in folder.glob("*") if _is_run(f))
            runs |= dict.fromkeys(f.resolve() for f in inner if not (f.is_symlink() and len(inner) > 1))
        if len(runs) == before and not any(_is_run(f) for f in found):
            if not any(f.exists() for f in found):
                raise UsageError(f"{setting}={path}: {describe_absent(found[0], 'folder')}")
            raise UsageError(
                f"{setting}={path}: neither a training run (with {', '.join(FILES)}) nor a folder of runs"
            )
    for run in runs:
        if read_json(run / "run.json").get("state", "finished") != "finished":
            raise UsageError(f"{setting}: {run} has not finished; run its command again to resume it")
    return list(runs)


def _is_run(folder: Path) -> bool:
    return all(os.path.isfile(folder / name) for name in FILES)


def _settings(run: Path) -> Settings:
    file = run / "config.yaml"
    found = read_settings(file)
    if not all(isinstance(found.get(part, {}), dict) for part in ("data", "model", "head", "frames")):
        raise UserError(f"{file}: not the settings of a training run")
    return found


def _but_for_fold(settings: Settings) -> str:
    """Return the settings that distinguish members, as text: all but the fold.

    Empty settings are left out, because a later version of the program may have added them.
    """
    left_out = ("paths", "resume", "report", "report_paths", "checkpoint", "logger", "name", "calibrate")
    kept = {k: v for k, v in settings.items() if k not in left_out}
    data = {k: v for k, v in _group(settings, "data").items() if k != "fold"}
    return json.dumps(drop_empty({**kept, "data": data}), sort_keys=True, default=str)


def _name(settings: Settings) -> str:
    if settings.get("name"):
        return str(settings["name"])
    model, head, frames = (_group(settings, k) for k in ("model", "head", "frames"))
    focus = frames.get("focus")
    focused = f"on {focus}" if focus not in (None, "whole") else None
    words = (model.get("backbone"), model.get("mode"), head.get("name"), focused)
    return " ".join(str(w) for w in words if w) or "run"


def _group(settings: Settings, name: str) -> Settings:
    found = settings.get(name, {})
    return found if isinstance(found, dict) else {}


def _member(name: str, runs: list[Path]) -> Member:
    clips = [Clips.read(run / "clips.parquet") for run in runs]
    tables = {split: [_table(run, split) for run in runs] for split in SPLITS}
    val, test = ([t for t in tables[split] if t is not None] for split in SPLITS)
    classes = predictions.get_classes(val[0])
    for run, table in ((r, t) for split in SPLITS for r, t in zip(runs, tables[split], strict=True)):
        if table is not None and set(predictions.get_classes(table)) != set(classes):
            raise UsageError(
                f"members: the predictions of {run} and {runs[0]} have different classes, although their "
                "settings are the same"
            )
    for run, own in zip(runs, clips, strict=True):
        if lost := sorted(set(classes) - set(own.classes)):
            raise UsageError(
                f"members: {run} has predicted the class {lost[0]!r}, which its clips.parquet lacks: its "
                "labels have changed since; train it again"
            )
    folds = tuple(frozenset(table["clip"]) for table in val)
    for i, fold in enumerate(folds):
        for j in range(i):
            if both := fold & folds[j]:
                raise UsageError(
                    f"members: {runs[j]} and {runs[i]} have the same settings and both use {min(both)!r} for "
                    "validation: give one of them, or folds with the same data.folds"
                )
    answers = {"val": pl.concat([table.select(val[0].columns) for table in val])}
    if test:
        answers["test"] = _mean(test, classes)
    read = predictions.select_read(answers["val"])
    if not len(read):
        raise UsageError(f"members: {runs[0]} could not read any of its validation clips; leave it out")
    task = "exclusive" if adds_to_one(predictions.get_probabilities(read)) else "multilabel"
    return Member(name, tuple(runs), folds, classes, task, clips[0], answers)


def _table(run: Path, split: str) -> pl.DataFrame | None:
    file = run / f"predictions_{split}.parquet"
    if not file.is_file() and split != "val":
        return None
    try:
        return predictions.read(file)
    except UserError as e:
        raise UserError(f"{file}: {e}" if str(file) not in str(e) else str(e)) from None


def _mean(tables: list[pl.DataFrame], classes: tuple[str, ...]) -> pl.DataFrame:
    """Return the mean of tables of the same clips; for each clip, over the tables that could read it."""
    if len(tables) == 1:
        return tables[0]
    whole = pl.concat([t.select(tables[0].columns) for t in tables])
    order = whole.select("clip").unique(maintain_order=True)
    answered = predictions.select_read(whole)
    failed = whole.join(answered, on="clip", how="anti", maintain_order="left")
    means = (
        pl.concat([answered, failed])
        .group_by("clip", maintain_order=True)
        .agg(
            pl.first("status", "reason"),
            *(pl.col(c).mean().cast(pl.Float32) for c in classes),
            pl.first("times", "attention"),
        )
    )
    return predictions.check(order.join(means.select(whole.columns), on="clip", maintain_order="left"))
