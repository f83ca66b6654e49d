"""Report page of a training or prediction run: `report.html`, one file without scripts or links to others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.metrics.reliability import compute_reliability
from jungle.report import charts, evaluation, gallery, summary
from jungle.report.evaluation import Outcome
from jungle.report.formatting import SPLITS
from jungle.report.path_display import PathDisplay, find_roots
from jungle.report.template import write_page
from jungle.video import ClipSpec

MAX_CLIPS = 32  # with pictures
BUDGET_S = 60  # for reading the clips for the pictures
MAX_CONFUSION = 40  # classes; a larger matrix cannot be read
MAX_FAILURES = 200  # listed; the rest are in failures.csv


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Results of one class; scores are None where they are undefined."""

    name: str
    clips: int
    f1: float | None
    ap: float | None
    log_loss: float | None
    mistaken: tuple[str, int] | None
    """The class that it is most often mistaken for, and how often."""


@dataclass(frozen=True, slots=True)
class SplitResults:
    """Everything that the page shows of one split with labels."""

    key: str
    name: str
    scores: Mapping[str, float]
    prior_log_loss: float | None
    """Of predicting the class shares of the training clips."""
    labelled: int
    right: int
    unreadable: int
    interval: tuple[float, float]
    rows: list[ClassRow]
    shown: list[int]
    """Classes in the confusion matrix: those in a clip or predicted for one."""
    matrix: list[list[int]] | None
    """Counts by true and predicted class; None where there are too many classes."""
    totals: list[int]
    pairs: list[tuple[str, str, int, int]]
    """Most frequent confusions: true class, predicted class, clips, clips of the true class."""

    @property
    def absent(self) -> list[str]:
        """Names of classes without clips."""
        return [row.name for row in self.rows if not row.clips]


def write_report(
    folder: Path,
    *,
    title: str,
    about: str = "",
    predictions: Mapping[str, pl.DataFrame],
    classes: Sequence[str],
    task: str,
    clips: pl.DataFrame | None = None,
    metrics: Mapping[str, float] | None = None,
    history: Sequence[Mapping[str, object]] | None = None,
    failures: Sequence[tuple[str, str]] = (),
    config_summary: Mapping[str, object] | None = None,
    clip_spec: ClipSpec | None = None,
    roots: Sequence[Path | str | None] = (),
    whole_paths: bool = False,
) -> Path:
    """Write `report.html` into `folder`; return its path.

    With labels in `clips` it reports a training run: scores, confusion matrix, calibration, correct and wrong
    clips. Without labels it reports a prediction run: what was found, confident and uncertain predictions.

    Args:
        folder: where the report goes.
        title: its heading.
        about: the first words below the heading, such as the model.
        predictions: a predictions table for each split (`val`, `test`), or one under any name.
        classes: class names, in any order that the tables have as columns.
        task: `exclusive` or `multilabel`.
        clips: a clips table; its `path` says where the videos are.
        metrics: flat scores (`test/accuracy`, ...); missing ones are computed.
        history: the scores of each epoch, flat.
        failures: clips that could not be read, each with its reason.
        config_summary: settings to show; sections become `section.key`.
        clip_spec: how the model read the clips, so that the pictures are the frames it saw.
        roots: folders whose files are shown relative to them; of other absolute paths the page shows the last
            name only.
        whole_paths: whether absolute paths are shown in full.

    Raises:
        OSError: the folder cannot be written.
    """
    if len(classes) == 1:
        predictions, clips, classes = evaluation.add_complement(predictions, clips, classes[0])
    labelled: dict[str, Outcome] = {}
    if clips is not None and evaluation.has_labels(clips, classes):
        labelled = {s: evaluation.match_labels(table, clips, classes) for s, table in predictions.items()}
        labelled = {s: o for s, o in labelled.items() if len(o)}
    order = [s for s in ("test", "val") if s in labelled] + [s for s in labelled if s not in SPLITS]
    table = pl.concat(predictions.values()) if predictions else None
    found = summary.summarise(table, classes, task) if table is not None and not labelled else None
    curves = {chart.title: chart for chart in charts.make_learning_curves(history or ())}
    reliability = {
        s: charts.make_reliability_diagram(
            SPLITS.get(s, s).capitalize(),
            compute_reliability(labelled[s].probs_NC, labelled[s].targets_NC, task),
        )
        for s in order
    }
    videos = gallery.Videos(clips, clip_spec, BUDGET_S)
    galleries: list[gallery.Gallery] = []
    with ThreadPoolExecutor(1) as pool:  # charts are drawn while clips are read
        drawn = pool.submit(charts.draw, curves | reliability)
        if order:
            split = order[0]
            galleries = gallery.build_labelled(
                labelled[split], predictions[split], classes, SPLITS.get(split, split), videos, MAX_CLIPS
            )
        elif found is not None and table is not None:
            galleries = gallery.build_unlabelled(found, table, classes, videos, MAX_CLIPS)
        drawings = drawn.result()
    splits = [
        _summarise_split(s, labelled[s], predictions[s], clips, classes, task, metrics or {})
        for s in order
        if clips is not None
    ]
    path = Path(folder) / "report.html"
    names = table["clip"].to_list() if table is not None else []
    paths = PathDisplay(find_roots([*roots, folder], names), whole_paths)
    write_page(
        path,
        "page.html.j2",
        paths,
        kind="training run" if splits else "prediction run",
        title=title,
        about=about,
        task=task,
        classes=list(classes),
        splits=splits,
        found=found,
        requested=len(table) if table is not None else 0,
        degraded=int((table["status"] == "degraded").sum()) if table is not None else 0,
        curves=[drawings[key] for key in curves],
        reliability=[drawings[key] for key in reliability],
        galleries=galleries,
        failures=list(failures)[:MAX_FAILURES],
        more_failures=max(len(failures) - MAX_FAILURES, 0),
        reasons=_count_reasons(failures),
        config=_flatten(config_summary or {}, paths),
        counts=_count_splits(clips, {clip for clip, _ in failures}),
    )
    return path


def _summarise_split(
    name: str,
    outcome: Outcome,
    predictions: pl.DataFrame,
    clips: pl.DataFrame,
    classes: Sequence[str],
    task: str,
    metrics: Mapping[str, float],
) -> SplitResults:
    given = {k.removeprefix(f"{name}/"): v for k, v in metrics.items() if k.startswith(f"{name}/")}
    scores = evaluation.collect_scores(outcome, classes, task, given)
    counts_CC = evaluation.compute_confusion_matrix(outcome)
    labelled = int((outcome.targets_NC == 1).any(1).sum())
    right = int(outcome.right_N.sum())
    wrong_CC = counts_CC * (1 - np.eye(len(classes), dtype=int))
    rows = [
        ClassRow(
            name=c,
            clips=int((outcome.targets_NC[:, i] == 1).sum()),
            f1=scores.get(f"class/{c}/f1"),
            ap=scores.get(f"class/{c}/ap"),
            log_loss=scores.get(f"class/{c}/log_loss"),
            mistaken=(classes[int(wrong_C.argmax())], int(wrong_C.max())) if wrong_C.max() > 0 else None,
        )
        for i, (c, wrong_C) in enumerate(zip(classes, wrong_CC, strict=True))
    ]
    shown = np.flatnonzero((counts_CC.sum(1) > 0) | (counts_CC.sum(0) > 0)).tolist()
    fits = len(shown) <= MAX_CONFUSION
    pairs = sorted((-int(wrong_CC[t, p]), int(t), int(p)) for t, p in np.argwhere(wrong_CC > 0))
    return SplitResults(
        key=name,
        name=SPLITS.get(name, name),
        scores=scores,
        prior_log_loss=evaluation.compute_prior_log_loss(outcome, clips, classes),
        labelled=labelled,
        right=right,
        unreadable=evaluation.count_unreadable(predictions, clips, classes),
        interval=evaluation.compute_interval(right, labelled),
        rows=rows,
        shown=shown,
        matrix=counts_CC.tolist() if fits else None,
        totals=counts_CC.sum(1).tolist(),
        pairs=[
            (classes[t], classes[p], -n, int(counts_CC[t].sum())) for n, t, p in pairs[: 8 if fits else 24]
        ],
    )


def _count_reasons(failures: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """Return the most frequent reasons with their counts."""
    counts = Counter(reason for _, reason in failures)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:8]


def _count_splits(clips: pl.DataFrame | None, unreadable: set[str]) -> list[tuple[str, int]]:
    """Return the number of readable clips of each split."""
    if clips is None or "split" not in clips.columns:
        return []
    # Not `is_in`: names of failed files may not be UTF-8, which polars refuses.
    readable = clips.filter(pl.Series([c not in unreadable for c in clips["clip"]], dtype=pl.Boolean))
    counts = dict(readable.drop_nulls("split").group_by("split").len().iter_rows())
    names = {"train": "training", **SPLITS, "unlabelled": "unlabelled"}
    return [(names[s], counts[s]) for s in ("train", "val", "test", "unlabelled") if s in counts]


def _flatten(config: Mapping[str, object], paths: PathDisplay, prefix: str = "") -> list[tuple[str, str]]:
    """Return settings as (`section.key`, value); null and empty ones are left out."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, paths, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            rows += [(f"{prefix}{key}", ", ".join(paths.shorten(str(v)) for v in value))] if value else []
        elif value is not None and value != "":
            text = str(value).lower() if isinstance(value, bool) else paths.shorten(str(value))
            rows.append((f"{prefix}{key}", text))
    return rows
