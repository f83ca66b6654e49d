"""Write the smaller copy of one clip, the task of the workers of `jungle.video.transcode.dataset`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError

from jungle.files import replace_atomically
from jungle.video import recovery
from jungle.video.container.packets import describe_error
from jungle.video.container.timeline import Timeline, WrongTimeline
from jungle.video.container.upright import get_turn
from jungle.video.decoders.resize import Scaler
from jungle.video.frames.sampling import pick_at_rate
from jungle.video.indexing.inspect_file import read_stamp
from jungle.video.reader import open_listed, try_listings
from jungle.video.transcode.copy_check import GROUP, OriginalRecord, check_copy
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import ClipWriter, Encoding
from jungle.video.types import ClipError, ClipSpec
from jungle.video.workers.protocol import Answer
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av import VideoFrame

# Muxers by suffix. Names are kept, since tables refer to them, and readers go by the content: copies named
# .ASF and .MTS are Matroska inside.
MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi", ".mkv": "matroska"}
ENCODERS: dict[str, Encoding] = {
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qmin": "3", "qmax": "3"}},
    # Short closed groups without reordering: cheap to enter anywhere, and right in every decoder.
    "h264": {
        "codec": "libx264",
        "pix_fmt": "yuv420p",
        "options": {
            "crf": "23",
            "preset": "veryfast",
            "g": str(GROUP),
            "bf": "0",
            "x264-params": "scenecut=0",
        },
    },
}
SLOWEST, FASTEST = 1e-6, 1e3  # frames a second: from one in eleven days to the most that AVI can tell
AS_IT_IS = "copied unchanged: there was nothing to change, and a new copy would be larger"
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)


@dataclass(frozen=True)
class ShrinkTask:
    """The task of a worker: write the copy of a clip below the folder `out`."""

    spec: Shrink
    out: str

    def __call__(self, order: tuple[str, str]) -> Answer:
        """Copy the clip of `order`, a pair of clip name and path."""
        name, path = order
        target = Path(self.out) / name
        facts = read_stamp(path)
        try:
            return {**facts, **shrink_clip(path, target, self.spec), "checked": True}, []
        except ClipError as error:
            reason = str(error)
        except OSError as error:
            reason = f"its copy cannot be written: {describe_error(error)}"
        if os.path.lexists(target):
            reason += "; the earlier copy stays"
        return {**facts, "status": "failed", "reason": reason, "checked": False}, []


def shrink_clip(path: str | Path, target: Path, spec: Shrink) -> dict[str, object]:
    """Write the smaller copy of one clip, complete or not at all.

    The copy is read back and compared with its original before it gets its name, since people delete
    originals. An earlier copy stays if no new one can be made.

    Returns:
        status, reason, frames, width, height and size_after (bytes) of the copy.

    Raises:
        ClipError: no frame can be read, the copy differs from its original, or the original changed.
    """

    def copy(how: str) -> dict[str, object]:
        with replace_atomically(target) as part:
            before = _read_version(path)
            copied = _copy(path, part, target.suffix.lower(), spec, how)
            if _read_version(path) != before:
                raise ClipError("the file changed while it was copied: copy it again once it is complete")
        return {**copied, "size_after": target.stat().st_size}

    return try_listings(copy)


def _read_version(path: str | Path) -> tuple[int, ...]:
    """Return numbers that change when a file is replaced or written to."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _copy(path: str | Path, part: Path, suffix: str, spec: Shrink, how: str) -> dict[str, object]:
    with open_listed(path, how) as file:
        timeline = file.timeline
        times = timeline.times
        picks = np.arange(len(times)) if spec.fps is None else pick_at_rate(times, spec.fps)
        with _Sink(part, suffix, spec, timeline, picks) as sink:
            recovery.read_numbers(file, picks, sink)
    if not sink.frames:
        raise WrongTimeline("count")  # finds out why there is none
    check_copy(part, sink.shown, sink.variable)
    lost = len(picks) - sink.frames
    whole = sink.frames == len(times) and not timeline.damage and how == "index"
    if whole and sink.keeps_size and os.path.getsize(path) < part.stat().st_size:
        shutil.copyfile(path, part)
        return {"status": "ok", "reason": AS_IT_IS, **sink.facts}
    left_out = f"{tally_part(lost, len(picks), 'frames are damaged')} and left out" if lost else ""
    reason = timeline.damage or left_out
    return {"status": "degraded" if reason else "ok", "reason": reason, **sink.facts}


class _Sink:
    """Encoder of decoded frames as they come, so that a long clip takes no more memory than a short one."""

    def __init__(self, part: Path, suffix: str, spec: Shrink, timeline: Timeline, picks: np.ndarray) -> None:
        muxer = MUXERS.get(suffix, "matroska")
        # AVI knows only one rate; elsewhere each frame keeps its true time.
        self.variable = muxer != "avi"
        self.shown = OriginalRecord(len(picks))
        duration = timeline.duration
        fps = len(picks) / duration if duration > 0 else (spec.fps or 1.0)
        rate = min(max(fps, SLOWEST), FASTEST)
        encoding: Encoding = {**ENCODERS[spec.codec], "fps": rate, "container": muxer}
        self._writer = ClipWriter(part, variable=self.variable, **encoding)
        self._spec, self._times = spec, iter(timeline.times[picks])
        self._timeline = timeline
        self._scaler: Scaler | None = None
        self.keeps_size = False
        """Whether the copy has the size of the upright clip (apart from odd sides), with nothing cut off."""

    @property
    def frames(self) -> int:
        return self._writer.written

    @property
    def facts(self) -> dict[str, int]:
        height, width = self.shown.size
        return {"frames": self.frames, "height": height, "width": width}

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        if self._scaler is None:
            swapped = get_turn(frame, self._timeline.turn).swapped
            height, width = (frame.width, frame.height) if swapped else (frame.height, frame.width)
            uncut = ClipSpec(crop_bottom=self._spec.crop_bottom)
            kept = uncut.rows_kept(height)
            size = self._spec.output_size(kept, width)
            self.keeps_size = kept == height and size == Shrink().output_size(height, width)
            self._scaler = Scaler(uncut, size, self._timeline.turn)
        if self._timeline.counted:
            time = float(next(self._times))
        else:
            time = float((frame.pts or 0) - self._timeline.pts[0]) * self._timeline.time_base
        image = self._scaler(frame)
        self.shown.add(image, time)
        with self._writing():
            self._writer.add(image, time if self.variable else None)
        return np.zeros(0, np.uint8)  # nothing is kept

    def __enter__(self) -> _Sink:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        with self._writing():
            self._writer.__exit__(*error)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Translate an error of the encoder or the disk."""
        try:
            yield
        except (FFmpegError, OSError, ValueError) as error:
            if getattr(error, "errno", None) in OF_THE_DISK:
                why = describe_error(error)
            else:
                height, width = self.shown.size
                why = f"{self._spec.codec} cannot hold frames of {width}x{height} pixels"
            raise ClipError(f"its copy cannot be written: {why}") from None
