"""Open a media file with PyAV, safely: a hostile or broken file can only fail."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import av
from av.error import FFmpegError
from av.stream import Disposition

from jungle.video.container.packets import MAX_PACKETS, describe_error, read_packets
from jungle.video.decoders.trust import ERROR, capture_log
from jungle.video.types import ClipError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Demuxers of single media files. Playlists (hls, concat, dash) and devices open other files: left out.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "avi,asf,asf_o,matroska,webm,mpegts,mpegtsraw,mpeg,mpegvideo,flv,ogg,mjpeg,m4v,h264,hevc,obu,ivf,dv,mxf,nut,rm,wtv",
)
# The first box of an MP4 or MOV.
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# The first bytes of files that hold nothing but frames, by demuxer.
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
BEGINNINGS = {
    "mjpeg": re.compile(rb"\xff\xd8"),
    **dict.fromkeys(("mpeg", "mpegvideo", "m4v", "h264", "hevc"), _START_CODE),
}
MAX_PIXELS = 8192 * 8192  # of one frame; a header that claims more is damaged
LOOKED_AT = 100  # packets of a stream in which its first frame is looked for, to learn its true size
# Checks that decoders make only on request: Microsoft's MPEG-4 compares the bytes read with those of the
# frame, HEVC its pictures with the checksums that some encoders write. With such requests the decoder of
# MPEG-4 complains of sound files, and the others report nothing more.
QUIET = ("msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2")
CHECKS = {**dict.fromkeys(QUIET, "bitstream+buffer"), "hevc": "crccheck"}
# Containers made of packets from beginning to end. Opening the file reads the first packets, in a short clip
# all of them; for other containers an error on opening may concern chapters or other streams.
UNINDEXED = ("asf", "flv", "ogg", "mpeg", "matroska")


class _Opened(NamedTuple):
    path: str
    complained: bool
    """The demuxer reported an error while the file was opened."""


_opened: dict[int, _Opened] = {}
"""Open containers by `id`; PyAV's objects take no attributes."""


def check_file(path: str | Path) -> int:
    """Return the size in bytes of a regular file that can be read.

    Raises:
        ClipError: it is missing, a folder, a pipe, a device, empty or forbidden.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ClipError("dangling link" if os.path.islink(path) else "no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ClipError(f"cannot be opened: {reason}") from None
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        raise ClipError(f"not a file but {names.get(kind, 'a device')}")
    if not os.access(path, os.R_OK):
        raise ClipError("no permission to read it")
    if status.st_size == 0:
        raise ClipError("empty file (0 bytes)")
    return status.st_size


@contextmanager
def open_video(path: str | Path, trust_index: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its main video stream (see `find_main_stream`), set to decode on one thread.

    Args:
        path: the file.
        trust_index: follow the file's index. Otherwise an AVI's chunks are read in file order, and the first
            frames of an MP4 are decoded to find out how frames are reordered, which its index states already.

    Raises:
        ClipError: it is not a video file, or its header claims impossible frames.
    """
    with _open_container(path, trust_index) as container:
        stream = find_main_stream(container, path)
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise ClipError(f"its header claims frames of {context.width}x{context.height} pixels")
        _restrain(stream)
        yield container, stream


@contextmanager
def _open_container(path: str | Path, trust_index: bool) -> Iterator[InputContainer]:
    """Open a file so that nothing but the file itself is read, whatever its content asks for."""
    check_file(path)
    # "file:" keeps a name such as "concat:a.mp4" a name; the white lists keep content from opening more.
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(DEMUXERS),
        "max_pixels": str(MAX_PIXELS),
        "threads": "1",
    }
    with ExitStack() as stack:
        source: object = "file:" + os.path.abspath(path)
        head = _read_head(path)
        if head[:4] == b"RIFF" and not trust_index:
            # A file that cannot seek: the AVI demuxer then ignores the index at its end.
            source = SimpleNamespace(read=stack.enter_context(open(path, "rb")).read)
        if head[4:8] in MP4_BOXES and trust_index:
            options["skip_frame"] = "all"  # while opening; `find_main_stream` makes a decoder of its own
        try:
            with capture_log() as lines:
                container = av.open(source, mode="r", options=options, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError, UnicodeError, MemoryError, OverflowError) as error:
            raise ClipError(f"not a readable video: {describe_error(error)}") from None
        _opened[id(container)] = _Opened(os.path.abspath(path), has_skipped(lines, container.format.name))
        try:
            yield container
        finally:
            del _opened[id(container)]
            container.close()


def has_skipped(lines: Iterable[tuple[int, str, str]], demuxer: str) -> bool:
    """Return whether a demuxer reported that it skipped something; ASF's warns only of incomplete packets."""
    return any(
        name == demuxer and (level <= ERROR or "incomplete packet" in text) for level, name, text in lines
    )


def has_skipped_on_opening(container: InputContainer) -> bool:
    """Return whether the demuxer skipped broken packets when it read ahead on opening."""
    return _opened[id(container)].complained and any(name in container.format.name for name in UNINDEXED)


def get_path(container: InputContainer) -> str:
    """Return the path of a file opened by `open_video`."""
    return _opened[id(container)].path


def _read_head(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError:
        return b""


def find_main_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """Return the video stream with the main picture, which every decoder, the index and `shrink` read.

    Cameras, phones and editors add previews, thumbnails and covers, before or after it. The main picture is
    no cover and not a single frame among longer streams; of the rest it has the most pixels, then the most
    frames, then the lowest number. If a file holds several such streams, it is read once more.

    Raises:
        ClipError: there is no video stream.
    """
    streams = _list_candidates(container)
    if not streams:
        if container.streams.video:
            raise ClipError("its video codec is unknown")
        raise ClipError("audio only: no video stream" if container.streams.audio else "no video stream")
    if len(streams) == 1:
        return streams[0]
    status = os.stat(path)
    version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    index = _find_main_index(os.path.abspath(path), version)
    found = next((s for s in streams if s.index == index), None)
    if found is None:
        raise ClipError("the file was replaced while it was read")
    return found


def describe_unknown_stream(container: InputContainer) -> str:
    """Describe a second video stream of an unknown codec, which may be the main picture; empty if none."""
    unknown = any(s.codec_context is None for s in container.streams.video)
    return "another video stream in the file has an unknown codec" if unknown else ""


def describe_lost_beginning(container: InputContainer) -> str:
    """Describe a file of bare frames whose first bytes are lost; empty for most.

    FFmpeg finds such frames anywhere, in a PDF too: without their container their times are guessed.
    """
    begins = BEGINNINGS.get(container.format.name)
    if begins is None or begins.match(_read_head(get_path(container))):
        return ""
    return "the beginning of the file is lost, and the times of its frames with it"


def _list_candidates(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that have a decoder; cover pictures only if there is nothing else."""
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [s for s in container.streams.video if s.codec_context is not None]
    return [s for s in streams if not s.disposition & pictures] or streams


def _restrain(stream: VideoStream) -> None:
    context = stream.codec_context
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a frame's own header may claim more than the file's
    if asked := CHECKS.get(context.name):
        context.options = {**context.options, "err_detect": asked}
    context.thread_count = 1
    context.thread_type = "NONE"


@lru_cache(maxsize=64)  # a clip is opened several times in a row
def _find_main_index(path: str, version: tuple[int, ...]) -> int:
    """Return the index of the main picture; `version` distinguishes files that had the same name.

    Headers are not enough: MPEG-TS and Matroska give no number of frames, and sizes may be wrong. So every
    packet is read, and the first frame of each stream is decoded.
    """
    with _open_container(path, trust_index=False) as container:
        streams = {s.index: s for s in _list_candidates(container)}
        counts = dict.fromkeys(streams, 0)
        told = {i: s.frames for i, s in streams.items()}  # 0 where the header does not say
        pixels = {i: s.codec_context.width * s.codec_context.height for i, s in streams.items()}
        unseen = set(streams)

        def look(index: int, packet: Packet | None) -> None:
            try:
                for frame in streams[index].codec_context.decode(packet):
                    pixels[index] = frame.width * frame.height
                    unseen.discard(index)
            except (FFmpegError, ValueError):
                pass  # a broken packet has no size

        for stream in streams.values():
            _restrain(stream)
        for packet in islice(read_packets(container, list(streams.values())), MAX_PACKETS):
            if packet.is_discard or packet.stream_index not in streams:
                continue
            index = packet.stream_index
            counts[index] += 1
            if index in unseen and counts[index] <= LOOKED_AT:
                look(index, packet)
        for index in sorted(unseen):
            if 0 < counts[index] <= LOOKED_AT:  # all of it may still be held back for reordering
                look(index, None)
    # A film of which only one frame is left is still a film: the clip is then damaged.
    counts = {i: max(n, told[i]) for i, n in counts.items()}
    # A single frame in a file with a film is a thumbnail, however large.
    least = min(2, max(counts.values()))
    films = [i for i in streams if counts[i] >= least]
    return max(films, key=lambda i: (pixels[i], counts[i], -i))
