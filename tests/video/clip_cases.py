"""Clips as cameras and editors write them, each frame bearing its number as bars: no two look alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jungle.errors import UserError
from jungle.video.decoders import torchcodec
from jungle.video.transcode.writer import write_clip

LENGTH = 80
X265 = "log-level=none:scenecut=0:"


def numbered(count: int = LENGTH, height: int = 96, width: int = 128) -> Iterator[np.ndarray]:
    """Frames with their number in binary: eight cells, light or dark, over a ramp that tells up from down."""
    ramp = np.linspace(40, 200, height)[:, None] * np.ones(width)
    for number in range(count):
        image = np.repeat(ramp[..., None], 3, axis=2)
        image[: height // 3, :, 2] = 60
        for bit in range(8):
            left, right = bit * width // 8, (bit + 1) * width // 8
            top, bottom = height // 3, 2 * height // 3
            image[top:bottom, left:right] = 235 if number >> bit & 1 else 20
        yield image.astype(np.uint8)


def _gop(size: int, params: str = "") -> dict:
    return {"options": {"g": str(size), "keyint_min": str(size), "x264-params": f"scenecut=0:{params}"}}


def _write(**kwargs) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_clip(
            path, numbered(kwargs.get("count", LENGTH)), **{k: v for k, v in kwargs.items() if k != "count"}
        )

    return write


def _two_formats(path: Path) -> None:
    """A camera that switches from day (4:2:2) to night (4:2:0) in mid-stream."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj422p"
        night = av.CodecContext.create("mjpeg", "w")
        night.width, night.height, night.pix_fmt, night.time_base = 128, 96, "yuvj420p", Fraction(1, 30)
        for number, image in enumerate(numbered()):
            encoder = stream if number < LENGTH // 2 else night
            pix_fmt = "yuvj422p" if number < LENGTH // 2 else "yuvj420p"
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=pix_fmt, dst_color_range=2
            )
            frame.pts, frame.time_base = number, Fraction(1, 30)
            for packet in encoder.encode(frame):
                packet.stream = stream
                out.mux(packet)


def remux(source: Path, path: Path, shift: int = 0, options: dict | None = None) -> None:
    """Copy packets into another container, `shift` ticks later."""
    with av.open(str(source)) as old, av.open(str(path), "w", container_options=options or {}) as new:
        video = old.streams.video[0]
        stream = new.add_stream_from_template(video)
        for packet in old.demux(video):
            if packet.size:
                packet.pts = packet.pts + shift
                packet.dts = packet.dts + shift
                packet.stream = stream
                new.mux(packet)


def _shifted(frames: int, options: dict | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        plain = path.with_name(f"plain_{path.stem}.mp4")
        write_clip(plain, numbered(), fps=30, **_gop(10))
        with av.open(str(plain)) as container:
            ticks = round(frames / 30 / container.streams.video[0].time_base)
        remux(plain, path, ticks, options)
        plain.unlink()

    return write


def _without_durations(path: Path) -> None:
    # A live MKV: no duration, no cues, segment of unknown length.
    write_clip(
        path,
        numbered(),
        codec="libvpx-vp9",
        options={"cpu-used": "8", "deadline": "realtime", "g": "20"},
        container_options={"live": "1"},
    )


VARIABLE = [i / 25 + (i % 3) * 0.012 + (0.7 if i > 40 else 0) for i in range(LENGTH)]

CASES: dict[str, Callable[[Path], None]] = {
    "h264_gop30.mp4": _write(**_gop(30)),
    "h264_gop60.mp4": _write(**_gop(60)),
    "h264_gop250.mp4": _write(**_gop(250)),
    "h264_no_b.mp4": _write(options={"g": "12", "bf": "0"}),
    "h264_b_pyramid.mp4": _write(**_gop(24, "bframes=7:b-pyramid=normal:b-adapt=0:ref=4")),
    "h264_open_gop.mp4": _write(**_gop(12, "open-gop=1:bframes=3")),
    "h264_intra.mp4": _write(options={"g": "1"}),
    "h264.mov": _write(**_gop(15)),
    "h264.mts": _write(**_gop(15)),
    "h264.mkv": _write(**_gop(15)),
    "h264_no_b.avi": _write(options={"g": "12", "bf": "0"}),
    "h264_b.avi": _write(**_gop(12)),
    "hevc_closed.mp4": _write(
        codec="libx265", options={"x265-params": X265 + "open-gop=0:keyint=12:min-keyint=12"}
    ),
    "hevc_open.mp4": _write(
        codec="libx265", options={"x265-params": X265 + "open-gop=1:keyint=12:min-keyint=12"}
    ),
    "hevc_10bit.mp4": _write(
        codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": X265 + "open-gop=0:keyint=20"}
    ),
    "mjpeg.avi": _write(codec="mjpeg", pix_fmt="yuvj420p", options={"qscale": "3"}),
    "mjpeg_422.avi": _write(codec="mjpeg", pix_fmt="yuvj422p", options={"qscale": "3"}),
    "mjpeg_two_formats.avi": _two_formats,
    "mjpeg_audio.avi": _write(codec="mjpeg", pix_fmt="yuvj420p", audio_s=6),
    "mjpeg.mov": _write(codec="mjpeg", pix_fmt="yuvj420p"),
    "mpeg4.avi": _write(codec="mpeg4", options={"qscale": "3", "g": "12"}),
    "mpeg4_b.avi": _write(codec="mpeg4", options={"qscale": "3", "g": "12", "bf": "2"}),
    "msmpeg4.asf": _write(codec="msmpeg4", options={"qscale": "3", "g": "12"}),
    "msmpeg4_v2.avi": _write(codec="msmpeg4v2", options={"qscale": "3", "g": "12"}),
    "mpeg2.mpg": _write(codec="mpeg2video", fps=25, options={"qscale": "3", "g": "12", "bf": "2"}),
    "vfr.mp4": _write(times=VARIABLE, **_gop(20)),
    "vfr.mkv": _write(times=VARIABLE, **_gop(20)),
    "vp9_no_duration.mkv": _without_durations,
    "av1.mp4": _write(codec="libsvtav1", options={"preset": "12", "crf": "20", "g": "20"}),
    "av1.mkv": _write(codec="libsvtav1", options={"preset": "12", "crf": "20", "g": "20"}),
    "rotated_90.mp4": _write(rotation=90, **_gop(20)),
    "rotated_180.mp4": _write(rotation=180, **_gop(20)),
    "rotated_270.mp4": _write(rotation=270, **_gop(20)),
    "full_range.mp4": _write(pix_fmt="yuvj420p", **_gop(20)),
    "h264_422.mp4": _write(pix_fmt="yuv422p", **_gop(20)),
    "h264_444.mp4": _write(pix_fmt="yuv444p", **_gop(20)),
    "edit_list.mp4": _shifted(-14, {"avoid_negative_ts": "disabled", "use_editlist": "1"}),
    "late_start.mp4": _shifted(45),
    "late_start.mkv": _shifted(45),
    "audio_longer.mp4": _write(audio_s=7, **_gop(20)),
    "one_frame.mp4": _write(count=1),
    "one_frame.avi": _write(count=1, codec="mjpeg", pix_fmt="yuvj420p"),
    "six_frames.mp4": _write(count=6, fps=1),
    "one_fps.avi": _write(count=20, fps=1, codec="mpeg4", options={"qscale": "3"}),
    "ntsc.mp4": _write(fps=29.97, **_gop(15)),
}


def sequential(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Every frame of a clip by the plainest way there is: one decode from start to end.

    Returns:
        uint8 `[N, H, W, 3]` as stored, turned upright, and seconds from the first frame `[N]`.
    """
    images, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            turns = round(frame.rotation / 90) % 4
            images.append(np.rot90(frame.to_ndarray(format="rgb24"), turns))
            times.append(float((frame.pts or 0) * stream.time_base))
    # AVI has no times of showing, so that reordered frames come with wrong ones: the order is right.
    return np.stack(images), np.sort(times) - min(times)


def has_torchcodec():
    try:
        torchcodec.load()
    except UserError:
        return False
    return True


needs_ffmpeg = pytest.mark.skipif(not has_torchcodec(), reason="torchcodec finds no FFmpeg libraries")
