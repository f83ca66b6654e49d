"""Write a clip from what is converted or compressed already: planes, JPEG pictures, the packets of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream


def write_planes(
    path: Path, planes: Iterable[np.ndarray], size: tuple[int, int], fps: int, options: dict[str, str]
) -> None:
    """Write full-range 4:2:0 H.264. PyAV's own conversion would start a pool of threads for each frame.

    Args:
        path: written in place; its suffix says the container.
        planes: of each frame, uint8 `[3/2 H, W]`: the brightness, below it the two colours.
        size: height and width.
        fps: frames a second.
        options: of libx264.
    """
    import av

    with _writing(path, size, fps, "libx264", options) as (out, stream):
        for i, of_frame in enumerate(planes):
            frame = av.VideoFrame.from_ndarray(of_frame, format="yuvj420p")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def write_jpegs(path: Path, jpegs: Iterable[bytes], size: tuple[int, int], fps: int) -> None:
    """Write Motion JPEG, a file of pictures that are compressed already; arguments as of `write_planes`."""
    import av

    with _writing(path, size, fps, "mjpeg", {}) as (out, stream):
        for i, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.is_keyframe = stream, True
            packet.pts, packet.dts, packet.time_base = i, i, Fraction(1, fps)
            out.mux(packet)


@contextmanager
def _writing(
    path: Path, size: tuple[int, int], fps: int, codec: str, options: dict[str, str]
) -> Iterator[tuple[OutputContainer, VideoStream]]:
    import av

    with av.open(str(path), "w") as out:
        stream = cast("VideoStream", out.add_stream(codec, rate=fps, options=options))
        stream.height, stream.width, stream.pix_fmt = *size, "yuvj420p"
        yield out, stream


def write_again(once: Path, path: Path, copies: int, seconds: int) -> None:
    """Write the packets of `once`, which lasts so many seconds, several times over, one after another."""
    import av

    with av.open(str(path), "w") as out:
        stream: Any = None
        for copy in range(copies):
            with av.open(str(once)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                assert video.time_base is not None
                shift = round(Fraction(copy * seconds) / video.time_base)
                for packet in source.demux(video):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        out.mux(packet)
