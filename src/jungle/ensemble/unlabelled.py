"""Predictions of several models for test clips or unlabelled clips."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.ensemble.members import expand, load_members, make_unique
from jungle.errors import UsageError, UserError
from jungle.metrics.logits import adds_to_one
from jungle.wording import count

PREDICTED = "predictions.parquet"
HOW = "python predict.py ckpt=<run> videos=<data.root> out=<folder>, then give that folder"


@dataclass(frozen=True)
class UnlabelledPredictions:
    """Predictions of M members for N clips, without labels.

    Attributes:
        names: of the members, all different.
        classes: C class names.
        exclusive: whether each member's probabilities of a clip sum to 1.
        clips: `clip`, `path`, and `site` if known; the order of N.
        probs_MNC: float32.
        left_out: number of clips of the split that some member has not predicted, or could not read.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    exclusive: bool
    clips: pl.DataFrame
    probs_MNC: np.ndarray
    left_out: int


def load_unlabelled(paths: Sequence[str], split: str, clips: Path | None = None) -> UnlabelledPredictions:
    """Load the members' predictions for a split.

    Args:
        paths: training runs (as in `load_members`) and folders of `predict.py`, or patterns of these.
        split: `test` or `unlabelled`.
        clips: a run, or its `clips.parquet`, which defines the clips of the split; None = the first training
            run.

    Raises:
        UsageError: members do not fit together, or have not predicted the split.
        UserError: a table is damaged.
    """
    runs, folders = _kinds_of(paths)
    members = load_members(runs) if runs else []
    tables = [(m.name, m.answers.get(split)) for m in members]
    tables += [(f.name, predictions.read(f / PREDICTED)) for f in folders]
    if len(tables) < 2:
        raise UsageError(f"members: {len(tables)} given; give two or more, because this compares models")
    for name, table in tables:
        if table is None:
            raise UsageError(
                f"members: the run {name!r} has not predicted {split} clips (training predicts only val and "
                f"test). Predict them: {HOW}"
            )
    if clips is None and not members:
        raise UsageError(
            f"members: all are results of predict.py: give clips=<a training run> with the {split} clips"
        )
    asked = _clips(clips) if clips is not None else members[0].clips
    wanted = _unlabelled(asked, split, clips)
    names = make_unique([name for name, _ in tables])
    known = {name: t for name, (_, t) in zip(names, tables, strict=True) if t is not None}
    return _joined(wanted, known, split)


def _kinds_of(paths: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return paths of training runs (or of neither), and the folders of `predict.py`, each once."""
    runs: list[str] = []
    folders: dict[Path, None] = {}
    for path in paths:
        found = expand(path)
        predicted = [f.resolve() for f in found if os.path.isfile(f / PREDICTED)]
        folders |= dict.fromkeys(predicted)
        if not predicted:
            runs.append(path)
        elif len(predicted) < len(found):
            runs += [str(f) for f in found if not os.path.isfile(f / PREDICTED)]
    return runs, list(folders)


def _clips(where: Path) -> Clips:
    file = where / "clips.parquet" if where.is_dir() else where
    if not file.is_file():
        raise UsageError(f"clips={where}: not a training run (it has no clips.parquet)")
    return Clips.read(file)


def _unlabelled(clips: Clips, split: str, where: Path | None) -> pl.DataFrame:
    """Return the clips of the split, without labels."""
    table = clips.of(split).table
    if not len(table):
        fix = {
            "unlabelled": "add a row with an empty label for each to the table of data.labels",
            "test": "write test into the column split of the table of data.labels",
        }[split]
        raise UsageError(
            f"split={split}: {where or 'the first member'} has no {split} clips: {fix}, and train again"
        )
    return table.select(c for c in ("clip", "path", "site") if c in table.columns)


def _joined(wanted: pl.DataFrame, tables: dict[str, pl.DataFrame], split: str) -> UnlabelledPredictions:
    first = next(iter(tables))
    classes = predictions.get_classes(tables[first])
    both = wanted.select("clip")
    for name, table in tables.items():
        own = predictions.get_classes(table)
        if set(own) != set(classes):
            odd = sorted(set(own) ^ set(classes))
            raise UsageError(f"members: {name!r} and {first!r} differ in the classes {', '.join(odd[:5])}")
        if not table["clip"].is_in(wanted["clip"].implode()).any():
            like = f"; its clips have names like {table['clip'][0]}" if len(table) else ""
            raise UsageError(
                f"members: {name!r} has predicted none of the {count(len(wanted), f'{split} clip')}, such as "
                f"{wanted['clip'][0]}{like}. Predict them: {HOW}"
            )
        both = both.join(predictions.select_read(table), on="clip", how="semi")
    if not len(both):
        raise UserError(f"members: no {split} clip was predicted by all of them")
    kept = wanted.join(both, on="clip", how="semi", maintain_order="left")
    probs_MNC = np.stack(
        [
            kept.select("clip")
            .join(t, on="clip", how="left", maintain_order="left")
            .select(classes)
            .to_numpy()
            for t in tables.values()
        ]
    ).astype(np.float32)
    return UnlabelledPredictions(
        tuple(tables), classes, adds_to_one(probs_MNC), kept, probs_MNC, len(wanted) - len(kept)
    )
