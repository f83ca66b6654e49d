"""Write clips: the rendered sample, the smaller copies of `jungle shrink`, and test clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

CLOCK = 90_000  # ticks a second: nearly every usual frame rate divides it


class Encoding(TypedDict, total=False):
    """How a clip is encoded."""

    fps: float
    """Frames a second; 30 by default."""
    codec: str
    """An FFmpeg encoder: `libx264` (the default), `libx265`, `mjpeg`, `mpeg4`, `msmpeg4`, `libvpx-vp9`..."""
    pix_fmt: str
    """An FFmpeg pixel format, `yuv420p` by default. 4:2:0 formats need even sides."""
    options: dict[str, str]
    """Of the encoder, such as `{"crf": "23", "g": "60"}`."""
    container: str | None
    """An FFmpeg muxer; by default that of the file's suffix."""
    container_options: dict[str, str]
    """Of the muxer, such as `{"movflags": "faststart"}`."""
    rotation: int
    """Degrees counter-clockwise by which players turn the frames: 0, 90, 180 or 270."""
    audio_s: float
    """Seconds of a quiet tone."""
    metadata: dict[str, str]
    """Of the container, such as `{"creation_time": "2026-01-01T00:00:00Z"}`."""


class ClipWriter:
    """Encoder of frames, one by one, into a file; a context manager.

    Args:
        path: written in place; callers that may be killed use `jungle.files.replace_atomically`.
        variable: each frame has a time of its own.
        **encoding: see `Encoding`.
    """

    def __init__(self, path: str | Path, *, variable: bool = False, **encoding: Unpack[Encoding]) -> None:
        self._convert = VideoReformatter().reformat
        fps = encoding.get("fps", 30)
        # For timelapses it is the seconds from frame to frame that have few digits.
        rate = Fraction(1 / fps if fps < 1 else fps).limit_denominator(1001)
        self._rate = 1 / rate if fps < 1 else rate
        self._encoding, self._variable = encoding, variable
        self._pix_fmt = encoding.get("pix_fmt", "yuv420p")
        # Bit exact: no random identifiers and no version of the library in the file.
        muxing = {"fflags": "+bitexact", **encoding.get("container_options", {})}
        self._out = av.open(str(path), "w", format=encoding.get("container"), container_options=muxing)
        self._out.metadata.update(encoding.get("metadata", {}))
        self._stream: VideoStream | None = None  # made by the first frame, which has the size
        self.written = 0
        """Frames so far."""

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Encode one frame, uint8 `[H, W, 3]` RGB, with its `time` in seconds if the rate is variable."""
        stream = self._stream = self._stream or self._begin(image.shape)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        full_range = 2 if self._pix_fmt.startswith("yuvj") else None
        # One converter on one thread: `frame.reformat` starts a pool of threads for each frame.
        frame = self._convert(frame, format=self._pix_fmt, dst_color_range=full_range, threads=1)
        if self._variable:
            assert time is not None
            frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        else:
            frame.pts, frame.time_base = self.written, 1 / self._rate
        self._out.mux(stream.encode(frame))
        self.written += 1

    def _begin(self, shape: tuple[int, ...]) -> VideoStream:
        # One thread: the same frames give the same bytes on any number of cores.
        options = {"threads": "1", **self._encoding.get("options", {})}
        codec = self._encoding.get("codec", "libx264")
        stream = cast("VideoStream", self._out.add_stream(codec, rate=self._rate, options=options))
        stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], self._pix_fmt
        if self._variable:
            stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        if rotation := self._encoding.get("rotation"):
            stream.set_display_rotation(rotation)
        if seconds := self._encoding.get("audio_s"):
            _write_audio(self._out, seconds)
        return stream

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._stream is not None and kind is None:
                self._out.mux(self._stream.encode(None))
        finally:
            self._out.close()


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    times: Sequence[float] | None = None,
    **encoding: Unpack[Encoding],
) -> int:
    """Encode frames into a file; return their number.

    Args:
        path: as for `ClipWriter`.
        frames: uint8 `[H, W, 3]` RGB, all of one size.
        times: seconds at which each frame is shown, ascending, for a variable rate.
        **encoding: see `Encoding`.

    Raises:
        ValueError: there are no frames.
    """
    with ClipWriter(path, variable=times is not None, **encoding) as writer:
        for number, image in enumerate(frames):
            writer.add(image, None if times is None else times[number])
    if not writer.written:
        raise ValueError("no frames to write")
    return writer.written


def _write_audio(out: OutputContainer, seconds: float) -> None:
    rate, block = 16_000, 1024
    name = Path(out.name).suffix.lower()
    stream = out.add_stream("pcm_s16le" if name == ".avi" else "aac", rate=rate, layout="mono")
    wave = (np.sin(np.arange(int(seconds * rate)) * 0.1) * 1000).astype(np.int16)
    for start in range(0, len(wave) - block, block):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + block], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_planes(
    path: Path, planes: Iterable[np.ndarray], size: tuple[int, int], fps: int, options: dict[str, str]
) -> None:
    """Write full-range 4:2:0 H.264 without a conversion of colours.

    Args:
        path: written in place; its suffix selects the container.
        planes: uint8 `[3/2 H, W]` per frame: brightness, below it the two colours.
        size: (height, width).
        fps: frames a second.
        options: of libx264.
    """
    with _open_stream(path, size, fps, "libx264", options) as (out, stream):
        for i, of_frame in enumerate(planes):
            frame = av.VideoFrame.from_ndarray(of_frame, format="yuvj420p")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def write_jpegs(path: Path, jpegs: Iterable[bytes], size: tuple[int, int], fps: int) -> None:
    """Write Motion JPEG from compressed pictures; arguments as of `write_planes`."""
    with _open_stream(path, size, fps, "mjpeg", {}) as (out, stream):
        for i, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.is_keyframe = stream, True
            packet.pts, packet.dts, packet.time_base = i, i, Fraction(1, fps)
            out.mux(packet)


@contextmanager
def _open_stream(
    path: Path, size: tuple[int, int], fps: int, codec: str, options: dict[str, str]
) -> Iterator[tuple[OutputContainer, VideoStream]]:
    with av.open(str(path), "w") as out:
        stream = cast("VideoStream", out.add_stream(codec, rate=fps, options=options))
        stream.height, stream.width, stream.pix_fmt = *size, "yuvj420p"
        yield out, stream


def repeat_clip(once: Path, path: Path, copies: int, seconds: int) -> None:
    """Write the packets of the clip `once`, `seconds` long, several times in a row."""
    with av.open(str(path), "w") as out:
        stream: VideoStream | None = None
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
