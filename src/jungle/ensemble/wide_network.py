"""Second-level network of the first place of Pri-matrix Factorization (2017).

One wide network that is trained for a fixed number of epochs on all rows; only dropout prevents overfitting.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 64
MOST_STEPS = 400  # per epoch; batches are larger if there are more rows
L1 = 1e-5  # on the weights of the last layer
RATES = ((32, 1e-3), (48, 4e-4), (80, 1e-4), (128, 1e-5))
"""Learning rates of Adam, each with the epoch before which it applies."""
QUICK = 4
"""Divisor of the epochs of a quick fit."""


@dataclass(frozen=True)
class Shape:
    """A network of two layers before the classes.

    Attributes:
        width: of the first layer.
        dropout: after it.
        epochs: passes over the rows.
        second: width of the second layer.
    """

    width: int
    dropout: float
    epochs: int
    second: int = 128


OVER_ALL = Shape(2048, 0.75, 80)
"""For the columns of all members."""
OVER_ONE = Shape(1024, 0.5, 128)
"""For the columns of one member."""


def fit_wide(
    x_NF: np.ndarray, targets_NC: np.ndarray, seed: int, shape: Shape, quick: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a network with one sigmoid per class, on a GPU if there is one.

    Args:
        x_NF: columns, float32; they are standardised here.
        targets_NC: labels; nan where unknown, which costs nothing.
        seed: of the weights, the order of rows and dropout.
        shape: of the network.
        quick: train for a quarter of the epochs.

    Returns:
        A function from columns to probabilities, float64 `[n, C]`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    center_F, scale_F = x_NF.mean(0), x_NF.std(0) + 1e-6
    x = torch.from_numpy((x_NF - center_F) / scale_F).float().to(device)
    y = torch.from_numpy(np.nan_to_num(targets_NC).astype(np.float32)).to(device)
    known = torch.from_numpy(np.isfinite(targets_NC).astype(np.float32)).to(device)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device == "cuda" else []):
        torch.manual_seed(seed)
        model = _fit(x, y, known, shape, QUICK if quick else 1)

    def predict(given_NF: np.ndarray) -> np.ndarray:
        given = torch.from_numpy((given_NF - center_F) / scale_F).float()
        with torch.no_grad():
            parts = [model(part.to(device)).sigmoid().cpu() for part in given.split(8192)]
        return torch.cat(parts).double().numpy()

    return predict


def compute_rate(epoch: int, shortened: int = 1) -> float:
    """Return the learning rate of an epoch, counted from 0, of a schedule shortened by a factor."""
    return next((rate for end, rate in RATES if epoch * shortened < end), RATES[-1][1])


def _fit(x: Tensor, y: Tensor, known: Tensor, shape: Shape, shortened: int) -> nn.Sequential:
    last = nn.Linear(shape.second, y.shape[1])
    first = [nn.Linear(x.shape[1], shape.width), nn.ReLU(), nn.Dropout(shape.dropout)]
    model = nn.Sequential(*first, nn.Linear(shape.width, shape.second), nn.ReLU(), last).to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)  # a third of the time of a small step
    size = max(BATCH, -(-len(x) // MOST_STEPS))
    for epoch in range(max(shape.epochs // shortened, 1)):
        for group in optimizer.param_groups:
            group["lr"] = compute_rate(epoch, shortened)
        for rows in torch.randperm(len(x), device=x.device).split(size):
            optimizer.zero_grad()
            cells = F.binary_cross_entropy_with_logits(model(x[rows]), y[rows], reduction="none")
            value = (cells * known[rows]).sum() / known[rows].sum().clamp(min=1)
            (value + L1 * last.weight.abs().sum()).backward()
            optimizer.step()
    return model.eval()
