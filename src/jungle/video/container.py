"""Open a media file with PyAV so that a hostile or broken one can do no more than fail."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from jungle.video.types import ClipError

if TYPE_CHECKING:
    from av.container import InputContainer
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
MAX_PIXELS = 8192 * 8192  # of one frame; a header that claims more is damaged


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
    """Open the file and its first real video stream, set to decode on one thread.

    Args:
        path: the file.
        trust_index: let the file's index lead. Else an AVI's chunks are read as they lie, and the first
            frames of an MP4 are decoded in search of what its index says already: how frames are reordered.

    Raises:
        ClipError: it is no video file, or its header claims impossible frames.
    """
    import av
    from av.error import FFmpegError

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
            options["skip_frame"] = "all"  # while opening; `_video_stream` makes a decoder of its own
        try:
            container: Any = av.open(source, mode="r", options=options, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError, UnicodeError, MemoryError, OverflowError) as error:
            raise ClipError(f"not a readable video: {reason_of(error)}") from None
        try:
            yield container, _video_stream(container)
        finally:
            container.close()


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


def _video_stream(container: InputContainer) -> VideoStream:
    # Cover pictures are video streams too; their disposition tells them.
    streams = [s for s in container.streams.video if s.codec_context is not None]
    real = [s for s in streams if not _is_picture(s)] or streams
    if not real:
        raise ClipError("audio only: no video stream" if container.streams.audio else "no video stream")
    stream = real[0]
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise ClipError(f"its header claims frames of {context.width}x{context.height} pixels")
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a frame's own header may claim more than the file's
    context.thread_count = 1
    context.thread_type = "NONE"
    return stream


def _is_picture(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def reason_of(error: BaseException) -> str:
    """What a decoder's error means, without the file's name or bytes in it."""
    if isinstance(error, MemoryError):
        return "it needs more memory than a clip may take"
    # Demuxers give these for headers that make no sense; to a person they say something else.
    if getattr(error, "errno", None) in (errno.EPERM, errno.EAGAIN, errno.ERANGE, errno.EINVAL):
        return "invalid data"
    strerror = getattr(error, "strerror", None)
    return str(strerror) if strerror else "invalid data"


def _os_reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
