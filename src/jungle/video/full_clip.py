"""Every frame of a clip, where any choice of them is sure to be what reading that choice alone would give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jungle.video.container.open import check_file, opened
from jungle.video.container.timeline import WrongTimeline
from jungle.video.frames.motion_crop import BACKDROP, focused, wide_size
from jungle.video.frames.sampling import pick
from jungle.video.reader import list_frames, read_uncut
from jungle.video.types import MAX_COUNT, Clip, ClipError, ClipSpec, Frames

TOO_LONG = "too long to be kept whole"


class NotWhole(Exception):
    """A clip is not read as a whole; `str()` says why. Its frames may still be read some at a time."""


def read_whole(path: str | Path, spec: ClipSpec, most_bytes: int, gpu: int = 0) -> Clip:
    """Read all frames of a sound clip; which of them the spec picks does not matter.

    What a damaged clip gives hangs on which frames are asked for (the nearest that can be decoded stand in),
    and so does which decoder reads a clip that the one asked for fails on. Such clips are refused.

    Args:
        path: the file.
        spec: how frames are cropped and resized, and by which decoder.
        most_bytes: of all frames together; a longer clip is refused before any of it is decoded.
        gpu: the number of the GPU, for decord.

    Raises:
        NotWhole: it is too long, damaged, or not read by the decoder asked for.
    """
    try:
        size = check_file(path)
        with opened(path) as (container, stream):
            height, width = stream.codec_context.height, stream.codec_context.width
            if spec.focus != "whole":
                height, width = wide_size(spec, height, width)
            elif spec.size is not None:
                height, width = spec.size
            total = len(list_frames(path, size, container, stream, "index").pts)
        if total >= MAX_COUNT or total * height * width * 3 > most_bytes:
            raise NotWhole(TOO_LONG)
        # One more than there are: were the list of frames to change on the way, their number would tell.
        clip = read_uncut(path, replace(spec, frames=Frames("uniform", total + 1)), 0, "index", gpu)
    except (ClipError, WrongTimeline, MemoryError):
        raise NotWhole("damaged") from None
    if not isinstance(clip, Clip) or clip.status != "ok" or len(clip.times) != total:
        raise NotWhole("damaged")
    if spec.decoder not in ("auto", clip.decoder):
        raise NotWhole(f"read by {clip.decoder} instead of {spec.decoder}")
    if spec.focus != "whole":
        clip = focused(clip, clip.frames[pick(BACKDROP, clip.times, clip.times >= 0)], spec)
    return clip
