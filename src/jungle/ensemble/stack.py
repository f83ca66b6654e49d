"""Second level of an ensemble: a stacker, then a calibration, each chosen on held-out clips.

`fit` chooses and fits both on some clips; candidates are compared by cross-validation over whole sites.
`predict_nested` cross-validates all of this again, so that each clip is predicted by a fit, choices
included, that saw neither the clip nor its site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from jungle.console import Progress
from jungle.ensemble.blend import BLENDS, Blend, StackerValues, complete_member
from jungle.ensemble.prediction_matrix import PredictionMatrix, StackerInput
from jungle.ensemble.stackers import STACKERS
from jungle.errors import UsageError
from jungle.metrics.calibration import Calibration, CalibrationValues
from jungle.metrics.calibration_fits import CALIBRATIONS, calibrate_held_out
from jungle.metrics.cross_validation import predict_parts, split_parts
from jungle.metrics.scores import log_loss

PARTS = 5
MANY = 3000  # clips from which stacker=auto tries trees
ALONE = 0.995
"""Share of all weights from which one member counts as the whole stack."""
SLOW = frozenset(STACKERS) - {"logistic"}
"""Stackers whose quick fits differ from their full ones."""


@dataclass(frozen=True)
class Plan:
    """Candidates; of several, the one with the lowest log loss on held-out clips is chosen.

    Attributes:
        stackers, calibrations: names of the candidates.
        seed: of the parts, and of random fits.
        quick: whether the final fit takes less time too, as those that are only compared do.
    """

    stackers: tuple[str, ...]
    calibrations: tuple[str, ...]
    seed: int = 0
    quick: bool = False


class FittedValues(TypedDict):
    """Fitted values of a stack."""

    stacker: StackerValues
    calibration: CalibrationValues


class CandidateLosses(TypedDict):
    """Log loss of each candidate on held-out clips."""

    stackers: dict[str, float]
    calibrations: dict[str, float]


@dataclass(frozen=True)
class Stack:
    """A fitted second level.

    Attributes:
        stacker, calibration: names of the chosen ones.
        about: their fitted values.
        losses: of the candidates; empty if there was nothing to choose.
    """

    stacker: str
    calibration: str
    about: FittedValues
    losses: CandidateLosses
    _blend: Blend = field(repr=False)
    _calibrate: Calibration = field(repr=False)

    def __call__(self, answers: StackerInput) -> np.ndarray:
        """Return probabilities, float64 `[n, C]`."""
        return self._calibrate(self._blend(answers))

    @property
    def alone(self) -> int | None:
        """Number of the member with all the weight; None if several have some, or the stacker has no weights.

        Such a stack is that member, calibrated.
        """
        weights = np.array(self.about["stacker"].get("weights", []), float)
        if not len(weights) or weights.sum() <= 0 or weights.max() < ALONE * weights.sum():
            return None
        return int(weights.argmax())


@dataclass(frozen=True, slots=True)
class NestedPredictions:
    """Predictions of labelled clips by fits that saw neither a clip nor its site.

    Attributes:
        probs_NC: float64 `[n, C]`.
        stacks: the fit that predicted each part of the clips.
    """

    probs_NC: np.ndarray
    stacks: tuple[Stack, ...]

    @property
    def alone(self) -> int | None:
        """Number of the member with all the weight in every part; None if there is no such member."""
        found = {stack.alone for stack in self.stacks}
        return found.pop() if len(found) == 1 else None


def make_plan(stacker: str, calibration: str, clips: int, columns: bool, seed: int) -> Plan:
    """Return the candidates that `stacker=` and `calibration=` name.

    Args:
        stacker: a name, or `auto` for all that suit so many clips.
        calibration: likewise.
        clips: number of labelled clips to fit on.
        columns: whether there are further columns, which blends cannot use.
        seed: of the parts, and of random fits.
    """
    trees = ["lightgbm"] if clips >= MANY else []
    every = ["logistic", *trees] if columns else [*BLENDS, "logistic", *trees]
    smooth = ["none", "temperature", "clip", *(["platt"] if clips >= 500 else [])]
    steps = ["isotonic"] if clips >= MANY else []
    return Plan(
        tuple(every) if stacker == "auto" else (stacker,),
        (*smooth, *steps) if calibration == "auto" else (calibration,),
        seed,
    )


def make_comparison_plan(plan: Plan, chosen: str, clips: int) -> Plan:
    """Return the plan by which the ensemble is fitted without each member: the same if that is fast.

    Otherwise, with thousands of clips or slow stackers, it is the chosen stacker without calibration, in
    quick fits.

    Args:
        plan: of the ensemble.
        chosen: the stacker that was chosen.
        clips: number of labelled clips to fit on.
    """
    if clips < MANY and not SLOW.intersection(plan.stackers):
        return plan
    return Plan((chosen,), ("none",), plan.seed, quick=True)


def fit(answers: StackerInput, targets_NC: np.ndarray, groups_N: np.ndarray, plan: Plan) -> Stack:
    """Fit the second level to n clips.

    Stackers are compared by their predictions for held-out parts. The calibration is fitted to these
    predictions of the best stacker.

    Args:
        answers: predictions of the members.
        targets_NC: labels; nan where unknown.
        groups_N: the site of each clip as a number.
        plan: the candidates.

    Raises:
        UsageError: there are too few sites.
    """
    if len(plan.stackers) == 1 and plan.calibrations == ("none",):  # nothing to choose
        blend, about = fit_stacker(plan.stackers[0], answers, targets_NC, plan.seed, plan.quick)
        nothing: CandidateLosses = {"stackers": {}, "calibrations": {}}
        none = Calibration("none", answers.task)
        return Stack(plan.stackers[0], "none", {"stacker": about, "calibration": {}}, nothing, blend, none)
    parts = split_parts(targets_NC, groups_N, PARTS, seed=plan.seed)
    held = {name: _held_back(name, answers, targets_NC, parts, plan.seed) for name in plan.stackers}
    losses = {name: log_loss(probs_NC, targets_NC) for name, probs_NC in held.items()}
    chosen = min(losses, key=losses.__getitem__)
    probs_NC = held[chosen]
    moved = {
        name: log_loss(calibrate_held_out(name, probs_NC, targets_NC, answers.task, parts), targets_NC)
        for name in plan.calibrations
    }
    calibration = min(moved, key=moved.__getitem__)
    fitted = CALIBRATIONS[calibration](probs_NC, targets_NC, answers.task)
    blend, about = fit_stacker(chosen, answers, targets_NC, plan.seed, plan.quick)
    return Stack(
        chosen,
        calibration,
        {"stacker": about, "calibration": fitted.describe()},
        {"stackers": losses, "calibrations": moved},
        blend,
        fitted,
    )


def predict_nested(
    matrix: PredictionMatrix, at: np.ndarray, plan: Plan, title: str = "nested stacking"
) -> NestedPredictions:
    """Return predictions for the labelled clips `at`, by fits that saw neither a clip nor its site.

    Args:
        matrix: the validation clips.
        at: those with a label.
        plan: the candidates; each part chooses among them.
        title: of the progress bar.

    Raises:
        UsageError: there are too few sites to choose on some of them and to predict the others.
    """
    targets_NC, groups_N = matrix.targets_NC[at], matrix.groups_N[at]
    chooses = len(plan.stackers) > 1 or plan.calibrations != ("none",)
    if chooses and len(np.unique(groups_N)) == 2:
        raise UsageError(
            "stacking needs validation clips of at least three sites, two to choose on and one to predict; "
            "these are of two: use more sites, or leave nothing to choose: stacker=mean calibration=none"
        )
    answers = matrix.rows(at)
    parts = split_parts(targets_NC, groups_N, PARTS, seed=plan.seed + 1)
    stacks: list[Stack] = []
    with Progress(title, len(parts)) as bar:

        def answered(rest: np.ndarray, held: np.ndarray) -> np.ndarray:
            bar.advance()
            stacks.append(fit(answers.rows(rest), targets_NC[rest], groups_N[rest], plan))
            return stacks[-1](answers.rows(held))

        probs_NC = predict_parts(parts, targets_NC.shape, answered)
    return NestedPredictions(probs_NC, tuple(stacks))


def calibrate_members(
    val: PredictionMatrix, at: np.ndarray, plan: Plan, matrix: PredictionMatrix | None = None
) -> list[np.ndarray]:
    """Return predictions `[N, C]` of each member, calibrated like the ensemble's.

    A fitted stacker also calibrates, by its weights and biases. So if the plan has no calibration, members
    may have a temperature.

    Args:
        val: the validation clips.
        at: those with a label, to fit on.
        plan: of the ensemble; the best of its calibrations is chosen for each member.
        matrix: the clips to predict; None = those of `val`, each labelled one with a calibration that was
            fitted to neither it nor its site.
    """
    names = plan.calibrations if plan.calibrations != ("none",) else ("none", "temperature")
    targets_NC = val.targets_NC[at]
    parts = split_parts(targets_NC, val.groups_N[at], PARTS, seed=plan.seed + 1)
    found = []
    for i in range(len(val.names)):
        own_NC = complete_member(val, i)
        held = {name: calibrate_held_out(name, own_NC[at], targets_NC, val.task, parts) for name in names}
        chosen = min(held, key=lambda name: log_loss(held[name], targets_NC))
        fitted = CALIBRATIONS[chosen](own_NC[at], targets_NC, val.task)
        answered = np.array(fitted(own_NC if matrix is None else complete_member(matrix, i)), float)
        if matrix is None:
            answered[at] = held[chosen]
        found.append(answered)
    return found


def fit_stacker(
    name: str, answers: StackerInput, targets_NC: np.ndarray, seed: int, quick: bool = False
) -> tuple[Blend, StackerValues]:
    """Fit the stacker of that name; return it and its fitted values. `quick` takes less time."""
    if name in BLENDS:
        return BLENDS[name](answers, targets_NC)
    return STACKERS[name](answers, targets_NC, seed, quick)


def _held_back(
    name: str, answers: StackerInput, targets_NC: np.ndarray, parts: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    def answered(rest: np.ndarray, held: np.ndarray) -> np.ndarray:
        blend, _ = fit_stacker(name, answers.rows(rest), targets_NC[rest], seed, quick=True)
        return blend(answers.rows(held))

    return predict_parts(parts, targets_NC.shape, answered)
