"""The page of an ensemble: what it scores and how sure that is, its members, its classes, its calibration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jungle.ensemble.blend import completed
from jungle.ensemble.bootstrap import Interval
from jungle.ensemble.evaluation import Judged
from jungle.ensemble.prediction_matrix import Board
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
    judged: Sequence[Judged],
    boards: Mapping[str, Board | None],
    probs: Mapping[str, np.ndarray],
    stack: Stack,
    calibrated: Mapping[str, Sequence[np.ndarray] | None] | None = None,
    neighbours: bool = False,
    whole_paths: bool = False,
) -> Path:
    """Write the page of an ensemble to `path`; return it.

    Args:
        path: where the page goes.
        judged: the ensemble on each split that has labels, the one to lead with first.
        boards: the members' answers to each split.
        probs: the ensemble's answers to each split, in the boards' order.
        stack: the second level that was fitted to all validation clips.
        calibrated: each member's own answers to each split, calibrated as the ensemble's are; None where
            those are not.
        neighbours: whether it saw the answers to a camera's neighbouring clips.
        whole_paths: whether absolute paths are shown as they are.

    Raises:
        OSError: the folder cannot be written.
    """
    board = next(b for b in boards.values() if b is not None)
    diagrams = {
        (j.split, i): chart
        for j in judged
        for i, chart in enumerate(
            _diagrams(j, boards[j.split], probs[j.split], (calibrated or {}).get(j.split))
        )
    }
    drawings = charts.draw({f"{split} {i}": chart for (split, i), chart in diagrams.items()})
    write_page(
        path,
        "ensemble.html.j2",
        PathDisplay(find_roots([path.parent]), whole_paths),
        kind="ensemble",
        title=f"{len(board.names)} models together" if len(board.names) > 1 else "".join(board.names),
        splits=[
            _split(j) | {"reliability": [drawings[f"{s} {i}"] for s, i in diagrams if s == j.split]}
            for j in judged
        ],
        calibrates=any((calibrated or {}).values()),
        fitted=(stack.stacker, stack.calibration) != ("mean", "none"),
        classes=list(board.classes),
        task=board.task,
        stacker=TRIED[stack.stacker],
        calibration=TRIED[stack.calibration],
        tried=[
            (what, _tried(stack.losses[key]))
            for what, key in (("second level", "stackers"), ("calibration", "calibrations"))
            if len(stack.losses[key]) > 1
        ],
        weights=_weights(board, stack),
        many=len(board.names) > 1,
        alone=board.names[stack.alone] if stack.alone is not None and len(board.names) > 1 else None,
        neighbours=neighbours,
    )
    return path


def _diagrams(
    judged: Judged, board: Board | None, probs_NC: np.ndarray, calibrated: Sequence[np.ndarray] | None
) -> list[charts.Chart]:
    """Return the reliability diagrams of the ensemble and of its best member on one split."""
    assert board is not None
    known = board.judged_N
    member = board.names.index(judged.best)
    best = completed(board, member) if calibrated is None else calibrated[member]
    names = [c for c, k in zip(board.clips.table["clip"], known.tolist(), strict=True) if k]
    diagrams = []
    for name, p_NC in (("Ensemble", probs_NC), (f"Best member, {judged.best}", best)):
        found = Outcome(names, p_NC[known].astype(np.float64), board.targets_NC[known].astype(np.float64))
        diagrams.append(charts.reliability_diagram(name, evaluation.compute_calibration(found, board.task)))
    return diagrams


def _split(judged: Judged) -> dict[str, Any]:
    loss, gain = judged.scores["log_loss"], judged.gain["log_loss"]
    worst = max(m.log_loss for m in judged.members)
    shown = [c for c in judged.classes if c[1]]
    return {
        "key": judged.split,
        "name": SPLITS.get(judged.split, judged.split),
        "judged": judged,
        "loss": loss,
        "accuracy": judged.scores["accuracy"],
        "gain": gain,
        "surely": _surely(gain),
        "more": judged.gain["accuracy"],
        "members": sorted(judged.members, key=lambda m: m.log_loss if m.calibrated is None else m.calibrated),
        "worst": max(worst, loss.value),
        "classes": sorted(shown, key=lambda c: -c[3]),
        "absent": [c[0] for c in judged.classes if not c[1]],
        "absent_share": sum(c[3] for c in judged.classes if not c[1]),
    }


def _surely(gain: Interval) -> str:
    """Say in a word what a gain is worth: one whose interval holds 0 may be an accident of these clips."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "no sure difference"


def _tried(losses: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((TRIED[name], value) for name, value in losses.items()), key=lambda pair: pair[1])


def _weights(board: Board, stack: Stack) -> list[tuple[str, float]]:
    found = stack.about["stacker"].get("weights", [])
    return list(zip(board.names, found, strict=True)) if found else []
