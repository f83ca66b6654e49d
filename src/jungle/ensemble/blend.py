"""Blends: weighted combinations of the members' predictions, class by class.

Each function takes the predictions for n clips and their labels `[n, C]` (nan where unknown). It returns a
function from predictions to probabilities `[n, C]`, and its fitted values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from jungle.ensemble.prediction_matrix import PredictionMatrix, StackerInput
from jungle.metrics.logits import normalise, to_logits, to_probabilities
from jungle.metrics.scores import log_loss

if TYPE_CHECKING:
    from torch import Tensor

Blend = Callable[[StackerInput], np.ndarray]


class StackerValues(TypedDict, total=False):
    """Fitted values of a stacker, for `stack.json`; each stacker has some of them.

    Attributes:
        weights: of the members.
        bias: of the classes.
        networks: how many networks are averaged.
        together: weight of the models on all members.
    """

    weights: list[float]
    bias: list[float]
    networks: int
    together: float


Fitted = tuple[Blend, StackerValues]

ROUNDS = 50  # at most, of the greedy selection
PULL = 2.0  # of log-linear weights towards equal ones: strong with some hundred clips, weak with thousands


def mean(answers: StackerInput, targets_NC: np.ndarray) -> Fitted:
    """Take the plain mean; for each class, over the members that know it."""
    members = len(answers.probs_MNC)
    return _weighted(np.full(members, 1 / members)), {}


def weighted(answers: StackerInput, targets_NC: np.ndarray) -> Fitted:
    """Take the mean with the weights, of sum 1, that minimise the log loss."""
    import torch  # here: means and greedy choices need none

    # As in `average`: for each class, the weighted mean over the members that know it.
    knows_MNC = torch.from_numpy(np.isfinite(answers.probs_MNC).astype(np.float64))
    probs_MNC = torch.from_numpy(np.nan_to_num(answers.probs_MNC).astype(np.float64))

    def blend(free_M: Tensor) -> Tensor:
        weight_M = free_M.softmax(0)
        p_NC = torch.tensordot(weight_M, probs_MNC, 1)
        p_NC = p_NC / torch.tensordot(weight_M, knows_MNC, 1).clamp(min=1e-300)
        return p_NC / p_NC.sum(1, keepdim=True) if answers.task == "exclusive" else p_NC

    found = _minimise(blend, np.zeros(len(probs_MNC)), targets_NC, pull=0.0)
    weights = np.exp(found - found.max())
    weights /= weights.sum()
    return _weighted(weights), {"weights": weights.round(4).tolist()}


def greedy(answers: StackerInput, targets_NC: np.ndarray) -> Fitted:
    """Add members one at a time, with repetition, while the mean improves (Caruana et al. 2004)."""
    members = len(answers.probs_MNC)
    counts, best = np.zeros(members), np.inf
    for _ in range(ROUNDS):
        trials = [log_loss(average(answers, counts + one), targets_NC) for one in np.eye(members)]
        chosen = int(np.argmin(trials))
        if trials[chosen] >= best - 1e-9:
            break
        best = trials[chosen]
        counts[chosen] += 1
    weights = counts / counts.sum()
    return _weighted(weights), {"weights": weights.round(4).tolist()}


def loglinear(answers: StackerInput, targets_NC: np.ndarray) -> Fitted:
    """Sum the members' logits with one weight per member and one bias per class (a product of experts).

    The weights may sum to more than 1, which sharpens predictions on which several uncertain members agree.
    """
    import torch

    z_MNC = torch.from_numpy(_filled(to_logits(answers.probs_MNC, answers.task)))
    members, _, classes = z_MNC.shape

    def product(free: Tensor) -> Tensor:
        z_NC = torch.tensordot(free[:members].exp(), z_MNC, 1) + free[members:]
        return z_NC.softmax(1) if answers.task == "exclusive" else z_NC.sigmoid()

    start = np.concatenate([np.full(members, -np.log(members)), np.zeros(classes)])
    found = _minimise(product, start, targets_NC, PULL)
    weights, bias = np.exp(found[:members]), found[members:]

    def blend(given: StackerInput) -> np.ndarray:
        z = _filled(to_logits(given.probs_MNC, given.task))
        return to_probabilities(np.tensordot(weights, z, 1) + bias, given.task)

    return blend, {"weights": weights.round(4).tolist(), "bias": bias.round(4).tolist()}


def _minimise(
    join: Callable[[Tensor], Tensor], start: np.ndarray, targets_NC: np.ndarray, pull: float
) -> np.ndarray:
    """Return the parameters of `join` of the lowest log loss; `pull` holds them near `start`."""
    import torch

    target = torch.from_numpy(np.nan_to_num(targets_NC).astype(np.float64))
    known = torch.from_numpy(np.isfinite(targets_NC))
    origin = torch.from_numpy(start.astype(np.float64))
    free = origin.clone().requires_grad_()
    search = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        p = join(free).clamp(1e-12, 1 - 1e-12)
        cells = -(target * p.log() + (1 - target) * (-p).log1p())
        loss = cells[known].mean() + pull * ((free - origin) ** 2).sum() / len(target)
        loss.backward()
        return loss

    search.step(closure)
    return free.detach().numpy()


def _weighted(weights: np.ndarray) -> Blend:
    return lambda given: average(given, weights)


def average(answers: StackerInput, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean `[n, C]`; for each class, over the members that know it."""
    total = np.zeros(answers.probs_MNC.shape[1:])
    weight = np.zeros(answers.probs_MNC.shape[2])
    for w, probs_NC in zip(weights, answers.probs_MNC, strict=True):
        known_C = np.isfinite(probs_NC[:1])[0] if len(probs_NC) else np.ones(probs_NC.shape[1], bool)
        total[:, known_C] += w * probs_NC[:, known_C]
        weight[known_C] += w
    if (weight <= 0).any():  # only members that do not know the class have weight
        every = np.nanmean(answers.probs_MNC, axis=0)
        total[:, weight <= 0] = every[:, weight <= 0]
    return normalise(total / np.where(weight > 0, weight, 1), answers.task)


def complete_member(matrix: PredictionMatrix, member: int) -> np.ndarray:
    """Return a member's predictions `[N, C]`; for classes that it does not know, the mean of the others."""
    weights = np.full(len(matrix.names), 1e-9)
    weights[member] = 1
    return average(matrix.rows(np.arange(len(matrix.clips))), weights)


def _filled(scores_MNC: np.ndarray) -> np.ndarray:
    """Return scores in which a member that does not know a class has the mean of those that do."""
    if np.isfinite(scores_MNC).all():
        return scores_MNC.astype(np.float64)
    return np.where(
        np.isfinite(scores_MNC), scores_MNC, np.nanmean(scores_MNC, axis=0, keepdims=True)
    ).astype(np.float64)


BLENDS = {"mean": mean, "weighted": weighted, "greedy": greedy, "loglinear": loglinear}
