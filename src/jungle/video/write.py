"""Write clips: the rendered sample, the smaller copies of `jungle shrink`, and what the tests read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

CLOCK = 90_000  # ticks a second: every usual frame rate divides it, or nearly


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
        path: written in place; callers that may be killed write beside and rename (`jungle.files.replacing`).
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
    import av

    rate = Fraction(fps).limit_denominator(1001)
    written = 0
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        stream: VideoStream | None = None
        for image in frames:
            if stream is None:
                stream = _video_stream(out, codec, rate, pix_fmt, image.shape, options, times is not None)
                if rotation:
                    stream.set_display_rotation(rotation)
                if audio_s:
                    _write_audio(out, audio_s)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_color_range=2 if pix_fmt.startswith("yuvj") else None)
            if times is not None:
                frame.pts, frame.time_base = round(times[written] * CLOCK), Fraction(1, CLOCK)
            else:
                frame.pts, frame.time_base = written, 1 / rate
            out.mux(stream.encode(frame))
            written += 1
        if stream is None:
            raise ValueError("no frames to write")
        out.mux(stream.encode(None))
    return written


def _video_stream(
    out: OutputContainer,
    codec: str,
    rate: Fraction,
    pix_fmt: str,
    shape: tuple[int, ...],
    options: dict[str, str] | None,
    variable: bool,
) -> VideoStream:
    # One thread: the same frames give the same bytes on any number of cores.
    stream: Any = out.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
    stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], pix_fmt
    if variable:
        stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
    return stream


def _write_audio(out: OutputContainer, seconds: float) -> None:
    import av

    rate, block = 16_000, 1024
    name = Path(out.name).suffix.lower()
    stream = out.add_stream("pcm_s16le" if name == ".avi" else "aac", rate=rate, layout="mono")
    wave = (np.sin(np.arange(int(seconds * rate)) * 0.1) * 1000).astype(np.int16)
    for start in range(0, len(wave) - block, block):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + block], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
