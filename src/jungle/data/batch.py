"""Batches of clips: B clips, padded to T frames, of which `mask_BT` tells the real ones."""

from typing import Literal, NotRequired, TypedDict, TypeVar, cast

import torch
from torch import Tensor


class ClipTensors(TypedDict):
    """What a model takes: frames, or features of the same frozen backbone."""

    mask_BT: Tensor
    """bool: where a frame exists."""
    times_BT: Tensor
    """float32, in seconds."""
    frames_BTHWC: NotRequired[Tensor]
    """uint8 RGB."""
    x_BTD: NotRequired[Tensor]
    real_N: NotRequired[Tensor]
    """The places of real frames in B x T; without it a GPU has to finish twice to count them."""
    facts_BF: NotRequired[Tensor]
    """float32, for a model with metadata: see `jungle.data.metadata`."""


class Batch(ClipTensors):
    """What a loader gives: also which clips these are, their labels, and how they were read."""

    number_B: Tensor
    """Rows of the clips table."""
    targets_BC: Tensor
    """float32; NaN where unknown."""
    weight_B: Tensor
    status: list[str]
    reason: list[str]


ValuesKey = Literal["frames_BTHWC", "x_BTD"]
"""The entry that holds what was read."""

AnyBatch = TypeVar("AnyBatch", bound=ClipTensors)


def move_batch(batch: AnyBatch, device: str) -> AnyBatch:
    """Return the batch with its tensors on a device."""
    moved = {
        k: v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for k, v in batch.items()
    }
    return cast(AnyBatch, moved)


def get_tensor(batch: ClipTensors, name: ValuesKey | Literal["facts_BF"]) -> Tensor:
    """Return an entry that not every batch has.

    Raises:
        ValueError: this one has not.
    """
    found = batch.get(name)
    if found is None:
        raise ValueError(f"a batch without {name}: it holds {', '.join(batch)}")
    return found
