"""Open a media file with PyAV so that a hostile or broken one can do no more than fail."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av
from av.error import FFmpegError
from av.stream import Disposition

from jungle.video.container.packets import MAX_PACKETS, iter_packets, reason_of
from jungle.video.decoders.trust import ERROR, listening
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
MP4_BOXES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"wide",
    b"free",
    b"skip",
    b"pnot",
)  # what an MP4 or MOV may begin with
# How files that are nothing but frames begin, by demuxer.
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
BEGINNINGS = {
    "mjpeg": re.compile(rb"\xff\xd8"),
    **dict.fromkeys(("mpeg", "mpegvideo", "m4v", "h264", "hevc"), _START_CODE),
}
MAX_PIXELS = 8192 * 8192  # of one frame; a header that claims more is damaged
LOOKED_AT = 100  # packets of a stream in which its first frame is looked for, to learn its true size
# What decoders compare only where they are asked: Microsoft's MPEG-4 what was read of a frame with what there
# is of it, HEVC its pictures with the checksums that some encoders write. Asked likewise, those of MPEG-4
# complain of sound files, and others say no more than they do anyway.
QUIET = ("msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2")
CHECKS = {**dict.fromkeys(QUIET, "bitstream+buffer"), "hevc": "crccheck"}
# Containers that are packets from beginning to end. The first of them, of a short clip all, are read while
# the file is opened; what is said then of the header of another may concern chapters or other streams.
UNINDEXED = ("asf", "flv", "ogg", "mpeg", "matroska")


def check_file(path: str | Path) -> int:
    """Size in bytes of a regular file that can be read.

    Raises:
        ClipError: it is missing, a folder, a pipe, a device, empty or forbidden.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ClipError("dangling link" if os.path.islink(path) else "no such file") from None
    except (OSError, ValueError) as error:
        raise ClipError(f"cannot be opened: {_os_reason(error)}") from None
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
def opened(path: str | Path, trust_index: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the file and its main video stream (see `main_stream`), set to decode on one thread.

    Args:
        path: the file.
        trust_index: let the file's index lead. Else an AVI's chunks are read as they lie, and the first
            frames of an MP4 are decoded in search of what its index says already: how frames are reordered.

    Raises:
        ClipError: it is no video file, or its header claims impossible frames.
    """
    with _demuxed(path, trust_index) as container:
        stream = main_stream(container, path)
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise ClipError(f"its header claims frames of {context.width}x{context.height} pixels")
        _restrain(stream)
        yield container, stream


@contextmanager
def _demuxed(path: str | Path, trust_index: bool) -> Iterator[InputContainer]:
    """Open a file so that nothing but the file itself is read, whatever it says."""
    check_file(path)
    # "file:" keeps a name such as "concat:a.mp4" a name; the white lists keep content from opening more.
    url = "file:" + os.path.abspath(path)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(DEMUXERS),
        "max_pixels": str(MAX_PIXELS),
        "threads": "1",
    }
    with ExitStack() as stack:
        source: Any = url
        head = _head(path)
        if head[:4] == b"RIFF" and not trust_index:
            source = _OneWay(stack.enter_context(open(path, "rb")))
        if head[4:8] in MP4_BOXES and trust_index:
            options["skip_frame"] = "all"  # while opening; `main_stream` makes a decoder of its own
        try:
            with listening() as lines:
                container: Any = av.open(source, mode="r", options=options, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError, UnicodeError, MemoryError, OverflowError) as error:
            raise ClipError(f"not a readable video: {reason_of(error)}") from None
        if passed_over(lines, container.format.name):
            _complained.add(id(container))
        try:
            _paths[id(container)] = os.path.abspath(path)
            yield container
        finally:
            _complained.discard(id(container))
            _paths.pop(id(container), None)
            container.close()


_complained: set[int] = set()
"""Open containers whose demuxer said of an error while it was opened; PyAV's objects can bear no mark."""
_paths: dict[int, str] = {}
"""Of open containers."""


def passed_over(lines: Iterable[tuple[int, str, str]], demuxer: str) -> bool:
    """Whether a demuxer said that it passed over something; ASF's is quiet about frames that lack parts."""
    return any(
        name == demuxer and (level <= ERROR or "incomplete packet" in text) for level, name, text in lines
    )


def was_broken(container: InputContainer) -> bool:
    """Whether the demuxer passed over something broken when the file was opened, in packets read ahead."""
    return id(container) in _complained and any(name in container.format.name for name in UNINDEXED)


class _OneWay:
    """A file that cannot seek: the AVI demuxer then has no use for the index at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _head(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError:
        return b""


def main_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """The main picture of a file: the one video stream that every decoder, the index and `shrink` read.

    Cameras, phones and editors put previews, thumbnails and covers beside it, before it or after it. The main
    picture is no cover picture and no stream of one frame beside one of many; of the streams that are left it
    is the one of most pixels, then of most frames, then the first.

    Args:
        container: the file, just opened; nothing of it is read here.
        path: the same file, which is read once more where it holds several such streams.

    Raises:
        ClipError: there is no video stream.
    """
    streams = _candidates(container)
    if not streams:
        if container.streams.video:
            raise ClipError("its video is of a codec that is not known")
        raise ClipError("audio only: no video stream" if container.streams.audio else "no video stream")
    if len(streams) == 1:
        return streams[0]
    status = os.stat(path)
    version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    index = _main_of(os.path.abspath(path), version)
    found = next((s for s in streams if s.index == index), None)
    if found is None:
        raise ClipError("the file was replaced while it was read")
    return found


def unknown_beside(container: InputContainer) -> str:
    """What to say of a file that holds a video stream of a codec that is not known; empty for most.

    That stream may be the main picture, and what can be read a preview of it.
    """
    unknown = any(s.codec_context is None for s in container.streams.video)
    return "another video stream in the file is of a codec that is not known" if unknown else ""


def path_of(container: InputContainer) -> str:
    """The path of an opened file."""
    return _paths.get(id(container)) or container.name.removeprefix("file:")


def lost_head(container: InputContainer) -> str:
    """What to say where a file holds frames but does not begin as a file of them does; empty for most.

    FFmpeg finds such frames anywhere, in a PDF too: without their container their times are guessed.
    """
    begins = BEGINNINGS.get(container.format.name)
    if begins is None or begins.match(_head(path_of(container))):
        return ""
    return "the beginning of the file is lost, and the times of its frames with it"


def _candidates(container: InputContainer) -> list[VideoStream]:
    """Video streams with a decoder, but for cover pictures (which their disposition tells) beside a film."""
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
def _main_of(path: str, version: tuple[int, ...]) -> int:
    """The index of the main picture of a file with several; `version` tells one file of a name from another.

    Headers say too little for this: MPEG-TS and Matroska tell no number of frames, and sizes may be wrong. So
    every packet is looked at, and the first frame of each stream is decoded.
    """
    with _demuxed(path, trust_index=False) as container:
        streams = {s.index: s for s in _candidates(container)}
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
                pass  # a broken packet tells no size

        for stream in streams.values():
            _restrain(stream)
        for packet in islice(iter_packets(container, list(streams.values())), MAX_PACKETS):
            if isinstance(packet, str) or packet.is_discard or packet.stream_index not in streams:
                continue
            index = packet.stream_index
            counts[index] += 1
            if index in unseen and counts[index] <= LOOKED_AT:
                look(index, packet)
        for index in sorted(unseen):
            if 0 < counts[index] <= LOOKED_AT:  # all of it may still be held back for reordering
                look(index, None)
    # A film of which only one frame is left is still a film: the clip is then said to be damaged.
    counts = {i: max(n, told[i]) for i, n in counts.items()}
    # A single frame beside a film is a thumbnail, however large; a stream without any is nothing.
    least = min(2, max(counts.values()))
    films = [i for i in streams if counts[i] >= least]
    return max(films, key=lambda i: (pixels[i], counts[i], -i))


def _os_reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
