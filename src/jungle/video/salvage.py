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


def every_frame(path: str | Path, trust_index: bool = True) -> Iterator[tuple[VideoFrame, bool]]:
    """Decode a whole file packet by packet: each frame that comes out, and whether it is sound."""
    with opened(path, trust_index) as (container, stream):
        packets = (p for p in iter_packets(container, stream) if not isinstance(p, str))
        yield from decode_all(stream.codec_context, packets)


def counted(path: str | Path, timeline: Timeline) -> Timeline:
    """A timeline for packets without times: one entry a sound frame that comes out, told apart by its count.

    The frames come out in the order they are shown, so the n-th is shown at the n-th of the packets' times.
    """
    rows = [(frame.key_frame, sound) for frame, sound in every_frame(path, timeline.trust_index)]
    key, sound = np.array(rows, bool).reshape(-1, 2).T
    times = np.unique(timeline.pts)
    if len(times) != len(key):
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        times = np.round(np.arange(len(key)) * step).astype(np.int64)
    unsound = len(sound) - int(sound.sum())
    damage = timeline.damage or (f"{unsound} of {len(sound)} frames are damaged, and left out" if unsound else "")
    return replace(
        timeline,
        pts=times[sound],
        key=key[sound],
        packet=np.arange(int(sound.sum())),
        keys=np.flatnonzero(key[sound]),
        open_gop=False,
        hidden=False,
        known=True,
        counted=True,
        damage=damage,
        packets=None,
    )


def by_count(
    path: str | Path, timeline: Timeline, picks: np.ndarray, convert: Convert
) -> dict[int, np.ndarray]:
    """Frames of a `counted` timeline, by their count among the sound ones in a decode of the whole file."""
    wanted = set(picks.tolist())
    sound = (frame for frame, sound in every_frame(path, timeline.trust_index) if sound)
    return {number: convert(frame) for number, frame in enumerate(sound) if number in wanted}


def nearest(
    path: str | Path, timeline: Timeline, wanted_pts: list[int], taken_pts: set[int], convert: Convert
) -> dict[int, tuple[int, np.ndarray]]:
    """For each wanted time, the frame nearest to it among those of a damaged file that are sound.

    No frame is given twice, and none of `taken_pts` is given.

    Returns:
        wanted pts -> (true pts, image).
    """
    todo = sorted(wanted_pts)
    found: dict[int, tuple[int, np.ndarray]] = {}
    used = set(taken_pts)
    before: VideoFrame | None = None

    def give(pts: int, frame: VideoFrame) -> None:
        assert frame.pts is not None
        found[pts] = (frame.pts, convert(frame))
        used.add(frame.pts)

    for frame, sound in every_frame(path, timeline.trust_index):
        if not sound or frame.pts is None or frame.pts in used:
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
    return found
