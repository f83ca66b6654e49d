"""Steps from a table of predictions to decisions: calibration, species list, taxonomy, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.spreadsheets import write_csv
from jungle.data.text import is_blank
from jungle.metrics.calibration import Calibration
from jungle.metrics.logits import normalise
from jungle.metrics.thresholds import Thresholds, compute_blank_scores
from jungle.parquet import write_parquet
from jungle.postprocessing.species import find_places, read_species
from jungle.postprocessing.taxonomy import Taxonomy, read_taxonomy, sum_leaves
from jungle.wording import tally

UNSURE = "unsure"
BLANK = "blank"
"""Decision for a clip without an animal where no class of the model means that."""
PREFIX = "p_"
"""Of the columns with the probabilities that decisions are made from."""
COLUMNS = (
    *("clip", "status", "decision", "probability", "also"),
    *("raw", "raw_probability", "calibrated", "calibrated_probability"),
    *("allowed", "allowed_probability", "removed_probability"),
    *("rolled_up", "rolled_up_probability", "blank_probability", "threshold"),
)
LIKELY = 0.5
"""From this probability, a class that excludes no other is taken to be in the clip."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What decisions need of a model.

    Attributes:
        task: `exclusive` or `multilabel`.
        classes: in the order of its calibration.
        calibration: None = probabilities are taken as they are.
        thresholds: None = the most probable class is the decision.
    """

    task: str
    classes: tuple[str, ...]
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps that are wanted.

    Attributes:
        calibrated: whether probabilities are calibrated, where the model has a calibration.
        allow: list of the species that can occur.
        sites: table with the site or region of each clip, for lists by site or region.
        taxonomy: tree of names.
        rollup: probability from which a name of the tree is accepted.
        threshold: probability from which a class without its own threshold is accepted; None = `rollup` if
            there is a taxonomy, 0.5 where classes do not exclude each other, else any.
    """

    calibrated: bool = True
    allow: Path | None = None
    sites: Path | None = None
    taxonomy: Path | None = None
    rollup: float = 0.65
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class _Rules:
    """Thresholds of every class, and what counts as blank."""

    least_C: np.ndarray
    blank: float | None
    blank_C: np.ndarray
    blank_name: str


def apply_steps(table: pl.DataFrame, model: ModelFacts, steps: Steps) -> pl.DataFrame:
    """Return the decision for each clip, and what each step did; the predictions stay as they are.

    Columns, one row a clip in the order of `table`; all but `clip` and `status` are null where a clip failed:
        clip, status: as in `table`.
        decision: a class, a name of the taxonomy, or `unsure`.
        probability: of the decision; where it is `unsure`, of the name that came closest.
        also: further classes that reach their thresholds, joined by `|`; only where classes do not exclude
            each other.
        raw, raw_probability: the most probable class.
        calibrated, calibrated_probability: the same after calibration; null without that step.
        allowed, allowed_probability: the same after the species list; null without one.
        removed_probability: what the classes that cannot occur had.
        rolled_up, rolled_up_probability: the name of the taxonomy whose sum reached `rollup`; null where the
            class itself was accepted, or no name reached it.
        blank_probability: of no animal.
        threshold: what `probability` was compared with; null where any was enough.
        p_<class>: the probabilities that the decision is made from, float32.

    Raises:
        UserError: the table is of other classes than the model, or a list or tree cannot be used.
    """
    classes = model.classes
    read_N = (table["status"] != predictions.FAILED).to_numpy()
    read = table.filter(read_N)
    tree = None if steps.taxonomy is None else read_taxonomy(steps.taxonomy, classes)
    probs_NC = predictions.get_probabilities(read, classes).astype(np.float64)
    columns = _name_top("raw", probs_NC, classes)
    if steps.calibrated and model.calibration is not None:
        probs_NC = model.calibration(probs_NC)
        columns |= _name_top("calibrated", probs_NC, classes)
    if steps.allow is not None:
        probs_NC, removed_N = _keep_allowed(probs_NC, read, model, steps, tree)
        columns |= {**_name_top("allowed", probs_NC, classes), "removed_probability": removed_N.tolist()}
    rules = _make_rules(model, steps)
    columns |= _decide(probs_NC, model, rules, tree, steps.rollup)
    return _build_table(table, read_N, columns, probs_NC, classes)


def write_decisions(decisions: pl.DataFrame, folder: Path) -> None:
    """Write `decisions.parquet`, and `decisions.csv` for people, into a folder."""
    write_parquet(decisions, folder / "decisions.parquet")
    write_csv(decisions.select(COLUMNS), folder / "decisions.csv", float_precision=6)


def _name_top(step: str, probs_NC: np.ndarray, classes: Sequence[str]) -> dict[str, Sequence[object]]:
    top_N = probs_NC.argmax(1) if len(probs_NC) else np.empty(0, int)
    highest_N = probs_NC[np.arange(len(top_N)), top_N]
    named = [classes[t] if p > 0 else None for t, p in zip(top_N, highest_N, strict=True)]
    return {step: named, f"{step}_probability": highest_N.tolist()}


def _keep_allowed(
    probs_NC: np.ndarray, read: pl.DataFrame, model: ModelFacts, steps: Steps, tree: Taxonomy | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of what can occur, and what was removed of each clip; say what is done."""
    assert steps.allow is not None
    species = read_species(steps.allow, model.classes, {} if tree is None else tree.leaves)
    places = find_places(read, species.place, steps.sites) if species.place else [None] * len(read)
    mask_NC = species.mask(places, model.classes)
    removed_N = np.where(mask_NC, 0.0, probs_NC).sum(1)
    kept_NC = np.where(mask_NC, probs_NC, 0.0)
    again = ""
    if model.task == "exclusive":
        some_N = kept_NC.sum(1) > 0
        kept_NC = np.where(some_N[:, None], normalise(kept_NC, model.task), 0.0)
        again = "; the probabilities of the others add up to 1 again"
    log.info(f"{species.describe(model.classes)}{again}")
    return kept_NC, removed_N


def _make_rules(model: ModelFacts, steps: Steps) -> _Rules:
    found = model.thresholds
    if found is not None and found.calibrated != (steps.calibrated and model.calibration is not None):
        kind = "calibrated" if found.calibrated else "uncalibrated"
        log.warning(f"the thresholds of the checkpoint are not used: they are of {kind} probabilities")
        found = None
    least = steps.threshold
    if least is None:
        least = steps.rollup if steps.taxonomy is not None else 0.0
        least = LIKELY if model.task == "multilabel" and steps.taxonomy is None else least
    own = {} if found is None else found.classes
    blanks = {c for c in model.classes if is_blank(c)} if found is None else set(found.blank_classes)
    blank_C = np.array([c in blanks for c in model.classes])
    name = model.classes[int(blank_C.argmax())] if blank_C.any() else BLANK
    least_C = np.array([own.get(c, least) for c in model.classes])
    return _Rules(least_C, None if found is None else found.blank, blank_C, name)


def _decide(
    probs_NC: np.ndarray, model: ModelFacts, rules: _Rules, tree: Taxonomy | None, rollup: float
) -> dict[str, Sequence[object]]:
    """Return the columns from `decision` to `threshold` of the clips that were read."""
    classes, several = model.classes, model.task == "multilabel"
    blanks = [c for c, blank in zip(classes, rules.blank_C, strict=True) if blank]
    knows_blank = several or bool(blanks)
    blank_N = compute_blank_scores(probs_NC, classes, blanks, model.task) if len(probs_NC) else np.empty(0)
    sums = {} if tree is None else _sum_names(tree, probs_NC, classes, model.task)
    rows: list[tuple[str, float, str | None, str | None, float | None, float | None]] = []
    for n, probs_C in enumerate(probs_NC):
        if rules.blank is not None and blank_N[n] >= rules.blank:
            rows.append((rules.blank_name, float(blank_N[n]), None, None, None, rules.blank))
            continue
        passed_C = (probs_C >= rules.least_C) & (probs_C > 0)
        if rules.blank is not None:
            passed_C &= ~rules.blank_C  # blank is decided by its own threshold alone
        best = int(np.where(passed_C, probs_C, -1).argmax()) if several else int(probs_C.argmax())
        if passed_C[best]:
            others = [classes[i] for i in np.flatnonzero(passed_C) if several and i != best]
            also = "|".join(others) or None
            rows.append(
                (classes[best], float(probs_C[best]), also, None, None, float(rules.least_C[best]) or None)
            )
            continue
        animal_C = np.where(rules.blank_C, -1, probs_C)
        start = int(animal_C.argmax())
        climbed = None if tree is None else _climb(tree, classes[start], sums, n, rollup)
        if climbed is not None:
            rows.append((climbed[0], climbed[1], None, climbed[0], climbed[1], rollup))
        else:
            top = int(probs_C.argmax())
            least = rules.blank if rules.blank_C[top] and rules.blank is not None else rules.least_C[top]
            rows.append((UNSURE, float(probs_C[top]), None, None, None, float(least)))
    names = ("decision", "probability", "also", "rolled_up", "rolled_up_probability", "threshold")
    found: dict[str, Sequence[object]] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return {**found, "blank_probability": blank_N.tolist() if knows_blank else []}


def _sum_names(
    tree: Taxonomy, probs_NC: np.ndarray, classes: Sequence[str], task: str
) -> dict[str, np.ndarray]:
    """Return the probability `[N]` of each name that has several classes below it."""
    numbers = {c: i for i, c in enumerate(classes)}
    return {
        name: sum_leaves(probs_NC, (numbers[c] for c in leaves), task) for name, leaves in tree.leaves.items()
    }


def _climb(
    tree: Taxonomy, start: str, sums: dict[str, np.ndarray], clip: int, rollup: float
) -> tuple[str, float] | None:
    """Return the first name above a class whose probability reaches `rollup`; None where none does."""
    for name in tree.climb(start):
        if sums[name][clip] >= rollup:
            return name, float(sums[name][clip])
    return None


def _build_table(
    table: pl.DataFrame,
    read_N: np.ndarray,
    columns: dict[str, Sequence[object]],
    probs_NC: np.ndarray,
    classes: Sequence[str],
) -> pl.DataFrame:
    texts = {"decision", "also", "raw", "calibrated", "allowed", "rolled_up"}
    at = np.flatnonzero(read_N)
    series: list[pl.Series] = [table["clip"], table["status"]]
    for name in COLUMNS[2:]:
        kind = pl.String if name in texts else pl.Float64
        whole: list[object] = [None] * len(table)
        for n, value in zip(at, columns.get(name, ()), strict=False):
            whole[n] = value
        series.append(pl.Series(name, whole, dtype=kind))
    for i, c in enumerate(classes):
        values = np.full(len(table), np.nan, np.float32)
        values[at] = probs_NC[:, i]
        series.append(pl.Series(f"{PREFIX}{c}", values).fill_nan(None))
    return pl.DataFrame(series)


def describe_decisions(decisions: pl.DataFrame) -> str:
    """Return how many clips have each decision, the most frequent first, as one line."""
    counts = decisions["decision"].drop_nulls().value_counts(sort=True)
    shown = [f"{n} {name}" for name, n in counts.head(8).iter_rows()]
    more = f", {len(counts) - 8} others" if len(counts) > 8 else ""
    return f"{tally(len(decisions), 'clips')}: {', '.join(shown) or 'no decision'}{more}"
