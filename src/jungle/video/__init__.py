"""Video files in, frames out: `read_clip` gives a clip's frames, `probe` says what a file is."""

from importlib import import_module
from typing import TYPE_CHECKING

from jungle.video.types import Clip, ClipError, ClipSpec, Frames

if TYPE_CHECKING:
    from jungle.video.probing import Probe, probe
    from jungle.video.reader import read_clip

__all__ = ["Clip", "ClipError", "ClipSpec", "Frames", "Probe", "probe", "read_clip"]


def __getattr__(name: str) -> object:
    # The first call that reads a file loads PyAV, so that `--help` does not wait for it.
    if name in ("Probe", "probe"):
        return getattr(import_module("jungle.video.probing"), name)
    if name == "read_clip":
        return import_module("jungle.video.reader").read_clip
    raise AttributeError(f"module 'jungle.video' has no attribute '{name}'")
