"""Frames through decord, for the files that it is known to read right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from jungle.video.container.packets import describe_error
from jungle.video.container.timeline import Timeline
from jungle.video.recovery import has_true_keys
from jungle.video.types import ClipError

# decord silently returns wrong frames after a seek in open groups (a few frames late), in ASF (any other
# frame) and in H.264 in AVI, whose packets have no times (frames of the first group). Its FFmpeg 4 cannot
# decode other files, or counts their frames in another order.
CONTAINERS = ("mov", "avi", "matroska")
OFF = 0.5  # of a frame: allowed difference of its times
UNKNOWN_CODECS = ("av1", "vvc", "libdav1d")


def refusal(path: str | Path, timeline: Timeline, container: str, codec: str) -> str:
    """Return why decord would read this file wrongly; empty if it reads it right."""
    if not any(c in container for c in CONTAINERS):
        return f"{container} files"
    if any(c in codec for c in UNKNOWN_CODECS):
        return f"codec {codec}"
    if not timeline.alone:
        return "several video streams"  # it chooses one by itself
    if timeline.open_gop:
        return "open groups of pictures"
    if "avi" in container and codec in ("h264", "hevc"):
        return f"{codec} in AVI"
    if timeline.hidden or timeline.counted:
        return "frames that are not shown in packet order"
    if timeline.damage or has_true_keys(path, timeline):
        return timeline.damage
    return "frames that are all called key frames"


def read(
    path: str | Path,
    picks: np.ndarray,
    timeline: Timeline,
    convert: Callable[[np.ndarray], np.ndarray],
    gpu: int | None = None,
) -> Iterator[np.ndarray]:
    """Decode the frames of the given numbers, one at a time.

    Args:
        path: the file.
        picks: int64 `[T]`, numbers of frames in the order shown.
        timeline: the frames of the file.
        convert: takes an RGB picture uint8 `[H, W, 3]`.
        gpu: the number of the GPU that decodes; None for the CPU.

    Raises:
        ClipError: decord fails, or its count of frames is not the file's.
    """
    decord = load()
    try:
        # One thread: more of them hang. fault_tol: no repeats of the last good frame for broken ones.
        where = decord.cpu(0) if gpu is None else decord.gpu(gpu)
        reader = decord.VideoReader(os.path.abspath(path), ctx=where, num_threads=1, fault_tol=1e-9)
        if len(reader) != len(timeline.pts):
            raise ClipError(f"decord counts {len(reader)} frames of {len(timeline.pts)}")
        shown = reader.get_frame_timestamp(picks)[:, 0]
        due = timeline.pts[picks] * timeline.time_base
        most = OFF * timeline.duration / len(timeline.pts)
        # In some containers it counts the times of a clip that begins late from that beginning.
        begins = (0, timeline.pts[0] * timeline.time_base)
        if all((np.abs(shown - due + begin) > most).any() for begin in begins):
            raise ClipError("decord reports other times for the frames")
        for n in picks:
            image = reader[int(n)].asnumpy()
            if image.ndim != 3 or image.shape[2] != 3:
                raise ClipError("decord takes the padding of narrow frames for pixels")
            yield convert(image)
    except ClipError:
        raise
    except Exception as error:
        # Its messages hold stack traces and bytes of the file.
        raise ClipError(f"decord fails ({describe_error(error)})") from None


def has_cuda() -> bool:
    """Return whether decord is installed and was built with CUDA, without touching a GPU."""
    try:
        return load().get_global_func("device_api.gpu", allow_missing=True) is not None
    except (ImportError, OSError):
        return False


def load() -> ModuleType:
    """Import decord, with its messages off and its retries limited."""
    # 10240 by default, minutes for some broken files; 128 is too few for the last group of a good one.
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "2048")
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord
