"""What leaks between the folds and splits of an ensemble's members."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from jungle.data.clips import Clips
from jungle.data.duplicates import find_copies
from jungle.ensemble.members import Member
from jungle.wording import count

TOO_GOOD = "what they score is too good"
LACKING = "what they score is not of all clips: train the missing folds as well"
APART = (
    "the members' validation clips differ, so they cannot be joined: train all with the same splits (a sweep "
    "over heads or models, or the same data.folds and data.fold)"
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with members, and what it means for them."""

    member: str
    what: str
    clips: int
    example: str
    means: str = TOO_GOOD
    """`TOO_GOOD` is a leak; `LACKING` and `APART` are none."""


def find_leaks(members: Sequence[Member], contents: pl.DataFrame | None = None) -> list[Finding]:
    """Return what leaks, what is missing and what does not fit together; each member's own first.

    Args:
        members: as loaded; a fold's clips are those that its run answered as val.
        contents: `clip` and, as `hash`, the copies that each is one of; None = copies are not looked for.
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
    """Say where folds together do not answer each labelled clip once (that none does so twice is known)."""
    if len(m.runs) == 1:
        return []
    answered = frozenset().union(*m.folds)
    labelled = m.clips.where(m.clips.labelled() & m.clips.splits().is_in(["train", "val"]))
    if lost := set(labelled.table["clip"]) - answered:
        return [
            Finding(m.name, "clips are in no fold's val: a fold is missing", len(lost), min(lost), LACKING)
        ]
    return []


def _between(members: Sequence[Member]) -> list[Finding]:
    """Say where a stack over these members would see, of one, an answer to a clip that another trained on.

    That is no fault of either; but fitted on val clips of one that were training clips of the other, a stack
    believes the other more than it should.
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
                    f"its folds are others than those of {lead.name}",
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
                        f"its validation clips are others than those of {lead.name}",
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
