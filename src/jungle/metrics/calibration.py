"""Calibration of probabilities: its fitted values, and their use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypedDict

import numpy as np

from jungle.errors import UserError
from jungle.metrics.logits import normalise, to_logits, to_probabilities

MAX_KNOTS = 20_000  # of all classes together
MAX_CLASS_KNOTS = 200
TEMPERATURES = (0.01, 100.0)
MAX_COEFFICIENT = 1000.0  # slope or offset of a logit

Knots = tuple[tuple[float, ...], tuple[float, ...]]
"""Stated and calibrated probabilities, both increasing; values between them are interpolated."""


class CalibrationValues(TypedDict, total=False):
    """Fitted values of a calibration; each calibration has some of them.

    Attributes:
        temperature: the divisor of all logits.
        slopes, offsets: of each class's logits.
        classes: how many classes were fitted.
        lowest, highest: floor and ceiling of each class.
        stated, happened: of each class, knots of the step function; empty where the class was not fitted.
    """

    temperature: float
    slopes: list[float]
    offsets: list[float]
    classes: int
    lowest: list[float]
    highest: list[float]
    stated: list[list[float]]
    happened: list[list[float]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted calibration of the probabilities of some classes, in their order.

    Attributes:
        method: `none`, `temperature`, `platt`, `isotonic` or `clip`.
        task: `exclusive` (probabilities add up to 1 again) or `multilabel`.
        temperature: the divisor of all logits.
        slopes, offsets: of each class's logits.
        lowest, highest: floor and ceiling of each class.
        knots: of each class; None where it is left as it is.
    """

    method: str = "none"
    task: str = "multilabel"
    temperature: float = 1.0
    slopes: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()
    knots: tuple[Knots | None, ...] = ()

    def __call__(self, probs_NC: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `[N, C]`; nan stays nan."""
        if self.method == "temperature":
            return to_probabilities(to_logits(probs_NC, self.task) / self.temperature, self.task)
        if self.method == "platt":
            z_NC = to_logits(probs_NC, "multilabel") * np.array(self.slopes) + np.array(self.offsets)
            return normalise(to_probabilities(z_NC, "multilabel"), self.task)
        if self.method == "isotonic":
            columns = [
                p if knots is None else np.interp(p, *knots)
                for p, knots in zip(probs_NC.T, self.knots, strict=True)
            ]
            return normalise(np.stack(columns, axis=1), self.task)
        if self.method == "clip":
            return np.clip(probs_NC, self.lowest, self.highest)
        return probs_NC

    def describe(self) -> CalibrationValues:
        """Return the fitted values for `stack.json`: rounded, without knots."""
        if self.method == "temperature":
            return {"temperature": round(self.temperature, 4)}
        if self.method == "platt":
            return {
                "slopes": np.round(self.slopes, 4).tolist(),
                "offsets": np.round(self.offsets, 4).tolist(),
            }
        if self.method == "isotonic":
            return {"classes": sum(k is not None for k in self.knots)}
        if self.method == "clip":
            return {"lowest": list(self.lowest), "highest": list(self.highest)}
        return {}

    def to_dict(self) -> dict[str, object]:
        """Return plain values for a checkpoint; the inverse of `from_dict`."""
        found: dict[str, object] = {"method": self.method, "task": self.task}
        if self.method == "temperature":
            found["temperature"] = self.temperature
        for name in ("slopes", "offsets", "lowest", "highest"):
            if values := getattr(self, name):
                found[name] = list(values)
        if self.method == "isotonic":
            found["stated"] = [[] if k is None else list(k[0]) for k in self.knots]
            found["happened"] = [[] if k is None else list(k[1]) for k in self.knots]
        return found

    @classmethod
    def from_dict(cls, found: object, classes: int) -> Calibration:
        """Return the calibration of `classes` classes that `to_dict` wrote; the values may be anybody's.

        Raises:
            UserError: a value is not a finite number in its range, a class is missing, or knots decrease.
        """
        if not isinstance(found, dict):
            raise UserError("its calibration is not a table of values")
        method, task = found.get("method"), found.get("task")
        if method not in METHODS or task not in ("exclusive", "multilabel"):
            raise UserError(f"its calibration is of an unknown method: {str(method)[:40]}, {str(task)[:40]}")
        if method == "none":
            return cls("none", str(task))
        if method == "temperature":
            (temperature,) = _read_numbers([found.get("temperature")], 1, TEMPERATURES)
            return cls("temperature", str(task), temperature=temperature)
        if method == "platt":
            slopes = _read_numbers(found.get("slopes"), classes, (0.0, MAX_COEFFICIENT))
            offsets = _read_numbers(found.get("offsets"), classes, (-MAX_COEFFICIENT, MAX_COEFFICIENT))
            return cls("platt", str(task), slopes=slopes, offsets=offsets)
        if method == "clip":
            lowest = _read_numbers(found.get("lowest"), classes, (0.0, 1.0))
            highest = _read_numbers(found.get("highest"), classes, (0.0, 1.0))
            if any(a > b for a, b in zip(lowest, highest, strict=True)):
                raise UserError("its calibration has a floor above its ceiling")
            return cls("clip", str(task), lowest=lowest, highest=highest)
        return cls("isotonic", str(task), knots=_read_knots(found, classes))


METHODS = ("none", "temperature", "platt", "isotonic", "clip")


def _read_numbers(values: object, count: int | None, within: tuple[float, float]) -> tuple[float, ...]:
    """Return finite numbers within a range.

    Raises:
        UserError: they are not, or not as many as the classes.
    """
    if not isinstance(values, (list, tuple)) or (count is not None and len(values) != count):
        raise UserError("its calibration is of other classes than the model")
    if not all(isinstance(v, (int, float)) and within[0] <= v <= within[1] for v in values):
        raise UserError("its calibration holds a value that no fit gives")
    return tuple(float(v) for v in values)


def _read_knots(found: dict[str, object], classes: int) -> tuple[Knots | None, ...]:
    stated, happened = found.get("stated"), found.get("happened")
    if not isinstance(stated, (list, tuple)) or not isinstance(happened, (list, tuple)):
        raise UserError("its calibration has no knots")
    if len(stated) != classes or len(happened) != classes:
        raise UserError("its calibration is of other classes than the model")
    every: list[Knots | None] = []
    for x, y in zip(stated, happened, strict=True):
        xs, ys = _read_numbers(x, None, (0.0, 1.0)), _read_numbers(y, None, (0.0, 1.0))
        if len(xs) != len(ys) or _falls(xs) or _falls(ys):
            raise UserError("its calibration decreases, or its knots are not in pairs")
        every.append((xs, ys) if xs else None)
    if sum(len(k[0]) for k in every if k is not None) > MAX_KNOTS:
        raise UserError(f"its calibration has more than {MAX_KNOTS:,} knots")
    return tuple(every)


def _falls(values: Sequence[float]) -> bool:
    return any(a > b for a, b in pairwise(values))


def thin_knots(stated: np.ndarray, happened: np.ndarray, classes: int) -> Knots:
    """Return the knots of one class, at most so many that those of all classes can be stored."""
    most = max(2, min(MAX_CLASS_KNOTS, MAX_KNOTS // max(classes, 1)))
    if len(stated) > most:
        at = np.unique(np.linspace(0, len(stated) - 1, most).round().astype(int))
        stated, happened = stated[at], happened[at]
    return tuple(map(float, stated)), tuple(map(float, happened))
