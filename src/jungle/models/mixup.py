"""Mixup and cutmix of whole clips in a training batch."""

import torch
from torch import Tensor

from jungle.data.batch import Batch, ValuesKey, get_tensor


def mixed(batch: Batch, mixup: float, cutmix: float) -> Batch:
    """Return a training batch whose clips are blended in pairs, with their labels and weights.

    A clip keeps at least half of itself, its number of frames, its times and its metadata (a mean of widths
    or hours would make no sense). A shorter other clip is repeated. Random numbers are drawn on the CPU from
    torch's own generator; the rest is computed on the device of the batch.

    Args:
        batch: of frames or of features.
        mixup: alpha of Beta(alpha, alpha), from which the share of each clip comes (Zhang et al. 2018); of
            frames or of features. 0 is off.
        cutmix: the same for a rectangle, in the same place of all frames (Yun et al. 2019); frames only.
            Where both are on, a coin decides for each batch.
    """
    if not (mixup or cutmix):
        return batch
    key: ValuesKey = "frames_BTHWC" if "frames_BTHWC" in batch else "x_BTD"
    own, mask_BT = get_tensor(batch, key), batch["mask_BT"]
    other_B = torch.randperm(len(mask_BT)).to(mask_BT.device, non_blocking=True)
    cut = bool(cutmix) and (not mixup or bool(torch.rand(()) < 0.5))
    alpha = torch.tensor(float(cutmix if cut else mixup))
    share_B = torch.distributions.Beta(alpha, alpha).sample((len(mask_BT),))
    share_B = torch.maximum(share_B, 1 - share_B)
    other = _in_step(own[other_B], mask_BT[other_B])
    if cut:
        assert key == "frames_BTHWC", "cutmix is of frames"
        inside_BHW, share_B = _rectangles(share_B, own.shape[2], own.shape[3])
        made = torch.where(inside_BHW.to(own.device, non_blocking=True)[:, None, :, :, None], other, own)
        share_B = share_B.to(own.device, non_blocking=True)
    else:
        share_B = share_B.to(own.device, non_blocking=True)
        share = share_B.view(-1, *[1] * (own.ndim - 1))
        made = share * own + (1 - share) * other
        made = made.round().to(own.dtype) if own.dtype == torch.uint8 else made.to(own.dtype)
    # Padded frames stay as they are.
    made = torch.where(mask_BT.view(*mask_BT.shape, *[1] * (own.ndim - 2)), made, own)
    weight_B = batch["weight_B"]
    own_B, its_B = share_B * weight_B, (1 - share_B) * weight_B[other_B]
    whole_B = own_B + its_B
    # Each label counts as much as its clip: one of weight 0 has no effect, even if it is unknown.
    part_B1 = torch.where(whole_B > 0, own_B / whole_B, 1.0).unsqueeze(1)
    mixed_targets = _part(batch["targets_BC"], part_B1) + _part(batch["targets_BC"][other_B], 1 - part_B1)
    blended: Batch = {**batch, "targets_BC": mixed_targets, "weight_B": whole_B}
    blended[key] = made
    return blended


def _part(targets_BC: Tensor, part_B1: Tensor) -> Tensor:
    """Return a share of labels; a share of 0 of an unknown label is 0."""
    return torch.where(part_B1 > 0, part_B1 * targets_BC, 0.0)


def _in_step(other: Tensor, mask_BT: Tensor) -> Tensor:
    """Return frames or features with the real ones repeated over all places."""
    step_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    at_BT = step_T[None] % mask_BT.sum(1, keepdim=True).clamp(min=1)
    return other[torch.arange(len(mask_BT), device=mask_BT.device)[:, None], at_BT]


def _rectangles(share_B: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return rectangles `[B, H, W]` of about 1 - share of the picture, and the share actually left."""
    side_B = (1 - share_B).sqrt()
    y_B, x_B = torch.rand(2, len(share_B))
    rows = _between(y_B, side_B, height)
    columns = _between(x_B, side_B, width)
    inside_BHW = rows[:, :, None] & columns[:, None, :]
    return inside_BHW, 1 - inside_BHW.float().mean((1, 2))


def _between(at_B: Tensor, side_B: Tensor, pixels: int) -> Tensor:
    start_B = (at_B * (1 - side_B) * pixels).round()
    end_B = start_B + (side_B * pixels).round()
    p = torch.arange(pixels)[None]
    return (p >= start_B[:, None]) & (p < end_B[:, None])
