"""The frames of a file in the order they are shown, listed without decoding them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jungle.video.container import checksums
from jungle.video.container.mpegts import has_gap, is_whole
from jungle.video.container.open import (
    check_file,
    describe_lost_beginning,
    describe_unknown_stream,
    get_path,
    has_skipped,
    has_skipped_on_opening,
    open_video,
)
from jungle.video.container.packets import MAX_PACKETS, iter_packets
from jungle.video.container.upright import Turn, read_turn
from jungle.video.decoders.trust import capture_log
from jungle.video.types import ClipError
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

HOLD_BYTES = 32 << 20  # compressed video kept in memory between choosing frames and decoding them
MOST_CREATED = 64  # letters of a time of recording
CHUNK_HEADER = 8  # bytes of an AVI's chunk before those of its frame
EVEN = 0.8  # share of the steps between frames that are equal if the rate is constant
MOST = 0.75  # share of the frames that the header announces
# Codecs whose packets show which frames are key. For others, an AVI without an index calls all packets key.
PARSED = ("h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video")


class WrongTimeline(Exception):
    """The frames are not those of the timeline; `instead` is the next way to list them."""

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
    """int64: number of the frame's packet among all video packets, in decoding order."""
    keys: np.ndarray
    """int64: numbers of all key packets, ascending."""
    time_base: float
    """Seconds."""
    open_gop: bool = False
    """Frames that are shown before a key frame but decoded after it, and so need the group before."""
    hidden: bool = False
    """Some packets give no frame, because of an edit list."""
    timed: bool = True
    """Every packet has its presentation time; otherwise it was derived from the decoding time."""
    known: bool = True
    """False if packets have no usable presentation times; frames are then identified by counting."""
    counted: bool = False
    """The packets have no times: `pts` comes from counting the decoded frames."""
    doubtful: bool = False
    """The decoder complains of every frame alike: all are accepted."""
    damage: str = ""
    """Damage of the file; empty if none was found."""
    trust_index: bool = True
    """How the file was opened; it has to be opened the same way again."""
    unseen: bool = False
    """No frame was decoded on opening, so the decoder may lack what only frames show."""
    stream: int = 0
    """Number of the stream among all streams of the file, as FFmpeg counts."""
    alone: bool = True
    """The file has no other video stream, not even a cover picture."""
    created: str = ""
    """Time of recording in the container's own words; empty if it has none."""
    turn: Turn | None = None
    """Rotation and mirror according to the file, if the angle of a frame is not enough."""
    seekable: bool = False
    """Made from the container's own index; packets are fetched one by one."""
    places: np.ndarray | None = None
    """int64 `[N]`: file offsets of the frames according to the index, if `seekable`."""
    packets: list[Packet] | None = field(default=None, repr=False)
    """All video packets in decoding order, if they fit into `HOLD_BYTES`."""

    def lies_at(self, number: int, place: int | None) -> bool:
        """Return whether a packet at a file offset is that of frame `number` of a `seekable` timeline."""
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
        """Mean frame rate; 0 for a single frame or equal times."""
        times = self.times
        return float((len(times) - 1) / times[-1]) if len(times) > 1 and times[-1] > 0 else 0.0


class VideoFile(NamedTuple):
    """An opened file with its main video stream and the frames of that."""

    path: str | Path
    container: InputContainer
    stream: VideoStream
    timeline: Timeline


def read_timeline(container: InputContainer, stream: VideoStream, scan: bool = False) -> Timeline:
    """List the frames of a stream of a file that was just opened.

    With `scan`, every packet is read; the file must be opened without trust in its index.

    Raises:
        ClipError: there is no video packet.
        WrongTimeline: the container's index is wrong; open the file again and scan.
    """
    path, demuxer = get_path(container), container.format.name
    size = check_file(path)
    if not scan and "avi" in demuxer:
        _check_index(stream, size)
    timeline = (None if scan else _read_index(container, stream, size)) or _list_packets(container, stream)
    timeline.stream, timeline.alone = stream.index, len(container.streams.video) == 1
    timeline.damage = (
        timeline.damage or describe_unknown_stream(container) or describe_lost_beginning(container)
    )
    timeline.trust_index = not scan
    timeline.created = read_created(container, stream)
    timeline.turn = read_turn(path, demuxer, stream.id)
    timeline.unseen = not scan and "mov" in demuxer
    return timeline


def read_created(container: InputContainer, stream: VideoStream) -> str:
    """Return the time of recording in the container's own words; empty if it has none."""
    found = container.metadata.get("creation_time", "") or stream.metadata.get("creation_time", "")
    return str(found)[:MOST_CREATED]


def _check_index(stream: VideoStream, size: int) -> None:
    """Raise `WrongTimeline` if an AVI's index would lead FFmpeg to wrong frames, or past some."""
    pos, length = np.array([(e.pos, e.size) for e in stream.index_entries], np.int64).reshape(-1, 2).T
    if (pos[1:] < (pos + length)[:-1]).any() or (pos + length > size).any():
        raise WrongTimeline("scan")


def _read_index(container: InputContainer, stream: VideoStream, size: int) -> Timeline | None:
    """List the frames of a stream of key frames only (MJPEG) by the container's index; None if it cannot."""
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
    packets = (p for p in iter_packets(container, stream) if isinstance(p, str) or p.size)
    if [p.pts if not isinstance(p, str) else None for p in islice(packets, 2)] != [pts[-1]]:
        raise WrongTimeline("scan")
    place = np.arange(len(pts))
    return Timeline(
        pts,
        np.ones(len(pts), bool),
        place,
        place,
        float(stream.time_base or 1),
        seekable=True,
        places=pos,
        damage=_describe_lack(len(pts), stream.frames),
    )


def _list_packets(container: InputContainer, stream: VideoStream) -> Timeline:
    path, demuxer, context = get_path(container), container.format.name, stream.codec_context
    held: list[Packet] | None = []
    held_bytes = missing = empty = 0
    damage = ""
    rows: list[tuple[int, int, bool, bool, bool, int]] = []
    indexed, promised = len(stream.index_entries), _count_promised(container, stream)
    with capture_log() as lines:
        for packet in iter_packets(container, stream):
            if isinstance(packet, str):
                damage = damage or f"the file is damaged ({packet})"
                continue
            pts, dts = packet.pts, packet.dts
            if not packet.size:
                empty += dts is not None  # the packet that ends the stream has no time
                continue
            missing += pts is None
            shown, decoded = (pts if pts is not None else dts or 0), (dts if dts is not None else pts or 0)
            pos = packet.pos if packet.pos is not None else -1
            rows.append((shown, decoded, packet.is_keyframe, packet.is_discard, packet.is_corrupt, pos))
            held_bytes += packet.size
            if held is not None and held_bytes <= HOLD_BYTES:
                held.append(packet)
            else:
                held = None
            if len(rows) >= MAX_PACKETS:
                damage = damage or f"only the first {MAX_PACKETS} frames were looked at"
                break
        if has_skipped(lines, demuxer) or has_skipped_on_opening(container):
            damage = damage or "the file is damaged (the container is broken)"
        torn = any("size mismatch" in text for _, _, text in lines)  # a part of a frame or sound is missing
    if not rows:
        raise ClipError(damage or "no video frames")
    pts, dts, *flags, found = np.array(rows, np.int64).T
    key, hidden, corrupt = (flag.astype(bool) for flag in flags)
    corrupt = np.flatnonzero(corrupt).tolist()
    broken = bool(corrupt)
    if "mpegts" in demuxer:
        joined = (
            not torn and all(_is_join(place, dts, key) for place in corrupt) and is_whole(path, stream.id)
        )
        broken = has_gap(path) or (broken and not joined)
    if broken:
        damage = damage or "the file is damaged (broken packets)"
    if "asf" in demuxer:
        promised = _count_at_even_rate(dts)  # ASF has no number of frames, and its demuxer skips broken ones
    damage = damage or _describe_lack(len(rows) + empty, promised)
    damage = damage or _describe_lost_places(container, found)
    damage = damage or _describe_wrong_times(container, stream, dts)
    if not damage and checksums.is_broken(path, demuxer):
        damage = "the file is damaged (a checksum is wrong)"
    blind = "avi" in demuxer and not context.codec.intra_only and context.name not in PARSED
    if not key.any() or (blind and indexed < len(rows)):
        key[:], key[0] = False, True
    # AVI has no presentation times: with reordered frames, those that FFmpeg gives are wrong guesses.
    timed = not missing and "avi" not in demuxer
    reordered = bool(context.has_b_frames)
    if missing and not reordered:
        pts = dts
    # Frames before the first key frame cannot be decoded. A broadcast is cut anywhere, a file is not.
    early = np.arange(len(pts)) < np.flatnonzero(key)[0]
    if (early & ~hidden).any() and "mpeg" not in demuxer:
        damage = damage or f"the first {int(early.sum())} of {len(rows)} frames have lost their key frame"
    shown = ~hidden & ~early
    order = np.flatnonzero(shown)
    order = order[np.argsort(pts[order], kind="stable")]
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
        known=(timed or not reordered) and bool((np.diff(pts[order]) > 0).all()),
        damage=damage,
        packets=held,
    )


def _count_promised(container: InputContainer, stream: VideoStream) -> int:
    """Return the number of shown frames according to the header; 0 if it has none."""
    entries, told = stream.index_entries, stream.frames
    if not 0 < len(entries) < told:
        return told
    # An MP4's index is its header; frames hidden for good by an edit list are not in the index. An AVI has
    # one rate, and its header counts ticks: those without a new frame are not in the index.
    if "mov" in container.format.name or (
        "avi" in container.format.name and entries[-1].timestamp >= MOST * told
    ):
        return len(entries)
    return told


def _count_at_even_rate(dts: np.ndarray) -> int:
    """Return the number of frames without gaps; 0 for a variable rate."""
    steps = np.diff(dts)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0 or np.mean(np.abs(steps - usual) <= max(1.5, 0.1 * usual)) < EVEN:
        return 0
    return round(float(dts[-1] - dts[0]) / usual) + 1


def _describe_lack(there: int, promised: int) -> str:
    """Describe a large lack of frames; cameras miscount by one or two, and drop some under load."""
    return (
        f"{there} of {promised} frames that the header announces are there" if there < MOST * promised else ""
    )


def _describe_lost_places(container: InputContainer, found: np.ndarray) -> str:
    """Describe entries of an AVI's index that point to no frame: its demuxer skips them.

    An index that is wrong as a whole is no sign of damage.
    """
    if "avi" not in container.format.name:
        return ""
    with open_video(get_path(container)) as (
        _,
        indexed,
    ):  # a file that is scanned was opened without its index
        told = np.array([e.pos for e in indexed.index_entries if e.size > 0], np.int64)
    lost = len(told) - int(np.isin(told + CHUNK_HEADER, found).sum())
    if not 0 < lost <= len(told) // 2:
        return ""
    return f"{tally_part(lost, len(told), 'frames are damaged')}: they are not where the index says"


def _describe_wrong_times(container: InputContainer, stream: VideoStream, dts: np.ndarray) -> str:
    """Describe decoding times `dts` of an MP4 that cannot be those of its frames."""
    if "mov" not in container.format.name:
        return ""
    stopped = len(dts) > 1 and float((np.diff(dts) == 0).mean()) > 1 - MOST
    # Without a clock in the file FFmpeg assumes one of seconds, and an edit list then hides nearly all.
    no_clock = stream.frames > 1 and not stream.duration and stream.time_base == 1
    return "the file is damaged (the times of its frames are wrong)" if stopped or no_clock else ""


def _is_join(place: int, dts: np.ndarray, key: np.ndarray) -> bool:
    """Return whether a packet of an MPEG-TS is marked broken only because another recording was appended.

    The packets' counter then jumps, as if some were lost; but a key frame follows, and the clock restarts or
    continues without a gap. FFmpeg marks the last packet or the one before it.
    """
    usual = float(np.median(np.abs(np.diff(dts)))) if len(dts) > 1 else 0.0
    nexts = [k for k in (place, place + 1, place + 2) if 0 < k < len(key) and key[k]]
    return any(dts[k] < dts[k - 1] or dts[k] - dts[k - 1] <= 2.5 * usual for k in nexts)
