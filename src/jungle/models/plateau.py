"""Learning rate that falls while a score does not improve."""

from typing import Literal, NamedTuple, SupportsFloat

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Plateau(NamedTuple):
    """What counts as a plateau, and what it does to the learning rate."""

    factor: float = 0.5
    patience: int = 2
    """Consecutive epochs without improvement after which the rate falls."""
    lowest: float = 0.0
    """Smallest learning rate."""
    first_patience: int | None = None
    """`patience` of the first fall since an improvement; None = the same."""
    threshold: float | None = None
    """By how much an improvement exceeds the best value; None = a ten-thousandth of that value."""


KERAS = Plateau(factor=0.7, patience=2, lowest=1e-4, first_patience=3, threshold=1e-4)
"""`ReduceLROnPlateau(factor=0.7, patience=2, min_lr=1e-4)` of Keras 2.1 (2017), as in the third place of
Pri-matrix Factorization: its counter starts at 0 after an improvement, but at 1 after a fall."""


class PlateauSchedule(ReduceLROnPlateau):
    """`ReduceLROnPlateau` with a patience of its own for the first fall since an improvement.

    Args:
        optimizer: its rates fall.
        mode: whether a smaller or a larger value is better.
        plateau: the rule.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, mode: Literal["min", "max"], plateau: Plateau
    ) -> None:
        # PyTorch's patience counts the epochs that it lets pass: one less.
        self._first, self._next = (plateau.first_patience or plateau.patience) - 1, plateau.patience - 1
        super().__init__(
            optimizer,
            mode,
            factor=plateau.factor,
            patience=self._first,
            threshold=1e-4 if plateau.threshold is None else plateau.threshold,
            threshold_mode="rel" if plateau.threshold is None else "abs",
            min_lr=plateau.lowest,
        )

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:
        """Count an epoch with this value of the score."""
        best = self.best
        super().step(metrics, epoch)
        if self.best != best:
            self.patience = self._first
        elif self.num_bad_epochs == 0:  # the rate has just fallen
            self.patience = self._next
