"""All frames of a clip, for clips where any selection of them equals a reading of that selection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jungle.video.container.timeline import WrongTimeline
from jungle.video.frames.motion_crop import BACKDROP, compute_wide_size, crop_to_motion
from jungle.video.frames.sampling import pick
from jungle.video.reader import open_listed, read_uncut
from jungle.video.types import MAX_COUNT, Clip, ClipError, ClipSpec, Frames

TOO_LONG = "too long to be kept whole"


class NotWhole(Exception):
    """A clip that is not read as a whole; `str()` says why. Single frames may still be read."""


def read_whole(path: str | Path, spec: ClipSpec, most_bytes: int, gpu: int = 0) -> Clip:
    """Read all frames of a sound clip, whichever of them the spec picks.

    The frames of a damaged clip depend on the selection (the nearest sound frames replace damaged ones), as
    does the decoder of a clip on which the spec's decoder fails. Such clips are refused.

    Args:
        path: the file.
        spec: how frames are cropped and resized, and by which decoder.
        most_bytes: limit for all frames together, checked before decoding.
        gpu: the number of the GPU, for decord.

    Raises:
        NotWhole: it is too long, damaged, or not read by the decoder of the spec.
    """
    try:
        with open_listed(path, "index") as file:
            height, width = file.stream.codec_context.height, file.stream.codec_context.width
            if spec.focus != "whole":
                height, width = compute_wide_size(spec, height, width)
            elif spec.size is not None:
                height, width = spec.size
            total = len(file.timeline.pts)
        if total >= MAX_COUNT or total * height * width * 3 > most_bytes:
            raise NotWhole(TOO_LONG)
        # One more than there are: if the list of frames changed meanwhile, their number shows it.
        clip = read_uncut(path, replace(spec, frames=Frames("uniform", total + 1)), 0, "index", gpu)
    except (ClipError, WrongTimeline, MemoryError):
        raise NotWhole("damaged") from None
    if not isinstance(clip, Clip) or clip.status != "ok" or len(clip.times) != total:
        raise NotWhole("damaged")
    if spec.decoder not in ("auto", clip.decoder):
        raise NotWhole(f"read by {clip.decoder} instead of {spec.decoder}")
    if spec.focus != "whole":
        clip = crop_to_motion(clip, clip.frames[pick(BACKDROP, clip.times, clip.times >= 0)], spec)
    return clip
