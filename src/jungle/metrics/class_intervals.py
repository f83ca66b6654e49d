"""Scores of each class with bootstrap intervals over sites, and scores of each site."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jungle.metrics.bootstrap import compute_intervals
from jungle.metrics.scores import class_average_precision, log_loss, top_k

DRAWS = 200
MOST_CELLS = 2_000_000  # clips times classes; beyond, only whole scores have intervals
KINDS = ("precision", "recall", "f1", "ap")


def compute_details(
    probs_NC: np.ndarray,
    targets_NC: np.ndarray,
    sites: Sequence[str | None],
    classes: Sequence[str],
    task: str,
) -> dict[str, float]:
    """Return what a person asks next of some scores, under the names of `metrics.json`.

    `log_loss/low` and `/high`, likewise of `accuracy`: 95 % intervals over draws of whole sites.
    `class/<class>/precision` and `/recall`, by the most probable class (exclusive) or p >= 0.5, and `/low`
    and `/high` of these, of `f1` and of `ap`. `site/<site>/clips`, `/log_loss` and `/accuracy`.
    What cannot be computed is left out.

    Args:
        probs_NC: of clips that were read and have a label.
        targets_NC: labels; nan where unknown.
        sites: of each clip; None where unknown: a clip of its own.
        classes: names.
        task: `exclusive` or `multilabel`.
    """
    if not len(probs_NC):
        return {}
    keys = [("clip", i) if s is None else ("site", s) for i, s in enumerate(sites)]
    numbers = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    groups_N = np.array([numbers[key] for key in keys])
    found: dict[str, float] = {}
    for name, whole in compute_intervals(probs_NC, targets_NC, groups_N).items():
        found |= {f"{name}/low": whole.low, f"{name}/high": whole.high}
    if probs_NC.size <= MOST_CELLS:
        found |= _score_classes(probs_NC, targets_NC, groups_N, classes=classes, task=task)
    for key, number in numbers.items():
        if key[0] == "site":
            here = groups_N == number
            found[f"site/{key[1]}/clips"] = float(here.sum())
            found[f"site/{key[1]}/log_loss"] = log_loss(probs_NC[here], targets_NC[here])
            found[f"site/{key[1]}/accuracy"] = top_k(probs_NC[here], targets_NC[here])
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _score_classes(
    probs_NC: np.ndarray, targets_NC: np.ndarray, groups_N: np.ndarray, *, classes: Sequence[str], task: str
) -> dict[str, float]:
    groups = int(groups_N.max()) + 1
    rng = np.random.default_rng(0)
    drawn = [np.bincount(rng.integers(0, groups, groups), minlength=groups) for _ in range(DRAWS)]
    weights_DN = np.stack([np.ones(groups), *drawn]).astype(np.float32)[:, groups_N]
    said_NC = np.eye(len(classes), dtype=bool)[probs_NC.argmax(1)] if task == "exclusive" else probs_NC >= 0.5
    average_C = class_average_precision(probs_NC, targets_NC)
    found: dict[str, float] = {}
    for c, name in enumerate(classes):
        known_N = np.isfinite(targets_NC[:, c])
        true_N, said_N = targets_NC[known_N, c] == 1, said_NC[known_N, c]
        if not true_N.any():
            continue
        w_DN = weights_DN[:, known_N]
        counted = (true_N & said_N, said_N, true_N)
        hit_D, all_said_D, all_true_D = (w_DN @ v.astype(np.float32) for v in counted)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = {
                "precision": hit_D / all_said_D,
                "recall": hit_D / all_true_D,
                "f1": 2 * hit_D / (all_said_D + all_true_D),
                "ap": _average_precision(probs_NC[known_N, c], true_N, w_DN),
            }
        values["ap"][0] = average_C[c]
        for kind, value_D in values.items():
            if kind in ("precision", "recall"):
                found[f"class/{name}/{kind}"] = float(value_D[0])
            some = value_D[1:][np.isfinite(value_D[1:])]
            if len(some):
                low, high = np.quantile(some, [0.025, 0.975])
                found |= {f"class/{name}/{kind}/low": float(low), f"class/{name}/{kind}/high": float(high)}
    return found


def _average_precision(p_N: np.ndarray, true_N: np.ndarray, w_DN: np.ndarray) -> np.ndarray:
    """Return the average precision `[D]` of clips that count as often as their weights; ties are one step."""
    order = np.argsort(-p_N, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(p_N[order])), len(order) - 1)
    hit_DE = np.cumsum(w_DN[:, order] * true_N[order], axis=1)[:, ends]
    all_DE = np.cumsum(w_DN[:, order], axis=1)[:, ends]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision_DE = np.where(all_DE > 0, hit_DE / all_DE, 0)
        return (np.diff(hit_DE, axis=1, prepend=0) * precision_DE).sum(1) / hit_DE[:, -1]
