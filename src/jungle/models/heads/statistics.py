"""Pools without learnt weights: statistics over a clip's frames, in any order."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class StatisticPool(nn.Module):
    """A statistic of each feature over a clip's frames: `[B, D]` of `x_BTD` and `mask_BT`."""

    def __init__(self, dim: int, statistic: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.width, self._statistic = dim, statistic

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        return self._statistic(x_BTD, mask_BT), None


def mean(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean over a clip's frames, `[B, D]`."""
    weight_BT1 = mask_BT.unsqueeze(2).to(x_BTD.dtype)
    return (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1)


def largest(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the largest value over a clip's frames, `[B, D]`."""
    return filled(x_BTD, mask_BT, -torch.inf).amax(1)


def log_sum_exp(x_BTD: Tensor, mask_BT: Tensor, sharpness: float) -> Tensor:
    """Return a value from the mean (`sharpness` near 0) to the maximum (Pinheiro and Collobert 2015)."""
    scaled_BTD = filled(sharpness * x_BTD.float(), mask_BT, -torch.inf)
    frames_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    return ((scaled_BTD.logsumexp(1) - frames_B1.log()) / sharpness).to(x_BTD.dtype)


def span(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return max - min over time, `[B, D]`: what moves (third place of Pri-matrix Factorization, 2017).

    It is 0 for a single frame.
    """
    return largest(x_BTD, mask_BT) - filled(x_BTD, mask_BT, torch.inf).amin(1)


def filled(x_BTD: Tensor, mask_BT: Tensor, value: float) -> Tensor:
    """Return `x_BTD` with `value` where masked."""
    return x_BTD.masked_fill(~mask_BT.unsqueeze(2), value)


class FlattenPool(nn.Module):
    """All frames end to end, as in zamba, for a fixed number of places.

    Each frame is projected to a width of `width / frames`, so that the head stays small. A shorter clip
    leaves the last places empty.
    """

    def __init__(self, dim: int, frames: int = 16, width: int = 2048) -> None:
        super().__init__()
        self.frames = frames
        self.project = nn.Linear(dim, max(1, math.ceil(width / frames)))
        self.width = self.frames * self.project.out_features

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, frames * D']`.

        Raises:
            ValueError: a clip has more frames than there are places.
        """
        given = x_BTD.shape[1]
        if bool(mask_BT[:, self.frames :].any()):
            raise ValueError(f"head=flatten has places for {self.frames} frames, a clip has up to {given}")
        seen_BTE = filled(self.project(x_BTD), mask_BT, 0.0)[:, : self.frames]
        padded_BTE = nn.functional.pad(seen_BTE, (0, 0, 0, self.frames - seen_BTE.shape[1]))
        return padded_BTE.flatten(1), None
