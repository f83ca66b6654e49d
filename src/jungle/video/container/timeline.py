"""The frames a file holds, in the order they are shown, found without decoding them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.video import checksums
from jungle.video.container.mpegts import has_gap, is_whole
from jungle.video.container.open import (
    lost_head,
    opened,
    passed_over,
    path_of,
    unknown_beside,
    was_broken,
)
from jungle.video.container.packets import MAX_PACKETS, iter_packets
from jungle.video.decoders.trust import listening
from jungle.video.types import ClipError
from jungle.video.upright import Turn, told_turn
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

HOLD_BYTES = 32 << 20  # compressed video kept in memory between choosing frames and decoding them
CHUNK_HEADER = 8  # bytes of an AVI's chunk before those of its frame
EVEN = 0.8  # of the steps between frames, which are alike where the rate is constant
MOST = 0.75  # of the frames that the header tells of
# Codecs whose packets tell key frames by themselves. Of others, an AVI without index calls all packets key.
PARSED = ("h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video")


class WrongTimeline(Exception):
    """The frames are not those that the timeline promised; `instead` is the next way to list them."""

    def __init__(self, instead: str) -> None:
        super().__init__(instead)
        self.instead = instead


@dataclass
class Timeline:
    """The frames of one video stream, `[N]` in the order they are shown."""

    pts: np.ndarray
    """int64: presentation times in units of `time_base`, ascending, distinct."""
    key: np.ndarray
    """bool: the frame can be decoded on its own."""
    packet: np.ndarray
    """int64: place of the frame's packet among all video packets, which come in the order of decoding."""
    keys: np.ndarray
    """int64: places of all key packets, ascending."""
    time_base: float
    """Seconds."""
    open_gop: bool = False
    """Frames that are shown before a key frame but decoded after it, and so need the group before."""
    hidden: bool = False
    """Some packets give no frame, as an edit list says."""
    timed: bool = True
    """Every packet says when its frame is shown; else that was worked out from when it is decoded."""
    known: bool = True
    """False where packets do not say when they are shown; the frames are then told apart by counting."""
    counted: bool = False
    """The packets bear no times: `pts` was made up by counting the frames that come out."""
    doubtful: bool = False
    """The decoder complains of every frame alike: all are taken as they come."""
    damage: str = ""
    """What is wrong with the file; empty where nothing was found."""
    trust_index: bool = True
    """How the file was opened; it has to be opened so again."""
    unseen: bool = False
    """No frame was decoded on opening, so that the decoder may lack what is known only from frames."""
    stream: int = 0
    """The stream's number in the file, by FFmpeg's count of all streams; other decoders are told it."""
    alone: bool = True
    """The file holds no other video stream, not even a cover picture."""
    turn: Turn | None = None
    """How the file says that frames are turned, where their own angle does not say it all."""
    seekable: bool = False
    """Read from the container's own index; packets are fetched one by one."""
    places: np.ndarray | None = None
    """int64 `[N]`: of a `seekable` one, where in the file the index says that frames lie."""
    packets: list[Packet] | None = field(default=None, repr=False)
    """All video packets in the order of decoding, where they are few enough to hold."""

    def lies_at(self, number: int, place: int | None) -> bool:
        """Whether a packet found at a place in the file is that of a frame of a `seekable` timeline."""
        if self.places is None or place is None:
            return True
        return place - int(self.places[number]) in (0, CHUNK_HEADER)

    @property
    def times(self) -> np.ndarray:
        """float64 `[N]`: seconds from the first frame."""
        return (self.pts - self.pts[0]) * self.time_base if len(self.pts) else np.zeros(0)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        times = self.times
        return float(times[-1] + np.median(np.diff(times))) if len(times) > 1 else 0.0

    @property
    def fps(self) -> float:
        """Mean frame rate; 0 where a single frame, or times all alike, tell nothing."""
        times = self.times
        return float((len(times) - 1) / times[-1]) if len(times) > 1 and times[-1] > 0 else 0.0


def read_timeline(container: InputContainer, stream: VideoStream, size: int, scan: bool = False) -> Timeline:
    """List the frames of a stream.

    Args:
        container: an opened file, at its start.
        stream: its video stream.
        size: bytes of the file.
        scan: read every packet; the file is opened without trust in its index.

    Raises:
        ClipError: there is no video packet.
        WrongTimeline: the container's index is wrong; open the file again and scan.
    """
    if not scan and "avi" in container.format.name:
        _check_index(stream, size)
    timeline = (None if scan else _from_index(container, stream, size)) or _from_packets(container, stream)
    timeline.stream, timeline.alone = stream.index, len(container.streams.video) == 1
    timeline.damage = timeline.damage or unknown_beside(container) or lost_head(container)
    timeline.trust_index = not scan
    timeline.turn = told_turn(path_of(container), container.format.name, stream.id)
    timeline.unseen = not scan and "mov" in container.format.name
    return timeline


def _check_index(stream: VideoStream, size: int) -> None:
    """FFmpeg follows an AVI's index wherever it leads, and so passes over frames or gives others."""
    entries = [(e.pos, e.size) for e in stream.index_entries]
    pos, length = np.array(entries, np.int64).reshape(-1, 2).T
    if (pos[1:] < (pos + length)[:-1]).any() or (pos + length > size).any():
        raise WrongTimeline("scan")


def _from_index(container: InputContainer, stream: VideoStream, size: int) -> Timeline | None:
    """For streams of key frames only (MJPEG), the container's index says all there is to know."""
    name = container.format.name
    if not ("avi" in name or "mov" in name) or not stream.codec_context.codec.intra_only:
        return None
    entries = [(e.timestamp, e.pos, e.size, e.flags) for e in stream.index_entries]
    if not entries:
        return None
    pts, pos, length, flags = np.array(entries, np.int64).T
    # Hidden frames, frames without bytes or over one another, places past the end: read the packets.
    ends = pos + length
    if (flags != 1).any() or (length <= 0).any() or (pos[1:] < ends[:-1]).any() or ends[-1] > size:
        return None
    if (np.diff(pts) <= 0).any():
        return None
    # An index that is missing or cut off grows as the file is read: nothing may come after its last frame.
    container.seek(int(pts[-1]), stream=stream, any_frame=True)
    tail = [p.pts if not isinstance(p, str) else None for p in islice(iter_packets(container, stream), 2)]
    if tail != [pts[-1]]:
        raise WrongTimeline("scan")
    place = np.arange(len(pts))
    time_base = float(stream.time_base or 1)
    few = _too_few(len(pts), stream.frames)
    return Timeline(
        pts, np.ones(len(pts), bool), place, place, time_base, seekable=True, places=pos, damage=few
    )


def _from_packets(container: InputContainer, stream: VideoStream) -> Timeline:
    held: list[Packet] | None = []
    held_bytes, damage = 0, ""
    rows: list[tuple[int, int, bool, bool]] = []
    missing, empty, indexed = 0, [0], len(stream.index_entries)
    found: list[int] = []
    promised = _promised(container, stream)
    corrupt: list[int] = []
    torn: list[bool] = []
    for packet in _heard(container, stream, empty, torn):
        if isinstance(packet, str):
            damage = damage or f"the file is damaged ({packet})"
            continue
        pts, dts = packet.pts, packet.dts
        missing += pts is None
        rows.append(
            (
                pts if pts is not None else (dts or 0),
                dts if dts is not None else (pts or 0),
                packet.is_keyframe,
                packet.is_discard,
            )
        )
        found.append(packet.pos if packet.pos is not None else -1)
        if packet.is_corrupt:
            corrupt.append(len(rows) - 1)
        held_bytes += packet.size
        if held is not None and held_bytes <= HOLD_BYTES:
            held.append(packet)
        else:
            held = None
        if len(rows) >= MAX_PACKETS:
            damage = damage or f"only the first {MAX_PACKETS} frames were looked at"
            break
    if not rows:
        raise ClipError(damage or "no video frames")
    pts = np.array([r[0] for r in rows], np.int64)
    dts = np.array([r[1] for r in rows], np.int64)
    key = np.array([r[2] for r in rows], bool)
    hidden = np.array([r[3] for r in rows], bool)
    path = path_of(container)
    if "mpegts" in container.format.name:
        joined = (
            not torn and all(_is_join(place, dts, key) for place in corrupt) and is_whole(path, stream.id)
        )
        broken = has_gap(path) or bool(corrupt and not joined)
    else:
        broken = bool(corrupt)
    if broken:
        damage = damage or "the file is damaged (broken packets)"
    if "asf" in container.format.name:
        promised = _at_even_rate(dts)  # ASF tells no number, and its demuxer passes over what is broken
    damage = damage or _too_few(len(rows) + empty[0], promised)
    damage = damage or _not_where_told(container, stream, found)
    damage = damage or _wrong_times(container, stream, dts)
    if not damage and checksums.is_broken(path, container.format.name):
        damage = "the file is damaged (a checksum is wrong)"
    context = stream.codec_context
    blind = "avi" in container.format.name and not context.codec.intra_only and context.name not in PARSED
    if not key.any() or (blind and indexed < len(rows)):
        key[:], key[0] = False, True
    # AVI has no times of showing: with reordered frames, those that FFmpeg gives are guesses, and wrong ones.
    timed = not missing and "avi" not in container.format.name
    reordered = bool(stream.codec_context.has_b_frames)
    if missing and not reordered:
        pts = dts
    # What comes before the first key frame cannot be decoded. A broadcast is cut anywhere, a file is not.
    early = np.arange(len(pts)) < np.flatnonzero(key)[0]
    if (early & ~hidden).any() and "mpeg" not in container.format.name:
        damage = damage or f"the first {int(early.sum())} of {len(rows)} frames have lost their key frame"
    shown = ~hidden & ~early
    order = np.flatnonzero(shown)
    order = order[np.argsort(pts[order], kind="stable")]
    known = (timed or not reordered) and bool((np.diff(pts[order]) > 0).all())
    last_key = np.maximum.accumulate(np.where(key, np.arange(len(pts)), -1))
    leading = (last_key >= 0) & (pts < pts[np.maximum(last_key, 0)])
    return Timeline(
        pts=pts[order],
        key=key[order],
        packet=order,
        keys=np.flatnonzero(key),
        time_base=float(stream.time_base or 1),
        open_gop=bool((leading & shown).any()),
        hidden=bool(hidden.any()),
        timed=timed,
        known=known,
        damage=damage,
        packets=held,
    )


def _heard(
    container: InputContainer, stream: VideoStream, empty: list[int], torn: list[bool]
) -> Iterator[Packet | str]:
    """As `iter_packets`, with a text too where the demuxer said that it passed over something.

    `torn` is given an element where it said that a part of a frame or of a sound is missing.
    """
    with listening() as lines:
        yield from iter_packets(container, stream, empty)
        broken = passed_over(lines, container.format.name)
        if any("size mismatch" in text for _, _, text in lines):
            torn.append(True)
    if broken or was_broken(container):
        yield "the container is broken"


def _promised(container: InputContainer, stream: VideoStream) -> int:
    """Frames that the header tells of, those that an edit list hides left out; 0 where it does not tell."""
    entries, told = stream.index_entries, stream.frames
    if not 0 < len(entries) < told:
        return told
    # An MP4's index is its header; what an edit list hides for good is not in the index. An AVI knows only
    # one rate, and its header counts places: those at which no frame is new are not in the index.
    if "mov" in container.format.name or (
        "avi" in container.format.name and entries[-1].timestamp >= MOST * told
    ):
        return len(entries)
    return told


def _at_even_rate(dts: np.ndarray) -> int:
    """Frames that there would be without gaps; 0 where the rate varies by itself."""
    steps = np.diff(dts)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0 or np.mean(np.abs(steps - usual) <= max(1.5, 0.1 * usual)) < EVEN:
        return 0
    return round(float(dts[-1] - dts[0]) / usual) + 1


def _too_few(there: int, promised: int) -> str:
    """What is wrong where far fewer frames are there; cameras err by one or two, and drop some under load."""
    return (
        f"{there} of {promised} frames that the header tells of are there" if there < MOST * promised else ""
    )


def _not_where_told(container: InputContainer, stream: VideoStream, found: list[int]) -> str:
    """What is wrong where an AVI's index names places at which no frame lies: its demuxer passes over them.

    An index that is wrong as a whole is of no use and no sign of damage.
    """
    if "avi" not in container.format.name:
        return ""
    with opened(path_of(container)) as (_, indexed):  # a file that is scanned was opened without its index
        told = np.array([e.pos for e in indexed.index_entries if e.size > 0], np.int64)
    lost = len(told) - int(np.isin(told + CHUNK_HEADER, np.array(found, np.int64)).sum())
    if not 0 < lost <= len(told) // 2:
        return ""
    return f"{tally_part(lost, len(told), 'frames are damaged')}: they are not where the index says"


def _wrong_times(container: InputContainer, stream: VideoStream, dts: np.ndarray) -> str:
    """What is wrong where the times of an MP4, those of decoding `dts`, cannot be those of its frames."""
    if "mov" not in container.format.name:
        return ""
    stopped = len(dts) > 1 and float((np.diff(dts) == 0).mean()) > 1 - MOST
    # FFmpeg takes a clock that is not told for one of seconds, and an edit list then hides nearly all.
    no_clock = stream.frames > 1 and not stream.duration and stream.time_base == 1
    return "the file is damaged (the times of its frames are wrong)" if stopped or no_clock else ""


def _is_join(place: int, dts: np.ndarray, key: np.ndarray) -> bool:
    """Whether a packet of an MPEG-TS is called broken only because another recording was appended after it.

    The packets' counter then jumps, which looks as if some were lost; but a key frame follows, and the clock
    begins again or goes on as if nothing had happened. FFmpeg flags the packet before the last, or the last.
    """
    usual = float(np.median(np.abs(np.diff(dts)))) if len(dts) > 1 else 0.0
    nexts = [k for k in (place, place + 1, place + 2) if 0 < k < len(key) and key[k]]
    return any(dts[k] < dts[k - 1] or dts[k] - dts[k - 1] <= 2.5 * usual for k in nexts)


def scan(path: str | Path) -> Timeline:
    """Open a file and list its frames, without its packets."""
    with opened(path) as (container, stream):
        timeline = read_timeline(container, stream, Path(path).stat().st_size, scan=True)
        timeline.packets = None
        return timeline
