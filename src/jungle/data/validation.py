"""Checks of the clips table before anything is decoded, all reported in one message."""

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from jungle.data.clips import SPLITS, Clips
from jungle.data.contrast import check_contrast
from jungle.data.paths import find_candidates, locate, resolve_files
from jungle.data.text import clean_name, find_scripts, find_spellings, fold_class, fold_text, is_blank
from jungle.data.validation_report import Problems, list_some
from jungle.data.video_suffixes import strip_suffix
from jungle.names import show
from jungle.wording import count, tally

BLANK = "blank"
SLIP = 2  # clips of a class, at most, that may be a misspelling of another
# fmt: off
ABOUT = frozenset([
    "a", "an", "the", "and", "or", "vs", "versus", "with", "then", "no", "not", "without", "maybe",
    "likely", "perhaps", "possible", "possibly", "poss", "probable", "probably", "prob", "unsure",
    "uncertain", "sp", "spp", "indet", "cf", "aff", "br", "und", "oder", "mit", "kein", "keine",
    "vielleicht", "wahrscheinlich", "et", "ou", "avec", "pas", "peut", "être", "y", "o", "con", "sin",
    "tal", "vez", "e", "com", "sem", "não", "talvez",
])
# fmt: on
"""Words that say how sure a name is, or join two, in languages of the West and of biology."""
FAILURES = {"clip": pl.String, "path": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Checked:
    """Clips that may be decoded."""

    clips: Clips
    """Those whose file is there; `path` is the file's name as it is on disk."""
    failures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FAILURES))
    """`clip`, `path`, `reason`: those left out."""
    warnings: tuple[str, ...] = ()
    """Not errors, but worth reading; the caller logs them."""


def check(
    clips: Clips,
    *,
    classes: Sequence[str] | None = None,
    missing: Literal["error", "skip"] = "error",
    strict: bool = True,
    blank: str = BLANK,
    problems: Problems | None = None,
    where: object = "The labels",
) -> Checked:
    """Check a table whose splits are assigned. Folders are listed; no video is opened.

    Args:
        clips: the table.
        classes: the class names there may be; None allows those of the table.
        missing: whether a labelled clip that is not on disk is an `error`, or is left out as a failure
            (`skip`). An unlabelled one is always left out, because training does without it.
        strict: whether a class without clips, or without clips in training, is an error. Otherwise it is a
            warning, for the fixed columns of a competition and for folds of rare classes.
        blank: the class that excludes all others, in any case.
        problems: those found on loading, reported in the same message.
        where: the file of the labels, for the message.

    Raises:
        UserError: something is wrong; every kind with its count, examples and the fix.
    """
    gathered = Problems() if problems is None else problems
    classes = None if classes is None else [clean_name(c) for c in classes]
    warnings: list[str] = []
    _check_ids(clips, gathered)
    _check_class_names(clips, classes, gathered, warnings)
    _check_labels(clips, blank, gathered, warnings)
    _check_splits(clips, gathered, warnings, strict)
    on_disk = locate(clips.table["path"])
    lost, labelled = on_disk.is_null(), clips.labelled()
    failing = lost & labelled if missing == "error" else pl.Series([False] * len(clips), dtype=pl.Boolean)
    if failing.any():
        rows = failing.arg_true().to_list()
        every = (
            f"None of the {int(labelled.sum())} is there: is data.root right?"
            if failing.sum() == labelled.sum()
            else ""
        )
        gathered.add(
            "clips are not on disk",
            [gathered.at(clips.table["clip"][i], clips.table["path"][i]) for i in rows[:5]],
            every or "Correct data.root or the names, or go on without them: data.missing=skip.",
            count=len(rows),
        )
    there = clips.where(~lost) if missing == "skip" else clips
    check_contrast(there, gathered, warnings)
    _check_classes_there(clips, there, gathered, warnings, strict)
    _check_files(clips, on_disk, gathered, warnings)
    gathered.raise_if_any(where)
    failures = clips.table.filter(lost).select("clip", "path", pl.lit("no such file").alias("reason"))
    if failures.height:
        left_out = "and is left out" if failures.height == 1 else "and are left out"
        some = ", ".join(gathered.at(c, show(c)) for c in failures["clip"].head(5))
        more = ", ..." if failures.height > 5 else ""
        warnings.append(f"{tally(failures.height, 'clips are')} not on disk {left_out}: {some}{more}")
        left = set(clips.where(~lost).splits().drop_nulls().unique().to_list())
        gone = [s for s in ("train", "val") if s not in left and (clips.splits() == s).any()]
        gathered.add(
            "splits have no clip on disk", gone, "Is data.root right? There is nothing to train or choose on."
        )
        gathered.raise_if_any(where)
    found = clips.with_columns(path=on_disk).where(~lost)
    return Checked(found, failures, tuple(warnings))


def _check_files(clips: Clips, on_disk: pl.Series, problems: Problems, warnings: list[str]) -> None:
    """Check for names that fit two files, files of two clips, and names that the disk writes differently."""
    paths, lost = clips.table["path"], on_disk.is_null()
    # By their names: a whole path may be so long that what fits is cut off.
    named = zip(clips.table["clip"].filter(lost).head(100), paths.filter(lost).head(100), strict=True)
    unsure = {name: c for name, path in named if len(c := find_candidates(path)) > 1}
    problems.add(
        "names fit several files, by case, accents or suffix",
        [f"{n} ({' or '.join(os.path.basename(f) for f in files)})" for n, files in unsure.items()],
        "Write each as the file's name is written.",
    )
    there = pl.DataFrame({"clip": clips.table["clip"], "path": paths, "file": on_disk}).drop_nulls()
    there = there.with_columns(file=resolve_files(there["file"]), written=there["file"])
    there = there.unique("clip", maintain_order=True)
    shared = there.filter(there["file"].is_duplicated()).group_by("file", maintain_order=True).agg("clip")
    problems.add(
        "files are named as several clips",
        [" = ".join(map(problems.at, names)) for names in shared["clip"].head(5)],
        "Name each file once, in one way.",
        count=shared.height,
    )
    other = there.filter(pl.col("path").str.normalize("NFC") != pl.col("written").str.normalize("NFC"))
    longer = pl.Series([strip_suffix(w) for w in other["written"]], dtype=pl.String).str.to_lowercase()
    bare = other.filter(longer == other["path"].str.to_lowercase())
    other = other.join(bare, on="clip", how="anti", maintain_order="left")
    if bare.height:
        name, file = (os.path.basename(bare[c][0]) for c in ("path", "written"))
        warnings.append(
            f"{tally(bare.height, 'names have')} no suffix, as {show(name)}: taken as {show(file)}"
        )
    if other.height:
        first = other.row(0, named=True)
        warnings.append(
            f"{tally(other.height, 'names differ')} from the file's by case, as {show(first['path'])}: it "
            f"is {show(first['written'])}"
        )


def _check_ids(clips: Clips, problems: Problems) -> None:
    clip = clips.table["clip"]
    twice = clip.filter(clip.is_duplicated()).unique(maintain_order=True)
    problems.add(
        "clips have more than one row",
        [problems.at(c) for c in twice.head(5)],
        "Keep one row a clip; several labels are several ones in its row.",
        count=len(twice),
    )


def _check_class_names(
    clips: Clips, classes: Sequence[str] | None, problems: Problems, warnings: list[str]
) -> None:
    problems.add(
        "classes have no name", [i for i, c in enumerate(clips.classes, 1) if not c.strip()], "Name them."
    )
    if classes is not None:
        unknown = [c for c in clips.classes if c not in set(classes)]
        problems.add("classes are unknown", unknown, f"Known are {', '.join(map(show, classes[:30]))}.")
    else:
        _check_spellings(clips, problems, warnings)
    if (len(clips) or not problems) and not problems.labels_unread and not clips.labelled().any():
        problems.say("No clip has a label. Is data.labels the right table?")


def _check_spellings(clips: Clips, problems: Problems, warnings: list[str]) -> None:
    """Check for classes that are one word written in several ways, and for rare ones that look misspelt."""
    several = [
        " = ".join(map(problems.class_at, names)) for names in find_spellings(clips.classes, fold_class)
    ]
    problems.add(
        "classes are written in several ways",
        several,
        "Write it in one way, or, where they are different classes, name them all: data.classes=[...].",
    )
    folds = {fold_text(c) for c in clips.classes}
    for c in clips.classes:
        words, others = [w for w in re.split(r"[\W_]+", c) if w], folds - {fold_text(c)}
        if _is_made_of(words, others):
            warnings.append(
                f"class {show(c)} is made of the names of other classes: two species in one cell?"
            )
        elif _is_made_of([w for w in words if w.casefold() not in ABOUT], others, least=1):
            warnings.append(
                f"class {show(c)} has the name of another class and words about it: is it one of its own?"
            )
        if len(scripts := find_scripts(c)) > 1:
            warnings.append(
                f"class {show(c)} has letters of several scripts ({', '.join(scripts)}): was it typed by "
                "mistake, or its encoding misread?"
            )
    counts = dict(zip(clips.classes, clips.labels().sum(0).tolist(), strict=True))
    blanks = [show(c) for c in clips.classes if counts[c] and is_blank(c)]
    if len(blanks) > 1:
        warnings.append(f"classes {' and '.join(blanks)} both mean that there is no animal: one class?")
    common = [c for c in clips.classes if counts[c] >= SLIP * 5]
    for c in clips.classes:
        near = difflib.get_close_matches(c, common, 1, 0.85) if 0 < counts[c] <= SLIP else []
        if near:
            these, those = (f"{show(n)} ({count(counts[n], 'clip')})" for n in (c, near[0]))
            warnings.append(
                f"{these} may be a misspelling of {those}: correct the table, or keep it if it is a class of "
                "its own"
            )


def _is_made_of(words: Sequence[str], folds: set[str], least: int = 2) -> bool:
    """Return whether all words of a name, at least so many, are other classes' names in turn."""
    reached = {0}  # after how many words a class may begin
    for end in range(1, len(words) + 1):
        if any(fold_text(" ".join(words[i:end])) in folds for i in sorted(reached)[-8:]):
            reached.add(end)
    return len(words) >= least and len(words) in reached


def _check_labels(clips: Clips, blank: str, problems: Problems, warnings: list[str]) -> None:
    out_of_range: list[str] = []
    n = 0
    for c in clips.classes:
        rows = ((clips.table[c] != 0) & (clips.table[c] != 1)).fill_null(False).arg_true().to_list()
        n += len(rows)
        names = [problems.at(clips.table["clip"][i]) for i in rows[:5]]
        out_of_range += [f"{c} = {clips.table[c][i]} of {at}" for i, at in zip(rows, names, strict=False)]
    problems.add("labels are neither 0 nor 1", out_of_range, "Write 1 for seen, 0 for not seen.", count=n)
    blanks = [i for i, c in enumerate(clips.classes) if is_blank(c) or fold_text(c) == fold_text(blank)]
    if not blanks:
        return
    labels = clips.labels()
    name = clips.classes[blanks[0]]
    none = int((clips.labelled().to_numpy() & ~labels.any(axis=1)).sum())
    if none:
        have = "labelled clip has" if none == 1 else "labelled clips have"
        warnings.append(f"{none} {have} no class at all, not even {name}")
    animals = [j for j in range(len(clips.classes)) if j not in blanks]
    both = np.flatnonzero(labels[:, blanks].any(axis=1) & labels[:, animals].any(axis=1))
    examples = []
    for i in both[:5].tolist():
        said = " and ".join(clips.classes[j] for j in (*blanks, *animals) if labels[i, j])
        place = problems.place(clips.table["clip"][i])
        examples.append(f"{clips.table['clip'][i]} ({said}{'; ' * bool(place)}{place})")
    problems.add(
        f"clips are {name} and something else at once",
        examples,
        f"A clip with an animal is not {name}: correct the labels.",
        count=len(both),
    )


def _check_splits(clips: Clips, problems: Problems, warnings: list[str], strict: bool) -> None:
    splits = clips.splits()
    unknown = splits.filter(~splits.is_in(list(SPLITS)) & splits.is_not_null()).unique().sort()
    problems.add("splits are unknown", unknown.to_list(), f"Splits are {', '.join(SPLITS)}.")
    labels, labelled = clips.labels(), clips.labelled().to_numpy()
    of = {s: (splits == s).fill_null(False).to_numpy() & labelled for s in ("train", "val")}
    everywhere, train = labels.any(axis=0), labels[of["train"]].any(axis=0)
    names = np.array(clips.classes, dtype=object)
    empty, untrained = names[~everywhere].tolist(), names[everywhere & ~train].tolist()
    if labelled.any() and not of["train"].any():
        problems.say("No labelled clip is for training. Set the split of some clips to train.")
    elif strict:
        problems.add(
            "classes have no clip at all",
            empty,
            "Add clips, remove the class, or name the classes to learn: data.classes=[...].",
        )
        problems.add(
            "classes have no clip in training",
            untrained,
            "They cannot be learnt: move clips to train, remove the class, or name data.classes=[...].",
        )
    else:
        for what, those in (("no clip at all", empty), ("no clip in training", untrained)):
            if those:
                warnings.append(f"{tally(len(those), 'classes have')} {what}: {list_some(those)}")
    if labelled.any() and not of["val"].any():
        problems.say(
            "No labelled clip is for validation, so no checkpoint can be chosen. Give some clips "
            "the split val, or set data.val_fraction above 0. Where sites are known, each may hold the last "
            "clips of some class: add sites, or remove the column site."
        )
    if "site" in clips.table.columns:
        pairs = clips.table.select("site", splits.alias("split")).drop_nulls().unique()
        pairs = pairs.filter(pl.col("split") != "unlabelled")
        shared = sorted(pairs.group_by("site").len().filter(pl.col("len") > 1)["site"].to_list())
        if shared:
            warnings.append(
                f"{tally(len(shared), 'sites are')} in more than one split ({list_some(shared)}): figures "
                "on those splits flatter the model, because it has seen the background"
            )


def _check_classes_there(
    clips: Clips, there: Clips, problems: Problems, warnings: list[str], strict: bool
) -> None:
    """Check for classes whose training clips are all left out, because none of them is on disk."""
    known, left = (some.of("train").labels().any(axis=0) for some in (clips, there))
    gone = np.array(clips.classes, dtype=object)[known & ~left].tolist()
    if not gone or not there.of("train").labelled().any():  # without any clip, that is what is said
        return
    if strict:
        problems.add(
            "classes have no clip in training that is on disk",
            map(problems.class_at, gone),
            "They cannot be learnt: correct data.root or the names, or remove their rows.",
            count=len(gone),
        )
    else:
        warnings.append(
            f"{tally(len(gone), 'classes have')} no clip in training that is on disk: {list_some(gone)}"
        )


def describe_sites(clips: Clips) -> str:
    """Describe in one line which sites each split holds, of the clips that have one."""
    pairs = clips.table.select("site", clips.splits().alias("split")).drop_nulls().unique()
    held = {s: sorted(pairs.filter(pl.col("split") == s)["site"].to_list()) for s in ("train", "val", "test")}
    return "sites: " + "; ".join(
        f"{len(names)} {s} ({list_some(names)})" for s, names in held.items() if names
    )


EMPTY = 5  # classes without a clip that are named


def format_counts(clips: Clips, most: int = 60) -> str:
    """Format the clips of each class and split for a terminal; the last row counts clips, not labels.

    Classes without a clip are one line below it.
    """
    counts = clips.counts()
    frame, empty = counts.filter(pl.col("all") > 0), counts.filter(pl.col("all") == 0)["class"].to_list()
    heads = frame.columns
    rows = [[show(v, 30) for v in row] for row in frame.head(most).iter_rows()]
    if frame.height > most:
        rows.append([f"... {frame.height - most} more classes", *[""] * (len(heads) - 1)])
    splits = clips.splits().fill_null("no split")
    total = [str(int((splits == s).sum())) for s in heads[1:-1]]
    rows.append(["clips", *total, str(len(clips))])
    table = [heads, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    if empty:
        named = ", ".join(show(name, 30) for name in empty[:EMPTY])
        lines.append(
            f"and {tally(len(empty), 'classes')} without a clip: {named}{', ...' * (len(empty) > EMPTY)}"
        )
    return "\n".join(lines)
