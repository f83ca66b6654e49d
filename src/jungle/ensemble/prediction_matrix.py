"""Prediction matrix: the predictions of all members for the same clips, in one order of clips and classes.

A clip that one member could not read is answered by the others: the member is given the mean of those that
could, and so adds nothing of its own. A clip that none could read is not in the matrix: nothing is fitted to
it or scored on it, and the table of the ensemble's predictions has its failed row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.predictions import ClipPrediction
from jungle.ensemble.members import Member
from jungle.errors import UsageError
from jungle.wording import count


@dataclass(frozen=True)
class PredictionMatrix:
    """The answers of M members for N clips of one split.

    Attributes:
        clips: those with an answer, with labels; the order of everything here.
        classes: C class names: those of the first member with the most.
        task: `exclusive` or `multilabel`.
        names: of the members.
        probs_MNC: float32; nan where a member does not know a class (a blank-or-not model), for all clips.
        unread_MN: which clips a member could not read: its answer there is the mean of the others'.
        groups_N: the site of each clip as a number, or a number of its own where no site is known.
        extra_NF: float32; further columns for the stackers that take any, finite; mostly none.
        own_MNF: the same of each member, which go with it; mostly no member has any.
        requested: names of all clips of the split, in order, those without an answer among them.
        unanswered: of those without an answer: name and reason.
        unanswered_labelled: how many of those have a label.
    """

    clips: Clips
    classes: tuple[str, ...]
    task: str
    names: tuple[str, ...]
    probs_MNC: np.ndarray
    unread_MN: np.ndarray
    groups_N: np.ndarray
    extra_NF: np.ndarray
    own_MNF: tuple[np.ndarray, ...] = ()
    requested: tuple[str, ...] = ()
    unanswered: Mapping[str, str] = field(default_factory=dict)
    unanswered_labelled: int = 0

    @cached_property
    def targets_NC(self) -> np.ndarray:
        """Labels as float32; nan where unknown."""
        return self.clips.targets()

    @property
    def labelled_N(self) -> np.ndarray:
        """Whether a clip has any label."""
        return np.asarray(np.isfinite(self.targets_NC).any(1))

    @property
    def scored_N(self) -> np.ndarray:
        """Whether a clip has a label and every member has read it: all are compared on the same clips."""
        return self.labelled_N & ~self.unread_MN.any(0)

    @property
    def unscored(self) -> int:
        """How many clips have a label, but some member could not read them."""
        return int((self.labelled_N & self.unread_MN.any(0)).sum()) + self.unanswered_labelled

    def of(self, members: Sequence[int]) -> PredictionMatrix:
        """Return the matrix of some of the members."""
        at = list(members)
        own = tuple(self.own_MNF[i] for i in at) if self.own_MNF else ()
        return replace(
            self,
            names=tuple(self.names[i] for i in at),
            probs_MNC=self.probs_MNC[at],
            unread_MN=self.unread_MN[at],
            own_MNF=own,
        )

    def rows(self, at: np.ndarray) -> StackerInput:
        """Return the answers for some of the clips, as stackers take them."""
        extra = [self.extra_NF[at], *(own_NF[at] for own_NF in self.own_MNF)]
        own = tuple(own_NF.shape[1] for own_NF in self.own_MNF)
        return StackerInput(self.probs_MNC[:, at], np.concatenate(extra, axis=1), self.task, own)


@dataclass(frozen=True)
class StackerInput:
    """What a stacker sees of n clips: the members' answers, and nothing of the labels.

    Attributes:
        own: how many of the last columns of `extra_NF` are each member's, in their order; empty = none is.
    """

    probs_MNC: np.ndarray
    extra_NF: np.ndarray
    task: str
    own: tuple[int, ...] = ()

    def rows(self, at: np.ndarray) -> StackerInput:
        """Return some of the clips."""
        return replace(self, probs_MNC=self.probs_MNC[:, at], extra_NF=self.extra_NF[at])

    def member(self, i: int) -> StackerInput:
        """Return what one member says, with its own columns and those that are nobody's."""
        widths = self.own or (0,) * len(self.probs_MNC)
        shared = self.extra_NF.shape[1] - sum(widths)
        begin = shared + sum(widths[:i])
        own_NF = self.extra_NF[:, begin : begin + widths[i]]
        extra_NF = np.concatenate([self.extra_NF[:, :shared], own_NF], axis=1)
        return StackerInput(self.probs_MNC[i : i + 1], extra_NF, self.task, (widths[i],))

    def __len__(self) -> int:
        return self.probs_MNC.shape[1]


def build_matrix(members: Sequence[Member], split: str) -> PredictionMatrix | None:
    """Return the matrix of a split, in the first member's order of clips; None where nobody has predicted it.

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
                f"{count(len(other), 'such clip')}: members must have the same splits. Train them so: a "
                "sweep over heads or models, or the same data.folds and data.fold for all"
            )
    names = lead.answers[split].select("clip")
    known = names.join(lead.clips.table, on="clip", how="inner", maintain_order="left")
    if len(known) < len(names):
        raise UsageError(f"members: clips.parquet of {lead.runs[0]} lacks clips of its {split} predictions")
    columns = [c for c in known.columns if c not in lead.clips.classes]
    ordered = Clips(known.select(*columns, *lead.classes), lead.classes)
    probs_MNC = np.full((len(members), len(names), len(lead.classes)), np.nan, np.float32)
    unread_MN = np.zeros((len(members), len(names)), bool)
    reasons: list[list[str]] = []
    for i, m in enumerate(members):
        table = names.join(m.answers[split], on="clip", how="left", maintain_order="left")
        at = [lead.classes.index(c) for c in m.classes]
        probs_MNC[i][:, at] = predictions.get_probabilities(table, m.classes)
        unread_MN[i] = (table["status"] == predictions.FAILED).to_numpy()
        reasons.append(table["reason"].to_list())
    known_MC = np.array([[c in m.classes for c in lead.classes] for m in members])
    filled_MNC, answered_N = _filled(probs_MNC, unread_MN, known_MC)
    if not answered_N.any():
        raise UsageError(f"members: none of their {len(names)} {split} clips could be read")
    first_N = unread_MN.argmax(0)  # of a clip without an answer: the first member that could not read it
    unanswered = {names["clip"][int(n)]: reasons[first_N[n]][n] for n in np.flatnonzero(~answered_N)}
    kept = ordered.where(pl.Series(answered_N))
    return PredictionMatrix(
        kept,
        lead.classes,
        lead.task,
        tuple(m.name for m in members),
        filled_MNC[:, answered_N],
        unread_MN[:, answered_N],
        number_sites(kept),
        np.zeros((len(kept), 0), np.float32),
        requested=tuple(names["clip"]),
        unanswered=unanswered,
        unanswered_labelled=int(ordered.where(pl.Series(~answered_N)).labelled().sum()),
    )


def _filled(
    probs_MNC: np.ndarray, unread_MN: np.ndarray, known_MC: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give each member, for the clips that it could not read, the mean of those that could.

    Returns:
        The answers `[M, N, C]`, nan where a member does not know a class; and whether a clip has an answer
        for every class, bool `[N]`.
    """
    known_MNC = known_MC[:, None, :] & ~unread_MN[:, :, None]
    count_NC = known_MNC.sum(0)
    sums_NC = np.where(known_MNC, probs_MNC, 0).sum(0, dtype=np.float64)
    mean_NC = (sums_NC / np.maximum(count_NC, 1)).astype(np.float32)
    borrowed_MNC = known_MC[:, None, :] & unread_MN[:, :, None]
    return np.where(borrowed_MNC, mean_NC, probs_MNC), (count_NC > 0).all(1)


def number_sites(clips: Clips) -> np.ndarray:
    """Return a number for each clip, the same for clips of one site; int64 `[N]`."""
    if "site" not in clips.table.columns:
        return np.arange(len(clips))
    alone = pl.concat_str(pl.lit("\0"), pl.col("clip"))
    return (
        clips.table.select(pl.coalesce("site", alone).rank("dense").cast(pl.Int64)).to_series().to_numpy() - 1
    )


def make_predictions(matrix: PredictionMatrix, probs_NC: np.ndarray) -> pl.DataFrame:
    """Return the predictions table of an ensemble, with failed rows for clips that no member could read."""
    said = dict(zip(matrix.clips.table["clip"], probs_NC, strict=True))
    unread_N = matrix.unread_MN.sum(0).tolist()
    unread = dict(zip(matrix.clips.table["clip"], unread_N, strict=True))
    rows: list[ClipPrediction] = []
    for clip in matrix.requested:
        if clip in matrix.unanswered:
            rows.append(ClipPrediction.failure(matrix.unanswered[clip]))
            continue
        n = unread[clip]
        reason = f"{n} of {len(matrix.names)} members could not read it" if n else ""
        rows.append(ClipPrediction("degraded" if n else "ok", reason, said[clip]))
    return predictions.make_table(matrix.requested, rows, matrix.classes)
