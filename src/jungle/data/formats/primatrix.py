"""The Pri-matrix Factorization competition (DrivenData, 2017): a folder of clips and two tables, 24 classes.

The competition calls its tables `train_labels.csv` and `submission_format.csv`; the third-place solution
saves them as `train.csv` and `submission.csv`. Both names are looked for, next to the clips and one folder
above.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from jungle.console import log
from jungle.data.clips import Clips
from jungle.data.formats.headings import find_columns
from jungle.data.formats.label_source import LabelSource
from jungle.data.formats.labels_csv import load_csv, report_refused, unify_names
from jungle.data.formats.sites import join_sites
from jungle.data.paths import make_absolute, match_clips, name_clips, say_matches
from jungle.data.table_io import read_table
from jungle.data.text import map_values, match_names
from jungle.data.validation_report import Problems
from jungle.errors import UserError
from jungle.files import describe_absent

LABELS = ("train_labels.csv", "train.csv")
TEMPLATE = ("submission_format.csv", "submission.csv")
TEST_LABELS = ("test_labels.csv",)
SITES = ("sites.csv",)


def load_primatrix(source: LabelSource, problems: Problems) -> Clips:
    """Read the labelled clips and, as split `test`, the clips of the submission format.

    The probabilities in the submission format are no labels: its clips have null labels unless the test
    labels say them. The classes are the columns of the labels in their order; `source.classes` takes some of
    them. Tables that are not named are looked for: labels and submission format next to the clips and one
    folder above, test labels next to the submission format, sites next to the labels.

    Raises:
        UserError: there is no folder or no labels, or the two tables do not fit each other.
    """
    raw = source.folder()
    if not raw.is_dir():
        raise UserError(f"data.root={raw}: {describe_absent(raw, 'folder')} It holds the clips.")
    labels = find_labels(raw, *source.tables)
    if labels is None:
        raise UserError(
            f"no {' or '.join(LABELS)} in {raw} or {raw.parent}: name it (data.labels=<file>), or fetch it "
            "(jungle download)"
        )
    table = LabelSource(labels=labels, root=raw, classes=source.classes, optional=source.optional)
    clips = load_csv(table, problems)
    template = find_template(raw, labels, source.template)
    if template is None:
        log.warning(f"no {' or '.join(TEMPLATE)} next to {labels}: there are no test clips")
    else:
        known = _resolve_file(source.test_labels, TEST_LABELS, (template.parent,))
        test = _load_test(template, known, raw, clips, problems)
        clips = Clips(pl.concat([clips.table, test.table], how="diagonal"), clips.classes)
    sites = _resolve_file(source.sites, SITES, (labels.parent,))
    return clips if sites is None else join_sites(clips, sites, [raw], problems)


def load_primatrix_micro(source: LabelSource, problems: Problems) -> Clips:
    """Read the 64x64 set: as `load_primatrix`; the archive's own folder `micro/` may lie in the root."""
    root = source.folder()
    labels = find_labels(root, *source.tables)
    inner = root / "micro"
    return load_primatrix(replace(source, root=inner if inner.is_dir() else root, labels=labels), problems)


def find_template(raw: str | Path, labels: str | Path | None, given: str | Path | None = None) -> Path | None:
    """Return the submission format: the one given, or the one next to the labels or the clips, if any is."""
    raw = make_absolute(raw)
    folders = (Path(labels).parent,) if labels is not None else ()
    return _resolve_file(given, TEMPLATE, (*folders, raw, raw.parent))


def find_labels(raw: str | Path, given: str | Path | None = None) -> Path | None:
    """Return the table of labels: the one given, or the one next to the clips, if any is."""
    raw = make_absolute(raw)
    return _resolve_file(given, LABELS, (raw, raw.parent))


def _resolve_file(given: str | Path | None, names: Sequence[str], folders: Iterable[Path]) -> Path | None:
    if given is not None:
        return make_absolute(given)
    return next((f / name for f in folders for name in names if (f / name).is_file()), None)


def _load_test(template: Path, known: Path | None, raw: Path, train: Clips, problems: Problems) -> Clips:
    """Load the template's clips as split test, labelled where `known` has them."""
    asked = _read_template(template, raw, train, problems)
    nulls = (pl.lit(None, dtype=pl.Int8).alias(c) for c in train.classes)
    if known is None:
        return Clips(asked.with_columns(nulls), train.classes)
    truth = load_csv(LabelSource(labels=known, root=raw, classes=train.classes), problems)
    problems.add(
        f"clips are named twice in {known}",
        truth.table.filter(pl.col("clip").is_duplicated())["clip"].unique(maintain_order=True).to_list(),
        "Keep one row a clip.",
    )
    found = match_clips(truth.table["clip"].to_list(), asked["clip"].to_list())
    say_matches(found, known, problems)
    labelled = truth.table.select("clip", *truth.classes).unique("clip", keep="first", maintain_order=True)
    labelled = labelled.with_columns(clip=map_values(labelled["clip"], found.known))
    joined = asked.join(labelled, on="clip", how="left", maintain_order="left")
    if truth.classes != train.classes:  # a missing column is among the problems
        joined = joined.with_columns(
            pl.lit(None, dtype=pl.Int8).alias(c) for c in train.classes if c not in truth.classes
        )
    return Clips(joined, train.classes)


def _read_template(template: Path, raw: Path, train: Clips, problems: Problems) -> pl.DataFrame:
    columns = find_columns(read_table(template), {}, [raw])
    table, column = columns.table, columns.roles["filepath"]
    heads = match_names(train.classes, [c for c in table.frame.columns if c != column])
    if missing := [c for c in train.classes if c not in heads.known]:
        problems.add(
            f"classes of the labels have no column in {template}", missing, "Use the tables of one set."
        )
    names = unify_names(table, name_clips(table.frame[column], raw))
    report_refused(table, names, column, problems)
    frame = pl.DataFrame({"clip": names.clip, "path": names.path}).filter(names.clip.is_not_null())
    both = frame.join(train.table, on="clip", how="semi")["clip"].to_list()
    problems.add(
        f"clips of {template} are also in the labels",
        both,
        "A test clip has no label: remove it from one table.",
    )
    return frame.join(train.table, on="clip", how="anti", maintain_order="left").with_columns(
        pl.lit("test").alias("split")
    )
