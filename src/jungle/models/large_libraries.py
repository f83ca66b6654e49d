"""Import the large libraries of a training run, for processes that are forked from the one that does."""

import pytorch_lightning
import torch
import torchmetrics

from jungle.system import hide_modules

with hide_modules("wandb"):  # timm would import it for a log of its own
    import timm

__all__ = ["pytorch_lightning", "timm", "torch", "torchmetrics"]
