"""Jungle: train and run classifiers on camera-trap video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jungle.api.functions import load, read_frames, train
    from jungle.api.lightning import ClipDataModule
    from jungle.models.module import ClipClassifier

__version__ = "0.2.0"
__all__ = ["ClipClassifier", "ClipDataModule", "__version__", "load", "read_frames", "train"]

# What a program finds here; each is imported when it is first used, since some bring torch.
_PLACES = {
    "ClipClassifier": "jungle.models.module",
    "ClipDataModule": "jungle.api.lightning",
    "load": "jungle.api.functions",
    "read_frames": "jungle.api.functions",
    "train": "jungle.api.functions",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'jungle' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
