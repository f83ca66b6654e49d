"""Thresholds of decisions: plain values that travel in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jungle.errors import UserError

MAX_LETTERS = 60  # of an unknown name in a message


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which a clip is decided.

    Attributes:
        blank: from this probability of no animal, a clip is blank; None = not chosen.
        blank_classes: the classes of clips without an animal; empty = blank is what no class is in.
        classes: the threshold of each class that has one.
        calibrated: whether the thresholds are of calibrated probabilities.
    """

    blank: float | None = None
    blank_classes: tuple[str, ...] = ()
    classes: Mapping[str, float] = field(default_factory=dict)
    calibrated: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return plain values for a checkpoint; the inverse of `from_dict`."""
        return {
            "blank": self.blank,
            "blank_classes": list(self.blank_classes),
            "classes": dict(self.classes),
            "calibrated": self.calibrated,
        }

    @classmethod
    def from_dict(cls, found: object, classes: Sequence[str]) -> Thresholds:
        """Return the thresholds that `to_dict` wrote; the values may be anybody's.

        Raises:
            UserError: a threshold lies outside 0 to 1, or is of a class that the model does not know.
        """
        if not isinstance(found, dict):
            raise UserError("its thresholds are not a table of values")
        blank, own, named = found.get("blank"), found.get("classes", {}), found.get("blank_classes", ())
        if not isinstance(own, dict) or not isinstance(named, (list, tuple)):
            raise UserError("its thresholds are not a table of classes")
        if odd := [c for c in (*own, *named) if c not in classes]:
            raise UserError(
                f"its thresholds are of a class that it does not know: {str(odd[0])[:MAX_LETTERS]}"
            )
        given = [*own.values(), *([] if blank is None else [blank])]
        if not all(isinstance(t, (int, float)) and 0 <= t <= 1 for t in given):
            raise UserError("its thresholds lie outside 0 to 1")
        return cls(
            None if blank is None else float(blank),
            tuple(named),
            {c: float(t) for c, t in own.items()},
            bool(found.get("calibrated", False)),
        )


def compute_blank_scores(
    probs_NC: np.ndarray, classes: Sequence[str], blank_classes: Sequence[str], task: str
) -> np.ndarray:
    """Return the probability of no animal `[N]`; nan where the clip has no probabilities.

    It is that of the blank classes: their sum where classes exclude each other, else the largest. Without a
    blank class, it is 1 minus the largest probability.
    """
    at = [i for i, c in enumerate(classes) if c in set(blank_classes)]
    if not at:
        return 1 - probs_NC.max(1)
    return np.minimum(probs_NC[:, at].sum(1), 1.0) if task == "exclusive" else probs_NC[:, at].max(1)
