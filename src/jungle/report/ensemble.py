"""Page of an ensemble: its scores with intervals, its members, classes and calibration."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jungle.ensemble.blend import complete_member
from jungle.ensemble.evaluation import ClassScore, Evaluation
from jungle.ensemble.members import Member
from jungle.ensemble.prediction_matrix import PredictionMatrix
from jungle.ensemble.stack import NestedPredictions, Stack
from jungle.metrics.bootstrap import Interval
from jungle.metrics.reliability import compute_reliability
from jungle.report import charts
from jungle.report.formatting import SPLITS, format_gain
from jungle.report.path_display import PathDisplay, find_roots
from jungle.report.template import write_page

TRIED = {
    "mean": "plain mean",
    "weighted": "weighted mean",
    "greedy": "greedy choice",
    "loglinear": "weighted log-odds",
    "logistic": "logistic regression",
    "lightgbm": "boosted trees",
    "nn": "network",
    "lightgbm_nn": "boosted trees and network",
    "primatrix_first": "boosted trees and wide networks",
    "none": "none",
    "temperature": "temperature",
    "platt": "Platt, per class",
    "isotonic": "isotonic, per class",
    "clip": "floor and ceiling, per class",
}
DIGITS = 4
"""Of a log loss on the page."""


def write_ensemble_report(
    path: Path,
    *,
    evaluations: Sequence[Evaluation],
    matrices: Mapping[str, PredictionMatrix | None],
    probs: Mapping[str, np.ndarray],
    stack: Stack,
    members: Sequence[Member],
    nested: NestedPredictions | None = None,
    calibrated: Mapping[str, Sequence[np.ndarray] | None] | None = None,
    neighbours: bool = False,
    whole_paths: bool = False,
) -> Path:
    """Write the page of an ensemble to `path`; return it.

    Args:
        path: where the page goes.
        evaluations: the ensemble on each split that has labels, the most important one first.
        matrices: the members' predictions for each split.
        probs: the ensemble's predictions for each split, in the matrices' order.
        stack: the second level that was fitted to all validation clips.
        members: in the matrices' order.
        nested: the fits behind the validation scores; None if nothing was fitted.
        calibrated: each member's predictions for each split, calibrated like the ensemble's; None where
            those are not calibrated.
        neighbours: whether the predictions for a camera's neighbouring clips were used.
        whole_paths: whether absolute paths are shown as they are.

    Raises:
        OSError: the folder cannot be written.
    """
    matrix = next(b for b in matrices.values() if b is not None)
    diagrams = {
        (j.split, i): chart
        for j in evaluations
        for i, chart in enumerate(
            _make_diagrams(j, matrices[j.split], probs[j.split], (calibrated or {}).get(j.split))
        )
    }
    display = PathDisplay(find_roots([path.parent]), whole_paths)
    drawings = charts.draw({f"{split} {i}": chart for (split, i), chart in diagrams.items()})
    write_page(
        path,
        "ensemble.html.j2",
        display,
        kind="ensemble",
        title=f"{len(matrix.names)} models together" if len(matrix.names) > 1 else "".join(matrix.names),
        splits=[
            _summarise_split(j) | {"reliability": [drawings[f"{s} {i}"] for s, i in diagrams if s == j.split]}
            for j in evaluations
        ],
        calibrates=any((calibrated or {}).values()),
        fitted=(stack.stacker, stack.calibration) != ("mean", "none"),
        classes=list(matrix.classes),
        task=matrix.task,
        stacker=TRIED[stack.stacker],
        calibration=TRIED[stack.calibration],
        tried=[
            (what, _name_losses(stack.losses[key]))
            for what, key in (("stacker", "stackers"), ("calibration", "calibrations"))
            if len(stack.losses[key]) > 1
        ],
        weights=_list_weights(matrix, stack),
        many=len(matrix.names) > 1,
        folders={m.name: _name_folders(m, display) for m in members},
        chosen=_describe_parts(matrix, nested) if nested is not None else [],
        parts=0 if nested is None else len(nested.stacks),
        alone=None if stack.alone is None else matrix.names[stack.alone],
        alone_nested=None if nested is None or nested.alone is None else matrix.names[nested.alone],
        signed=format_gain,
        neighbours=neighbours,
    )
    return path


def _make_diagrams(
    evaluated: Evaluation,
    matrix: PredictionMatrix | None,
    probs_NC: np.ndarray,
    calibrated: Sequence[np.ndarray] | None,
) -> list[charts.Chart]:
    """Return the reliability diagrams of the ensemble and of its best member on one split."""
    assert matrix is not None
    known = matrix.scored_N
    member = matrix.names.index(evaluated.best)
    best = complete_member(matrix, member) if calibrated is None else calibrated[member]
    targets_NC = matrix.targets_NC[known].astype(np.float64)
    diagrams = []
    for name, p_NC in (("Ensemble", probs_NC), (f"Best member, {evaluated.best}", best)):
        found = compute_reliability(p_NC[known].astype(np.float64), targets_NC, matrix.task)
        diagrams.append(charts.make_reliability_diagram(name, found))
    return diagrams


def _summarise_split(evaluated: Evaluation) -> dict[str, object]:
    loss, gain = evaluated.scores["log_loss"], evaluated.gain["log_loss"]
    worst = max(m.log_loss for m in evaluated.members)
    shown = [c for c in evaluated.classes if c.clips]
    return {
        "key": evaluated.split,
        "name": SPLITS.get(evaluated.split, evaluated.split),
        "evaluation": evaluated,
        "loss": loss,
        "accuracy": evaluated.scores["accuracy"],
        "gain": gain,
        "surely": _judge_gain(gain),
        "more": evaluated.gain["accuracy"],
        "members": sorted(
            evaluated.members, key=lambda m: m.log_loss if m.calibrated is None else m.calibrated
        ),
        "worst": max(worst, loss.value),
        "classes": sorted(shown, key=lambda c: -c.share),
        "worse": {c.name for c in shown if _is_worse(c)},
        "absent": [c.name for c in evaluated.classes if not c.clips],
        "absent_share": sum(c.share for c in evaluated.classes if not c.clips),
    }


def _is_worse(score: ClassScore) -> bool:
    """Tell whether the ensemble is worse than its best member in the digits that the page shows."""
    return round(score.log_loss, DIGITS) > round(score.best_log_loss, DIGITS)


def _judge_gain(gain: Interval) -> str:
    """Describe a gain by its interval as shown; if that contains 0, the choice of clips may explain it."""
    if round(gain.low, DIGITS) > 0:
        return "better"
    return "worse" if round(gain.high, DIGITS) < 0 else "no clear difference"


def _name_folders(member: Member, display: PathDisplay) -> str:
    """Return the folders of a member's runs, as displayed: `heads/0`, or `folds: 0, 1, 2`."""
    shown = [display.shorten(str(run)) for run in member.runs]
    shown = [
        s if "/" in s or "\\" in s else "/".join(r.parts[-2:])
        for s, r in zip(shown, member.runs, strict=True)
    ]
    parents = {run.parent for run in member.runs}
    if len(shown) == 1 or len(parents) > 1:
        return ", ".join(shown)
    names = ", ".join(run.name for run in member.runs)
    return f"{shown[0].removesuffix(member.runs[0].name).rstrip('/')}: {names}"


def _describe_parts(matrix: PredictionMatrix, nested: NestedPredictions) -> list[tuple[str, int]]:
    """Return what was chosen in the parts and in how many of them, the most frequent first."""
    several = len(matrix.names) > 1
    found = Counter(
        f"{TRIED[s.stacker]}, calibration: {TRIED[s.calibration]}"
        + (f", all the weight on {matrix.names[s.alone]}" if several and s.alone is not None else "")
        for s in nested.stacks
    )
    return found.most_common()


def _name_losses(losses: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((TRIED[name], value) for name, value in losses.items()), key=lambda pair: pair[1])


def _list_weights(matrix: PredictionMatrix, stack: Stack) -> list[tuple[str, float]]:
    found = stack.about["stacker"].get("weights", [])
    return list(zip(matrix.names, found, strict=True)) if found else []
