"""Leaks between the folds and splits of an ensemble's members."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from jungle.data.clips import Clips
from jungle.data.duplicates import find_copies
from jungle.ensemble.members import Member
from jungle.wording import count

TOO_GOOD = "the scores are too good"
LACKING = "the scores do not cover all clips: train the missing folds too"
APART = (
    "the members' validation clips differ, so they cannot be combined: train all with the same splits (a "
    "sweep over heads or models, or the same data.folds and data.fold)"
)


@dataclass(frozen=True)
class Finding:
    """A problem of a member, and its consequence."""

    member: str
    what: str
    clips: int
    example: str
    means: str = TOO_GOOD
    """`TOO_GOOD` for a leak; `LACKING` and `APART` are not leaks."""


def find_leaks(members: Sequence[Member], contents: pl.DataFrame | None = None) -> list[Finding]:
    """Return leaks, missing folds and members that do not fit together; each member's own problems first.

    Args:
        members: a fold consists of the validation clips that its run predicted.
        contents: `clip` and `hash`, which is the same for copies; None = copies are not searched for.
    """
    found: list[Finding] = []
    for m in members:
        for run in m.runs:
            clips = Clips.read(run / "clips.parquet")
            found += _of_run(f"{m.name}, {run.name}" if len(m.runs) > 1 else m.name, clips, contents)
        found += _of_folds(m)
    return [*found, *_between(members)]


def _of_run(name: str, clips: Clips, contents: pl.DataFrame | None) -> list[Finding]:
    table = clips.table
    found: list[Finding] = []
    if "site" in table.columns:
        sites = {
            s: set(table.filter(pl.col("split") == s)["site"].drop_nulls()) for s in ("train", "val", "test")
        }
        for judged in ("val", "test"):
            if both := sites["train"] & sites[judged]:
                at = table.filter((pl.col("split") == judged) & pl.col("site").is_in(list(both)))
                found.append(
                    Finding(name, f"in train and in {judged}: {count(len(both), 'site')}", len(at), min(both))
                )
    if contents is not None:
        known = table.select("clip").join(contents, on="clip", how="left", maintain_order="left")["hash"]
        copies = find_copies(table.select("clip", "split"), known)
        if len(copies):
            first = f"{copies['clip'][0]} = {copies['copy'][0]}"
            found.append(Finding(name, "training clips are copies of val or test clips", len(copies), first))
    return found


def _of_folds(m: Member) -> list[Finding]:
    """Return a finding if some labelled clips are in no fold (loading has excluded clips in two)."""
    if len(m.runs) == 1:
        return []
    answered = frozenset().union(*m.folds)
    labelled = m.clips.where(m.clips.labelled() & m.clips.splits().is_in(["train", "val"]))
    if lost := set(labelled.table["clip"]) - answered:
        return [
            Finding(
                m.name, "clips are in no validation fold: a fold is missing", len(lost), min(lost), LACKING
            )
        ]
    return []


def _between(members: Sequence[Member]) -> list[Finding]:
    """Return findings for pairs of members that were not trained and validated on the same clips.

    A stack that is fitted on clips that one of its members was trained on trusts that member too much.
    """
    found: list[Finding] = []
    lead = members[0]
    for m in members[1:]:
        if len(m.runs) > 1 and len(lead.runs) > 1 and set(m.folds) != set(lead.folds):
            whole = frozenset().union(*m.folds) ^ frozenset().union(*lead.folds)
            moved = {c for a in m.folds for c in a if not any(a == b for b in lead.folds)}
            some = min(moved or whole)
            found.append(
                Finding(
                    m.name,
                    f"its folds differ from those of {lead.name}",
                    len(moved or whole),
                    some,
                    APART,
                )
            )
        elif len(m.runs) == 1 or len(lead.runs) == 1:
            mine, theirs = set(m.answers["val"]["clip"]), set(lead.answers["val"]["clip"])
            if mine != theirs:
                some = min(mine ^ theirs)
                found.append(
                    Finding(
                        m.name,
                        f"its validation clips differ from those of {lead.name}",
                        len(mine ^ theirs),
                        some,
                        APART,
                    )
                )
        tests = [set(x.answers["test"]["clip"]) if "test" in x.answers else set() for x in (m, lead)]
        train = [set(x.clips.of("train").table["clip"]) for x in (m, lead)]
        for test, other, name in ((tests[1], train[0], m.name), (tests[0], train[1], lead.name)):
            if both := test & other:
                found.append(
                    Finding(name, "it was trained on test clips of another member", len(both), min(both))
                )
    return found
