"""The packets of a file, in the order of decoding, and what a decoder's errors mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from av.error import EOFError as EndOfFile
from av.error import FFmpegError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

MAX_PACKETS = 2_000_000  # about nine hours at 60 frames a second
MAX_READ_ERRORS = 50


def iter_packets(
    container: InputContainer,
    stream: VideoStream | list[VideoStream],
    empty: list[int] | None = None,
) -> Iterator[Packet | str]:
    """All packets that hold video, in the order of decoding; a text where reading failed and went on.

    Args:
        container: an opened file.
        stream: its video stream, or several.
        empty: to the first element of this the number of packets without bytes is added.
    """
    errors = 0
    while True:
        try:
            for packet in container.demux(stream):
                # Cameras write empty packets for frames they dropped; to a decoder they mean the end.
                if packet.size:
                    errors = 0
                    yield packet
                elif empty is not None and packet.dts is not None:  # the one that ends the stream has no time
                    empty[0] += 1
            return
        except EndOfFile:
            return
        except (FFmpegError, OSError, MemoryError, IndexError) as error:
            # IndexError: a damaged MPEG-TS seems to begin another stream midway.
            errors += 1
            yield reason_of(error)
            if errors >= MAX_READ_ERRORS:
                return


def reason_of(error: BaseException) -> str:
    """What a decoder's error means, without the file's name or bytes in it."""
    if isinstance(error, MemoryError):
        return "it needs more memory than a clip may take"
    # Demuxers give these for headers that make no sense; to a person they say something else.
    if getattr(error, "errno", None) in (errno.EPERM, errno.EAGAIN, errno.ERANGE, errno.EINVAL):
        return "invalid data"
    strerror = getattr(error, "strerror", None)
    return str(strerror) if strerror else "invalid data"
