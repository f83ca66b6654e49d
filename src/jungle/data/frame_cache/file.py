"""File of one decoded clip: its frames, their times, and checksums of everything.

A safetensors file of `frames` U8 `[T, H, W, 3]` and `times` F64 `[T]`. Its metadata hold, as JSON with a
checksum, the facts of the clip (`Clip` without its arrays), its origin, and a CRC-32 of each frame, so that a
few frames of a long clip are read and checked without the others.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jungle.files import replace_atomically
from jungle.video import Clip
from jungle.video.types import ClipFacts

APART = ("frames", "times", "cache")  # fields of `Clip` that are not facts
Choose = Callable[[np.ndarray], np.ndarray]
"""Takes times `[T]`, returns int64 `[N]`: which frames to read."""


class FileFacts(TypedDict):
    """Metadata of a file."""

    made_of: str
    clip: ClipFacts
    shape: list[int]
    """Of the frames."""
    frames: list[int]
    """Checksum of each frame."""
    times: int
    """Checksum of the times."""


class Damaged(Exception):
    """A file is not as it was written."""


def compute_most_bytes(clip: Clip) -> int:
    """Return the most bytes that the file of a clip takes."""
    return clip.frames.nbytes + clip.times.nbytes + 32 * len(clip.times) + 8192


def write(path: Path, clip: Clip, made_of: str) -> None:
    """Write a clip next to `path` and rename it.

    Args:
        path: the file.
        clip: with all the frames that are to be kept.
        made_of: name of the video's content and of the spec, which `read` compares.

    Raises:
        OSError: it cannot be written in full; nothing is left behind.
    """
    frames, times = np.ascontiguousarray(clip.frames), np.ascontiguousarray(clip.times)
    facts = {
        "made_of": made_of,
        "clip": {k: v for k, v in vars(clip).items() if k not in APART},
        "shape": list(frames.shape),
        "frames": [zlib.crc32(frame.data) for frame in frames],
        "times": zlib.crc32(times.data),
    }
    text = json.dumps(facts)
    with replace_atomically(path, sync=False) as part:  # the checksums find what a power cut damages
        save_file(
            {"frames": frames, "times": times}, part, {"facts": text, "crc": str(zlib.crc32(text.encode()))}
        )


def read(path: Path, made_of: str, choose: Choose | None = None) -> Clip:
    """Read a clip, or some of its frames.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it is not as it was written, or of another clip.
    """
    try:
        with safe_open(path, "np") as file:
            facts = _read_facts(file.metadata() or {}, made_of)
            times, frames = file.get_tensor("times"), file.get_slice("frames")
            if frames.get_shape() != facts["shape"] or frames.get_dtype() != "U8":
                raise Damaged("its frames are of another shape")
            if times.dtype != np.float64 or zlib.crc32(np.ascontiguousarray(times).data) != facts["times"]:
                raise Damaged("its times are not those written")
            rows = np.arange(len(times)) if choose is None else choose(times)
            images = [np.ascontiguousarray(frames[n : n + 1]) for n in rows.tolist()]
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(str(error)) from None
    if [zlib.crc32(image.data) for image in images] != [facts["frames"][n] for n in rows.tolist()]:
        raise Damaged("its frames are not those written")
    return Clip(frames=np.concatenate(images), times=times[rows], **facts["clip"])


def _read_facts(metadata: dict[str, str], made_of: str) -> FileFacts:
    text = metadata.get("facts", "")
    if metadata.get("crc") != str(zlib.crc32(text.encode())):
        raise Damaged("its facts are not those written")
    facts = cast("FileFacts", json.loads(text))  # as written: the checksum says so
    if facts["made_of"] != made_of:
        raise Damaged("it is of another clip")
    return facts
