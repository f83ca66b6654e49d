"""Report page of an ensemble: scores with intervals, members, classes, calibration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jungle.ensemble.blend import complete_member
from jungle.ensemble.bootstrap import Interval
from jungle.ensemble.evaluation import Evaluation
from jungle.ensemble.prediction_matrix import PredictionMatrix
from jungle.ensemble.stack import Stack
from jungle.report import charts, evaluation
from jungle.report.evaluation import Outcome
from jungle.report.formatting import SPLITS
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
    "none": "as it is",
    "temperature": "temperature",
    "platt": "Platt, a class at a time",
    "isotonic": "isotonic, a class at a time",
    "clip": "floor and ceiling, a class at a time",
}


def write_ensemble_report(
    path: Path,
    *,
    evaluations: Sequence[Evaluation],
    matrices: Mapping[str, PredictionMatrix | None],
    probs: Mapping[str, np.ndarray],
    stack: Stack,
    calibrated: Mapping[str, Sequence[np.ndarray] | None] | None = None,
    neighbours: bool = False,
    whole_paths: bool = False,
) -> Path:
    """Write the page of an ensemble to `path`; return it.

    Args:
        path: where the page goes.
        evaluations: the ensemble on each split that has labels, the one to lead with first.
        matrices: the members' answers to each split.
        probs: the ensemble's answers to each split, in the matrices' order.
        stack: the second level that was fitted to all validation clips.
        calibrated: each member's own answers to each split, calibrated as the ensemble's are; None where
            those are not.
        neighbours: whether it saw the answers to a camera's neighbouring clips.
        whole_paths: whether absolute paths are shown as they are.

    Raises:
        OSError: the folder cannot be written.
    """
    matrix = next(b for b in matrices.values() if b is not None)
    diagrams = {
        (j.split, i): chart
        for j in evaluations
        for i, chart in enumerate(
            _diagrams(j, matrices[j.split], probs[j.split], (calibrated or {}).get(j.split))
        )
    }
    drawings = charts.draw({f"{split} {i}": chart for (split, i), chart in diagrams.items()})
    write_page(
        path,
        "ensemble.html.j2",
        PathDisplay(find_roots([path.parent]), whole_paths),
        kind="ensemble",
        title=f"{len(matrix.names)} models together" if len(matrix.names) > 1 else "".join(matrix.names),
        splits=[
            _split(j) | {"reliability": [drawings[f"{s} {i}"] for s, i in diagrams if s == j.split]}
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
            for what, key in (("second level", "stackers"), ("calibration", "calibrations"))
            if len(stack.losses[key]) > 1
        ],
        weights=_weights(matrix, stack),
        many=len(matrix.names) > 1,
        alone=matrix.names[stack.alone] if stack.alone is not None and len(matrix.names) > 1 else None,
        neighbours=neighbours,
    )
    return path


def _diagrams(
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
    names = [c for c, k in zip(matrix.clips.table["clip"], known.tolist(), strict=True) if k]
    diagrams = []
    for name, p_NC in (("Ensemble", probs_NC), (f"Best member, {evaluated.best}", best)):
        found = Outcome(names, p_NC[known].astype(np.float64), matrix.targets_NC[known].astype(np.float64))
        diagrams.append(charts.reliability_diagram(name, evaluation.compute_calibration(found, matrix.task)))
    return diagrams


def _split(evaluated: Evaluation) -> dict[str, object]:
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
        "surely": _surely(gain),
        "more": evaluated.gain["accuracy"],
        "members": sorted(
            evaluated.members, key=lambda m: m.log_loss if m.calibrated is None else m.calibrated
        ),
        "worst": max(worst, loss.value),
        "classes": sorted(shown, key=lambda c: -c.share),
        "absent": [c.name for c in evaluated.classes if not c.clips],
        "absent_share": sum(c.share for c in evaluated.classes if not c.clips),
    }


def _surely(gain: Interval) -> str:
    """Say in a word what a gain is worth: one whose interval holds 0 may be an accident of these clips."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "no sure difference"


def _name_losses(losses: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((TRIED[name], value) for name, value in losses.items()), key=lambda pair: pair[1])


def _weights(matrix: PredictionMatrix, stack: Stack) -> list[tuple[str, float]]:
    found = stack.about["stacker"].get("weights", [])
    return list(zip(matrix.names, found, strict=True)) if found else []
