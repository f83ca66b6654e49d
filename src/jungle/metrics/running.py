"""Scores over a stage's batches and devices, in which each clip counts once."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from jungle.metrics.scores import compute_scores


class RunningScores(Metric):
    """Probabilities, targets and clip numbers of a stage; `compute` joins those of all devices."""

    full_state_update = False

    def __init__(self, classes: tuple[str, ...], task: str) -> None:
        super().__init__()
        self.classes, self.task = classes, task
        for name in ("number", "probs", "targets"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, number_B: Tensor, probs_BC: Tensor, targets_BC: Tensor) -> None:
        """Add a batch; `number_B` is each clip's row in the clips table, by which repeats are found."""
        states: Any = self
        states.number.append(number_B.long())
        states.probs.append(probs_BC.float())
        states.targets.append(targets_BC.float())

    def compute(self) -> dict[str, float]:
        """Return every score of `compute_scores`."""
        number, probs, targets = (self._joined(n) for n in ("number", "probs", "targets"))
        if not len(number):
            return {"clips": 0.0}
        seen, first = torch.unique(number, return_inverse=True)
        rows = torch.full((len(seen),), len(number), dtype=torch.long, device=number.device)
        rows.scatter_reduce_(0, first, torch.arange(len(number), device=number.device), "amin")
        return compute_scores(probs[rows].cpu().numpy(), targets[rows].cpu().numpy(), self.classes, self.task)

    def _joined(self, name: str) -> Tensor:
        state = getattr(self, name)
        if isinstance(state, Tensor):
            return state
        return torch.cat(state) if state else torch.zeros(0)
