"""Pools without weights: statistics over a clip's frames, in any order."""

import math

import torch
from torch import Tensor, nn


class MeanPool(nn.Module):
    """The mean over a clip's frames."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        weight_BT1 = mask_BT.unsqueeze(2).to(x_BTD.dtype)
        return (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1), None


class MaxPool(nn.Module):
    """The largest value of each feature over a clip's frames."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        return filled(x_BTD, mask_BT, -torch.inf).amax(1), None


class LsePool(nn.Module):
    """Log-sum-exp: between the mean (sharpness towards 0) and the maximum (Pinheiro and Collobert 2015)."""

    def __init__(self, dim: int, sharpness: float = 4.0) -> None:
        super().__init__()
        self.width, self.sharpness = dim, sharpness

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        scaled_BTD = filled(self.sharpness * x_BTD.float(), mask_BT, -torch.inf)
        frames_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
        return ((scaled_BTD.logsumexp(1) - frames_B1.log()) / self.sharpness).to(x_BTD.dtype), None


class MaxMinPool(nn.Module):
    """The largest less the smallest value of each feature: what changes over a clip, and nothing else.

    Of a single frame it sees nothing: such a clip gets the answer for an average one.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, times_BT: Tensor) -> tuple[Tensor, None]:
        """Pool to `[B, D]`."""
        return span(x_BTD, mask_BT), None


class FlattenPool(nn.Module):
    """All frames end to end, each in its own place (as zamba has them): a fixed number of frames.

    Each frame is first brought to a width of `width / frames`, so that it stays as small as the other heads.
    A shorter clip leaves the last places empty.
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


def span(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return max - min over time, `[B, D]`: what moves (third place of Pri-matrix Factorization, 2017)."""
    return filled(x_BTD, mask_BT, -torch.inf).amax(1) - filled(x_BTD, mask_BT, torch.inf).amin(1)


def filled(x_BTD: Tensor, mask_BT: Tensor, value: float) -> Tensor:
    """Return `x_BTD` with `value` where masked."""
    return x_BTD.masked_fill(~mask_BT.unsqueeze(2), value)
