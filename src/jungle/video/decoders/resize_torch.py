"""Resize pictures where they are, on a GPU: two products with matrices of weights.

The filters are swscale's (libswscale/utils.c, `initFilter`), so that a model sees on the GPU what it would
see on the CPU: `area` a box of fractional coverage, the others triangles and cubics widened by the scale.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jungle.video.types import ClipSpec

CUBIC = 0.6  # the C of swscale's bicubic, with B = 0 (Mitchell and Netravali, 1988)


class TorchScaler:
    """Resizer of the RGB pictures of one clip to tensors of one shape, on the device where they are."""

    def __init__(self, spec: ClipSpec) -> None:
        self._spec, self._size = spec, spec.size
        self._weights_of_size: dict[tuple[int, int], Tensor] = {}
        self.source = (0, 0)
        """(height, width) of the source, upright, after the first frame."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return uint8 `[H, W, 3]` of an upright RGB picture `[H, W, 3]` at the source's size."""
        self.source = (image.shape[0], image.shape[1])
        image = image[: self._spec.rows_kept(image.shape[0])]
        # A clip whose frame size changes midway keeps the size of its first frame.
        self._size = self._size or (image.shape[0], image.shape[1])
        if tuple(image.shape[:2]) == self._size:
            return image.contiguous()
        down, across = (
            self._weights(image, old, new) for old, new in zip(image.shape[:2], self._size, strict=True)
        )
        out_CHW = down @ (image.permute(2, 0, 1).float() @ across.T)
        return out_CHW.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()

    def _weights(self, image: Tensor, old: int, new: int) -> Tensor:
        if (old, new) not in self._weights_of_size:
            on_cpu = torch.from_numpy(compute_weights(old, new, self._spec.interpolation))
            self._weights_of_size[old, new] = on_cpu.to(image.device)
        return self._weights_of_size[old, new]


@lru_cache(maxsize=64)
def compute_weights(old: int, new: int, interpolation: str) -> np.ndarray:
    """Return float32 `[new, old]`: the share of each old pixel in each new one; every row sums to one."""
    ratio = old / new
    if interpolation == "nearest":
        step = ((old << 16) + (new >> 1)) // new  # in fixed point, for ties
        return np.eye(old, dtype=np.float32)[((2 * np.arange(new) + 1) * step >> 17).clip(0, old - 1)]
    centre = ((np.arange(new) + 0.5) * ratio)[:, None]
    if interpolation == "area" and ratio > 1:
        left = np.arange(old)
        shares = np.minimum(left + 1, centre + ratio / 2) - np.maximum(left, centre - ratio / 2)
        shares = shares.clip(0)
    else:
        scale = max(ratio, 1)
        beyond = int(np.ceil(2 * scale)) + 1
        away = np.abs(np.arange(-beyond, old + beyond) + 0.5 - centre) / scale
        wide = _compute_cubic(away) if interpolation == "bicubic" else (1 - away).clip(0)
        # What lies outside the picture is its outermost pixel.
        shares = wide[:, beyond:-beyond].copy()
        shares[:, 0] += wide[:, :beyond].sum(1)
        shares[:, -1] += wide[:, -beyond:].sum(1)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def _compute_cubic(away: np.ndarray) -> np.ndarray:
    near = 1 + (CUBIC - 3) * away**2 + (2 - CUBIC) * away**3
    far = CUBIC * (4 - 8 * away + 5 * away**2 - away**3)
    return np.where(away < 1, near, np.where(away < 2, far, 0))
