"""How much of a GPU's arithmetic a training step uses: its operations counted, the card's peak looked up."""

from __future__ import annotations

import re
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

# Dense bf16 with fp32 sums, TFLOP/s, by the name that the driver gives; of NVIDIA's data sheets, where those
# that tell a figure "with sparsity" are halved. A part of a card (MIG) has no entry.
PEAK_TFLOPS = (
    (r"H200", 989.4),
    (r"H100 80GB HBM3", 989.4),
    (r"H100 NVL", 835.5),
    (r"H100 PCIe", 756.5),
    (r"A100[- ](SXM4|PCIE|PCIe)?[- ]?(40GB|80GB)( PCIe)?", 312.0),
    (r"L40S", 362.0),
    (r"L4", 121.0),
    (r"A40", 149.7),
    (r"A10", 125.0),
    (r"RTX A6000", 154.8),
    (r"GeForce RTX 4090", 165.2),
    (r"GeForce RTX 3090", 71.0),
)


def peak_tflops(name: str) -> float | None:
    """Return the dense bf16 peak of a card by its name, None for one that the table does not have."""
    for pattern, peak in PEAK_TFLOPS:
        if re.fullmatch(rf"(NVIDIA )?{pattern}", name):
            return peak
    return None


def flops_a_clip(model: Any, batch: dict[str, Any]) -> float:
    """Count the floating-point operations of a training step, forward and backward, for a clip of a batch.

    Counted on the first clip, for as many frames as the clips have on average. They are those of products of
    matrices and of convolutions, as `torch.utils.flop_counter` has them (two a multiplication and sum);
    what gradient checkpointing computes a second time counts a second time.
    """
    first = {
        name: batch[name][:1] for name in ("frames_BTHWC", "mask_BT", "times_BT", "facts_BF") if name in batch
    }
    model.train()
    with FlopCounterMode(display=False) as counter:
        model(first).logits_BC.float().sum().backward()
    model.zero_grad(set_to_none=True)
    mask_BT = batch["mask_BT"]
    return counter.get_total_flops() * float(mask_BT.sum() / len(mask_BT) / mask_BT[0].sum())
