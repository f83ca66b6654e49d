"""`report.html`: one file that shows what a run did, with no script and nothing to fetch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle.report import charts, evaluation, gallery, summary
from jungle.report.evaluation import Outcome
from jungle.report.formatting import SPLITS
from jungle.report.shown_paths import Places, places_of
from jungle.report.template import write_page
from jungle.video import ClipSpec

MAX_CLIPS = 32
MAX_CONFUSION = 40  # classes; a larger matrix says nothing to the eye
MAX_FAILURES = 200  # shown; the rest are in failures.csv


def write_report(
    folder: Path,
    *,
    title: str,
    about: str = "",
    predictions: Mapping[str, pl.DataFrame],
    classes: Sequence[str],
    task: str,
    clips: pl.DataFrame | None = None,
    root: Path | None = None,
    metrics: Mapping[str, float] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    failures: Sequence[tuple[str, str]] = (),
    config_summary: Mapping[str, Any] | None = None,
    clip_spec: ClipSpec | None = None,
    max_clips: int = MAX_CLIPS,
    budget_s: float = 60,
    roots: Sequence[Path | str | None] = (),
    whole_paths: bool = False,
) -> Path:
    """Write `report.html` into `folder`; return its path.

    With labels in `clips` it is the report of a training run: scores, confusion, calibration, right and
    wrong clips. Without, it is that of a prediction run: what was found, the surest and the least sure.

    Args:
        folder: where the report goes.
        title: its heading.
        about: what stands below it first, as the model.
        predictions: a predictions table for each split (`val`, `test`), or one under any name.
        classes: class names, in any order that the tables have as columns.
        task: `exclusive` or `multilabel`.
        clips: a clips table; its `path` says where the videos are.
        root: the folder of the videos, where `clips` is None or names no path.
        metrics: flat scores (`test/accuracy`, ...); those that are missing are computed.
        history: the scores of each epoch, flat.
        failures: clips that could not be read, each with its reason.
        config_summary: settings to show; sections become `section.key`.
        clip_spec: how the model read the clips, so that the pictures are the frames it saw.
        max_clips: most strips of frames.
        budget_s: seconds that reading clips for the strips may take.
        roots: folders whose files are named by what comes below them; of other absolute paths the page says
            the last name alone.
        whole_paths: whether absolute paths are shown as they are.

    Raises:
        OSError: the folder cannot be written.
    """
    labelled = evaluation.has_truth(clips, classes)
    judged: dict[str, Outcome] = {}
    if clips is not None and labelled:
        judged = {s: evaluation.judge(table, clips, classes) for s, table in predictions.items()}
        judged = {s: o for s, o in judged.items() if len(o)}
    order = [s for s in ("test", "val") if s in judged] + [s for s in judged if s not in SPLITS]
    table = pl.concat(predictions.values()) if predictions else None
    unlabelled = summary.find(table, classes, task) if table is not None and not judged else None
    videos = gallery.Videos(clips, root, clip_spec, budget_s)
    cards: list[gallery.Gallery] = []
    if order:
        split = order[0]
        named = SPLITS.get(split, split)
        cards = gallery.of_truth(judged[split], predictions[split], classes, named, videos, max_clips)
    elif unlabelled is not None and table is not None:
        cards = gallery.of_found(unlabelled, table, classes, videos, max_clips)
    splits = [
        _split(s, judged[s], clips, classes, task, metrics or {})
        | {"unreadable": evaluation.unreadable(predictions[s], clips, classes)}
        for s in order
        if clips is not None
    ]
    path = Path(folder) / "report.html"
    shown = table["clip"].to_list() if table is not None else []
    places = places_of([root, *roots, folder], shown, whole_paths)
    write_page(
        path,
        "page.html.j2",
        places,
        kind="training run" if splits else "prediction run",
        title=title,
        about=about,
        task=task,
        classes=list(classes),
        splits=splits,
        found=unlabelled,
        asked=len(table) if table is not None else 0,
        degraded=int((table["status"] == "degraded").sum()) if table is not None else 0,
        curves=charts.curves(history or ()),
        galleries=cards,
        failures=list(failures)[:MAX_FAILURES],
        more_failures=max(len(failures) - MAX_FAILURES, 0),
        reasons=_reasons(failures),
        config=_flat(config_summary or {}, places),
        counts=_counts(clips),
    )
    return path


def _split(
    name: str,
    judged: Outcome,
    clips: pl.DataFrame,
    classes: Sequence[str],
    task: str,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Everything the template shows of one split with known truth."""
    given = {k.removeprefix(f"{name}/"): v for k, v in metrics.items() if k.startswith(f"{name}/")}
    scores = evaluation.headline(judged, classes, task, given)
    counts_CC = evaluation.confusion(judged)
    labelled = int((judged.targets_NC == 1).any(1).sum())
    right = int(judged.right_N.sum())
    rows = []
    for i, c in enumerate(classes):
        wrong = counts_CC[i].copy()
        wrong[i] = 0
        mistaken = (classes[int(wrong.argmax())], int(wrong.max())) if wrong.max() > 0 else None
        numbers = {k: scores.get(f"class/{c}/{k}") for k in ("f1", "ap", "log_loss")}
        rows.append(
            {"name": c, "clips": int((judged.targets_NC[:, i] == 1).sum()), "mistaken": mistaken, **numbers}
        )
    totals_C = counts_CC.sum(1)
    shown = np.flatnonzero((totals_C > 0) | (counts_CC.sum(0) > 0)).tolist()  # in a clip, or said of one
    pairs = [(int(counts_CC[t, p]), t, p) for t, p in zip(*np.nonzero(counts_CC), strict=True) if t != p]
    return {
        "key": name,
        "name": SPLITS.get(name, name),
        "scores": scores,
        "priors": evaluation.priors_log_loss(judged, clips, classes),
        "labelled": labelled,
        "right": right,
        "interval": evaluation.interval(right, labelled),
        "rows": rows,
        "shown": shown,
        "matrix": counts_CC.tolist() if len(shown) <= MAX_CONFUSION else None,
        "totals": totals_C.tolist(),
        "absent": [row["name"] for row in rows if not row["clips"]],
        "pairs": [
            (classes[t], classes[p], n, int(counts_CC[t].sum()))
            for n, t, p in sorted(pairs, key=lambda x: (-x[0], x[1], x[2]))[
                : 8 if len(shown) <= MAX_CONFUSION else 24
            ]
        ],
        "reliability": charts.reliability(evaluation.calibration(judged, task)),
    }


def _reasons(failures: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """How often each reason stands there, most often first."""
    counts: dict[str, int] = {}
    for _, reason in failures:
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:8]


def _counts(clips: pl.DataFrame | None) -> list[tuple[str, int]]:
    """Clips of each split, in the order of a run."""
    if clips is None or "split" not in clips.columns:
        return []
    counts = dict(clips.drop_nulls("split").group_by("split").len().iter_rows())
    names = {"train": "training", **SPLITS, "unlabelled": "unlabelled"}
    return [(names[s], counts[s]) for s in ("train", "val", "test", "unlabelled") if s in counts]


def _flat(config: Mapping[str, Any], places: Places, before: str = "") -> list[tuple[str, str]]:
    """Settings as `section.key` and a word; those that are null or empty are left out."""
    word = places.path
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += _flat(value, places, f"{before}{key}.")
        elif isinstance(value, list | tuple):
            rows += [(f"{before}{key}", ", ".join(word(str(v)) for v in value))] if value else []
        elif value is not None and value != "":
            rows.append(
                (f"{before}{key}", str(value).lower() if isinstance(value, bool) else word(str(value)))
            )
    return rows
