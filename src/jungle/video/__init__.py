"""Video files in, frames out: `read_clip` gives a clip's frames, `probe` says what a file is."""

from typing import TYPE_CHECKING, Any

from jungle.video.types import Clip, ClipError, ClipSpec, Frames

if TYPE_CHECKING:
    from jungle.video.probing import Probe, probe
    from jungle.video.reader import read_clip

__all__ = ["Clip", "ClipError", "ClipSpec", "Frames", "Probe", "probe", "read_clip"]


def __getattr__(name: str) -> Any:
    # PyAV is loaded by the first call that reads a file, so that `--help` does not wait for it.
    if name in ("Probe", "probe"):
        from jungle.video import probing

        return getattr(probing, name)
    if name == "read_clip":
        from jungle.video.reader import read_clip

        return read_clip
    raise AttributeError(f"module 'jungle.video' has no attribute '{name}'")
