"""Import the large libraries of a command at once, without what no command uses of them.

torchmetrics imports SciPy and Matplotlib, where they are there, for scores of sound and for its own plots: a
fifth of the time until a command starts. Only commands import this module; whoever uses Jungle from Python
has all of torchmetrics.
"""

import torch

from jungle.system import hide_modules

with hide_modules("matplotlib", "scipy"):
    import torchmetrics

import pytorch_lightning

from jungle.models import timm_library

__all__ = ["pytorch_lightning", "timm_library", "torch", "torchmetrics"]
