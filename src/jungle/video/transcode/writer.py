"""Write clips: the rendered sample, the smaller copies of `jungle shrink`, and what the tests read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.container import OutputContainer

CLOCK = 90_000  # ticks a second: every usual frame rate divides it, or nearly


class ClipWriter:
    """Encodes frames one by one into a file; a context manager. See `write_clip` for the arguments."""

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 30,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        container: str | None = None,
        container_options: dict[str, str] | None = None,
        variable: bool = False,
        rotation: int = 0,
        audio_s: float = 0,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._convert = VideoReformatter().reformat
        slow = fps < 1  # as timelapses are: it is the seconds from frame to frame that have few digits then
        self._rate = (
            1 / Fraction(1 / fps).limit_denominator(1001) if slow else Fraction(fps).limit_denominator(1001)
        )
        self._codec, self._pix_fmt, self._options = codec, pix_fmt, options or {}
        self._variable, self._rotation, self._audio_s = variable, rotation, audio_s
        # Bit exact: no random identifiers and no version of the library in the file.
        muxing = {"fflags": "+bitexact", **(container_options or {})}
        self._out = av.open(str(path), "w", format=container, container_options=muxing)
        self._out.metadata.update(metadata or {})
        self._stream: Any = None  # made by the first frame, which has the size
        self.written = 0
        """Frames so far."""

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Encode one frame, uint8 `[H, W, 3]` RGB; `time` in seconds where the rate is variable."""
        stream = self._stream = self._stream or self._begin(image.shape)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        full_range = 2 if self._pix_fmt.startswith("yuvj") else None
        # By one converter on one thread: `frame.reformat` starts a pool of threads for each frame.
        frame = self._convert(frame, format=self._pix_fmt, dst_color_range=full_range, threads=1)
        if self._variable:
            assert time is not None
            frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        else:
            frame.pts, frame.time_base = self.written, 1 / self._rate
        self._out.mux(stream.encode(frame))
        self.written += 1

    def _begin(self, shape: tuple[int, ...]) -> Any:
        # One thread: the same frames give the same bytes on any number of cores.
        options = {"threads": "1", **self._options}
        stream: Any = self._out.add_stream(self._codec, rate=self._rate, options=options)
        stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], self._pix_fmt
        if self._variable:
            stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        if self._rotation:
            stream.set_display_rotation(self._rotation)
        if self._audio_s:
            _write_audio(self._out, self._audio_s)
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
    fps: float = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    *,
    times: Sequence[float] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    audio_s: float = 0,
    metadata: dict[str, str] | None = None,
) -> int:
    """Encode frames into a file whose suffix says the container.

    Args:
        path: written in place; callers that may be killed use `jungle.files.replace_atomically`.
        frames: uint8 `[H, W, 3]` RGB, all of one size. 4:2:0 formats need even sides.
        fps: frames a second.
        codec: an FFmpeg encoder: `libx264`, `libx265`, `mjpeg`, `mpeg4`, `msmpeg4`, `libvpx-vp9`...
        pix_fmt: an FFmpeg pixel format.
        options: of the encoder, such as `{"crf": "23", "g": "60"}`.
        times: seconds at which each frame is shown, ascending, for a variable rate; else it is constant.
        container_options: of the muxer, such as `{"movflags": "faststart"}`.
        rotation: degrees counter-clockwise by which players are told to turn the frames: 0, 90, 180 or 270.
        audio_s: seconds of a quiet tone beside the video.
        metadata: of the container, such as `{"creation_time": "2026-01-01T00:00:00Z"}`.

    Returns:
        How many frames were written.

    Raises:
        ValueError: there are no frames.
    """
    writer = ClipWriter(
        path,
        fps=fps,
        codec=codec,
        pix_fmt=pix_fmt,
        options=options,
        container_options=container_options,
        variable=times is not None,
        rotation=rotation,
        audio_s=audio_s,
        metadata=metadata,
    )
    with writer:
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
