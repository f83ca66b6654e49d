"""What all members say of the same clips, side by side: arrays in one order of clips and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.ensemble.members import Member
from jungle.errors import UsageError, count


@dataclass(frozen=True)
class Board:
    """The answers of M members for N clips of one split.

    Attributes:
        clips: the clips, with labels; the order of everything here.
        classes: C class names: those of the first member with the most.
        task: `exclusive` or `multilabel`.
        names: of the members.
        probs_MNC: float32; nan where a member does not know a class (a blank-or-not model).
        failed_N: clips that some member could not read: its answer there is the class shares.
        groups_N: the site of each clip as a number, or a number of its own where no site is known.
        extra_NF: float32; further columns for the stackers that take any, finite; mostly none.
        own_MNF: the same of each member, which go with it; mostly no member has any.
    """

    clips: Clips
    classes: tuple[str, ...]
    task: str
    names: tuple[str, ...]
    probs_MNC: np.ndarray
    failed_N: np.ndarray
    groups_N: np.ndarray
    extra_NF: np.ndarray
    own_MNF: tuple[np.ndarray, ...] = ()

    @cached_property
    def targets_NC(self) -> np.ndarray:
        """Labels as float32; nan where unknown."""
        return self.clips.targets()

    @property
    def labelled_N(self) -> np.ndarray:
        """Whether a clip has any label."""
        return np.asarray(np.isfinite(self.targets_NC).any(1))

    def of(self, members: Sequence[int]) -> Board:
        """Return the board of some of the members."""
        at = list(members)
        own = tuple(self.own_MNF[i] for i in at) if self.own_MNF else ()
        return replace(
            self, names=tuple(self.names[i] for i in at), probs_MNC=self.probs_MNC[at], own_MNF=own
        )

    def rows(self, at: np.ndarray) -> Answers:
        """Return the answers for some of the clips, as stackers take them."""
        extra = [self.extra_NF[at], *(own_NF[at] for own_NF in self.own_MNF)]
        return Answers(self.probs_MNC[:, at], np.concatenate(extra, axis=1), self.task)


@dataclass(frozen=True)
class Answers:
    """What a stacker sees of n clips: the members' answers, and nothing of the labels."""

    probs_MNC: np.ndarray
    extra_NF: np.ndarray
    task: str

    def rows(self, at: np.ndarray) -> Answers:
        """Return some of the clips."""
        return Answers(self.probs_MNC[:, at], self.extra_NF[at], self.task)

    def __len__(self) -> int:
        return self.probs_MNC.shape[1]


def board_of(members: Sequence[Member], split: str) -> Board | None:
    """Return the board of a split, in the first member's order of clips; None where nobody has predicted it.

    Raises:
        UsageError: members are of other classes or tasks, or have not predicted the same clips.
    """
    have = [m for m in members if split in m.answers]
    if not have:
        return None
    lead = max(members, key=lambda m: len(m.classes))
    clips = [set(m.answers[split]["clip"]) if split in m.answers else set() for m in members]
    for m, mine in zip(members, clips, strict=True):
        if more := set(m.classes) - set(lead.classes):
            raise UsageError(f"members: {m.name} knows the class {min(more)!r}, {lead.name} does not")
        if len(m.classes) > 1 and m.task != lead.task:
            raise UsageError(
                f"members: {m.name} is {m.task}, {lead.name} {lead.task}: give members of one task"
            )
        if other := mine ^ set(lead.answers[split]["clip"] if split in lead.answers else ()):
            some = min(other)
            has, lacks = (m.name, lead.name) if some in mine else (lead.name, m.name)
            raise UsageError(
                f"members: {has} has predicted {some!r} ({split}), {lacks} has not; "
                f"{count(len(other), 'such clip')}: members must have the same splits"
            )
    names = lead.answers[split].select("clip")
    known = names.join(lead.clips.table, on="clip", how="inner", maintain_order="left")
    if len(known) < len(names):
        raise UsageError(f"members: clips.parquet of {lead.runs[0]} lacks clips of its {split} predictions")
    labels = Clips(known, lead.clips.classes)
    probs_MNC = np.full((len(members), len(names), len(lead.classes)), np.nan, np.float32)
    failed_N = np.zeros(len(names), bool)
    for i, m in enumerate(members):
        table = names.join(m.answers[split], on="clip", how="left", maintain_order="left")
        at = [lead.classes.index(c) for c in m.classes]
        probs_MNC[i][:, at] = table.select(m.classes).to_numpy()
        failed_N |= (table["status"] == "failed").to_numpy()
    columns = [c for c in known.columns if c not in labels.classes]
    ordered = Clips(known.select(*columns, *lead.classes), lead.classes)
    return Board(
        ordered,
        lead.classes,
        lead.task,
        tuple(m.name for m in members),
        probs_MNC,
        failed_N,
        groups(ordered),
        np.zeros((len(ordered), 0), np.float32),
    )


def groups(clips: Clips) -> np.ndarray:
    """Return a number for each clip, the same for clips of one site; int64 `[N]`."""
    if "site" not in clips.table.columns:
        return np.arange(len(clips))
    alone = pl.concat_str(pl.lit("\0"), pl.col("clip"))
    return (
        clips.table.select(pl.coalesce("site", alone).rank("dense").cast(pl.Int64)).to_series().to_numpy() - 1
    )


def table_of(board: Board, probs_NC: np.ndarray) -> pl.DataFrame:
    """Return the predictions table of probabilities for the clips of a board."""
    status = np.where(board.failed_N, "degraded", "ok")
    reason = np.where(board.failed_N, "a member could not read it", "")
    rows = [
        {"clip": c, "status": s, "reason": r, "probs": p}
        for c, s, r, p in zip(
            board.clips.table["clip"], status.tolist(), reason.tolist(), probs_NC, strict=True
        )
    ]
    return predictions.make(rows, board.classes)
