"""Augmentation of training clips: the same change for all frames of a clip.

Everything depends on (seed, epoch, clip): the same clips on any machine, with any number of workers.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from jungle.system import hide_modules

if TYPE_CHECKING:
    import numpy as np
    from albumentations import BaseCompose, BasicTransform, Compose

    from jungle.video import Clip
    from jungle.video.workers.decode_pool import Job


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a clip; at its defaults, nothing. Plain and picklable: workers apply it."""

    crop: float = 1.0
    """The least share of the picture that a crop keeps; it is brought back to the frames' size."""
    flip: float = 0.0
    """Probability that left and right are exchanged."""
    colour: float = 0.0
    """Largest change of brightness, contrast and saturation, as a share; of hue, a tenth of it."""
    infrared: float = 0.0
    """Probability that a clip looks as if lit by infrared: grey, with another gamma and contrast."""
    noise: float = 0.0
    """Largest standard deviation of noise, as a share of the range of a pixel; in every other clip."""
    blur: float = 0.0
    """Largest standard deviation of a blur, pixels; in every third clip."""
    cutout: float = 0.0
    """Largest side of a rectangle that hides part of the picture, as a share of it; in every other clip."""

    def __bool__(self) -> bool:
        """Return whether anything can happen."""
        return any(getattr(self, f.name) != f.default for f in fields(self))

    def __call__(self, clip: Clip, job: Job) -> Clip:
        """Augment a clip as read: `job.seed` is of the epoch, `job.key` names the clip."""
        return clip.replace(frames=self.frames(clip.frames, f"{job.seed}:{job.key}"))

    def frames(self, frames_THWC: np.ndarray, seed: str) -> np.ndarray:
        """Return uint8 frames of the same shape; the same for the same seed."""
        if not self:
            return frames_THWC
        compose = _compose(self, frames_THWC.shape[1], frames_THWC.shape[2])
        compose.set_random_seed(int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=4).digest()))
        return compose(images=frames_THWC)["images"]


@lru_cache(maxsize=64)
def _compose(what: Augmentation, height: int, width: int) -> Compose:
    """Build the chain for frames of a size: geometry, light, what a sensor adds, then what hides it."""
    A = _albumentations()
    chain: list[BasicTransform | BaseCompose] = []
    if what.crop < 1:
        aspect = width / height
        chain.append(
            A.RandomResizedCrop((height, width), scale=(what.crop, 1.0), ratio=(0.87 * aspect, 1.15 * aspect))
        )
    if what.flip:
        chain.append(A.HorizontalFlip(p=what.flip))
    if what.colour:
        by = (max(0.0, 1 - what.colour), 1 + what.colour)
        hue = (-what.colour / 10, what.colour / 10)
        chain.append(A.ColorJitter(brightness=by, contrast=by, saturation=by, hue=hue, p=0.8))
    if what.blur:
        chain.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.2, max(0.2, what.blur)), p=0.33))
    if what.noise:
        chain.append(A.GaussNoise(std_range=(0.0, what.noise), p=0.5))
    if what.infrared:  # after the noise: that of an infrared picture is grey too
        look = [
            A.ToGray(p=1.0),
            A.RandomGamma((70, 140), p=1.0),
            A.RandomBrightnessContrast(0.15, (-0.1, 0.3), p=1.0),
        ]
        chain.append(A.Sequential(look, p=what.infrared))
    if what.cutout:
        side = (min(0.05, what.cutout), what.cutout)
        chain.append(A.CoarseDropout((1, 1), hole_height_range=side, hole_width_range=side, fill=128, p=0.5))
    return A.Compose(chain)


def _albumentations() -> ModuleType:
    """Import albumentations without its request to the network, and without torch where it is not loaded yet.

    It asks for torch to offer a transform that nobody here uses; in a worker that would cost 0.4 GB.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    with hide_modules("torch"):
        made = importlib.import_module("albumentations")
    import cv2

    cv2.setNumThreads(1)  # workers share the cores
    return made
