"""Prediction matrix: the predictions of all members for the same clips, in one order of clips and classes.

A member that could not read a clip has the mean of the other members' predictions for it. A clip that no
member could read is not in the matrix: it is not used for fits or scores, and the ensemble's table has a
failed row for it.
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
    """Predictions of M members for N clips of one split.

    Attributes:
        clips: those with a prediction, with labels; N everywhere below is in their order.
        classes: C class names: those of the first member with the most.
        task: `exclusive` or `multilabel`.
        names: of the members.
        probs_MNC: float32; nan where a member does not know a class (a blank-or-not model), for all clips.
        unread_MN: clips that a member could not read; its prediction there is the mean of the others'.
        groups_N: the site of each clip as a number, or a number of its own if no site is known.
        extra_NF: float32, finite; further columns for stackers that use columns; often none.
        own_MNF: further columns of each member; often empty.
        requested: names of all clips of the split, in order, including those without a prediction.
        unanswered: reasons, by name, of clips without a prediction.
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
        """Whether a clip has a label and every member could read it."""
        return self.labelled_N & ~self.unread_MN.any(0)

    @property
    def unscored(self) -> int:
        """Number of clips that have a label, but that some member could not read."""
        return int((self.labelled_N & self.unread_MN.any(0)).sum()) + self.unanswered_labelled

    def of(self, members: Sequence[int]) -> PredictionMatrix:
        """Return the matrix of some members; for a clip that one could not read, the mean is over these."""
        at = list(members)
        probs_MNC, unread_MN = self.probs_MNC[at], self.unread_MN[at]
        known_MC = np.asarray(np.isfinite(probs_MNC).all(1))
        filled_MNC, answered_N = _filled(probs_MNC, unread_MN, known_MC)
        own = tuple(self.own_MNF[i] for i in at) if self.own_MNF else ()
        return replace(
            self,
            names=tuple(self.names[i] for i in at),
            probs_MNC=np.where(answered_N[:, None], filled_MNC, probs_MNC),
            unread_MN=unread_MN,
            own_MNF=own,
        )

    def rows(self, at: np.ndarray) -> StackerInput:
        """Return the input of a stacker for some clips."""
        extra = [self.extra_NF[at], *(own_NF[at] for own_NF in self.own_MNF)]
        own = tuple(own_NF.shape[1] for own_NF in self.own_MNF)
        return StackerInput(self.probs_MNC[:, at], np.concatenate(extra, axis=1), self.task, own)


@dataclass(frozen=True)
class StackerInput:
    """Input of a stacker for n clips: the members' predictions and further columns, without labels.

    Attributes:
        probs_MNC: as in `PredictionMatrix`.
        extra_NF: as in `PredictionMatrix`, with each member's own columns at the end.
        task: `exclusive` or `multilabel`.
        own: number of own columns of each member, in order; empty = none.
    """

    probs_MNC: np.ndarray
    extra_NF: np.ndarray
    task: str
    own: tuple[int, ...] = ()

    def rows(self, at: np.ndarray) -> StackerInput:
        """Return the input for some clips."""
        return replace(self, probs_MNC=self.probs_MNC[:, at], extra_NF=self.extra_NF[at])

    def member(self, i: int) -> StackerInput:
        """Return the input with one member, its own columns and the shared ones."""
        widths = self.own or (0,) * len(self.probs_MNC)
        shared = self.extra_NF.shape[1] - sum(widths)
        begin = shared + sum(widths[:i])
        own_NF = self.extra_NF[:, begin : begin + widths[i]]
        extra_NF = np.concatenate([self.extra_NF[:, :shared], own_NF], axis=1)
        return StackerInput(self.probs_MNC[i : i + 1], extra_NF, self.task, (widths[i],))

    def __len__(self) -> int:
        return self.probs_MNC.shape[1]


def build_matrix(members: Sequence[Member], split: str) -> PredictionMatrix | None:
    """Return the matrix of a split; None if no member has predicted it.

    Clips are in the order of the first member with the most classes.

    Raises:
        UsageError: members differ in classes or task, or have not predicted the same clips.
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
                f"members: {m.name} is {m.task}, {lead.name} {lead.task}: give members with the same task"
            )
        if other := mine ^ set(lead.answers[split]["clip"] if split in lead.answers else ()):
            some = min(other)
            has, lacks = (m.name, lead.name) if some in mine else (lead.name, m.name)
            raise UsageError(
                f"members: {has} has predicted {some!r} ({split}), {lacks} has not; "
                f"{count(len(other), 'such clip')}: members must have the same splits. Train them with a "
                "sweep over heads or models, or with the same data.folds and data.fold"
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
    first_N = unread_MN.argmax(0)  # for a clip without a prediction: the first member that could not read it
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
    """Give members, for clips that they could not read, the mean of those that could.

    Returns:
        Predictions `[M, N, C]`, nan where a member does not know a class; and whether a clip has a prediction
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
