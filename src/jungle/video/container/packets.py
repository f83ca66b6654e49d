"""The packets of a file, in decoding order, and readable reasons for a decoder's errors."""

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


def read_packets(container: InputContainer, stream: VideoStream | list[VideoStream]) -> Iterator[Packet]:
    """Yield the packets with bytes that can be read, in decoding order."""
    return (p for p in iter_packets(container, stream) if not isinstance(p, str) and p.size)


def iter_packets(
    container: InputContainer, stream: VideoStream | list[VideoStream]
) -> Iterator[Packet | str]:
    """Yield all packets in decoding order, and a reason each time reading failed and continued.

    Cameras write packets without bytes for frames they dropped. A decoder takes them for the end of the
    stream.
    """
    errors = 0
    while True:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    errors = 0
                yield packet
            return
        except EndOfFile:
            return
        except (FFmpegError, OSError, MemoryError, IndexError) as error:
            # IndexError: in a damaged MPEG-TS another stream seems to begin midway.
            errors += 1
            yield describe_error(error)
            if errors >= MAX_READ_ERRORS:
                return


def describe_error(error: BaseException) -> str:
    """Return why a decoder failed, without the file's name or bytes."""
    if isinstance(error, MemoryError):
        return "it needs more memory than a clip may take"
    # Demuxers use these numbers for headers that make no sense; their usual text would mislead.
    if getattr(error, "errno", None) in (errno.EPERM, errno.EAGAIN, errno.ERANGE, errno.EINVAL):
        return "invalid data"
    return str(getattr(error, "strerror", None) or "invalid data")
