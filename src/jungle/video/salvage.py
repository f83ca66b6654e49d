"""Frames of clips that cannot be read by the rules: damaged ones, and those whose packets bear no times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video.container import opened
from jungle.video.decode_pyav import Convert, decode_all
from jungle.video.timeline import Timeline, iter_packets

if TYPE_CHECKING:
    from av import VideoFrame


def every_frame(path: str | Path, trust_index: bool = True) -> Iterator[VideoFrame]:
    """Decode a whole file packet by packet, passing over what is broken."""
    with opened(path, trust_index) as (container, stream):
        packets = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        yield from decode_all(stream.codec_context, packets)


def counted(path: str | Path, timeline: Timeline) -> Timeline:
    """A timeline for packets without times: one entry a frame that comes out, told apart by its count.

    The frames come out in the order they are shown, so the n-th is shown at the n-th of the packets' times.
    """
    key = np.array([frame.key_frame for frame in every_frame(path, timeline.trust_index)], bool)
    times = np.unique(timeline.pts)
    if len(times) != len(key):
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        times = np.round(np.arange(len(key)) * step).astype(np.int64)
    places = np.arange(len(key))
    return replace(
        timeline,
        pts=times,
        key=key,
        packet=places,
        keys=np.flatnonzero(key),
        open_gop=False,
        hidden=False,
        known=True,
        counted=True,
        packets=None,
    )


def by_count(
    path: str | Path, timeline: Timeline, picks: np.ndarray, convert: Convert
) -> tuple[dict[int, np.ndarray], set[int]]:
    """Frames by their count in a decode of the whole file, and which of them the decoder called corrupt."""
    wanted, images, broken = set(picks.tolist()), {}, set()
    for number, frame in enumerate(every_frame(path, timeline.trust_index)):
        if number in wanted:
            images[number] = convert(frame)
            if frame.is_corrupt:
                broken.add(number)
    return images, broken


def nearest(
    path: str | Path, timeline: Timeline, wanted_pts: list[int], taken_pts: set[int], convert: Convert
) -> tuple[dict[int, tuple[int, np.ndarray]], set[int]]:
    """For each wanted time, the frame nearest to it among those that come out of a damaged file.

    No frame is given twice, and none of `taken_pts` is given.

    Returns:
        wanted pts -> (true pts, image), and the true pts of frames that the decoder called corrupt.
    """
    todo = sorted(wanted_pts)
    found: dict[int, tuple[int, np.ndarray]] = {}
    broken: set[int] = set()
    used = set(taken_pts)
    before: VideoFrame | None = None

    def give(pts: int, frame: VideoFrame) -> None:
        assert frame.pts is not None
        found[pts] = (frame.pts, convert(frame))
        used.add(frame.pts)
        if frame.is_corrupt:
            broken.add(frame.pts)

    for frame in every_frame(path, timeline.trust_index):
        if frame.pts is None or frame.pts in used:
            continue
        while todo and todo[0] <= frame.pts:
            free = [f for f in (before, frame) if f is not None and f.pts not in used]
            if not free:
                break
            pts = todo.pop(0)
            give(pts, min(free, key=lambda f: abs((f.pts or 0) - pts)))
        before = frame
        if not todo:
            break
    if todo and before is not None and before.pts not in used:
        give(todo[0], before)
    return found, broken
