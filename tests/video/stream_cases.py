"""Files with several video streams, as cameras, phones and editors write them; the main one shows `MAIN`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 10
MAIN, OTHER = (200, 60, 40), (30, 70, 210)
LEVELS = 60.0  # by which MAIN and OTHER lie apart in the mean


def pictures(count: int, height: int, width: int, colour: tuple[int, int, int]) -> list[np.ndarray]:
    """Frames of one colour over which a light bar moves: no two are alike."""
    found = []
    for number in range(count):
        image = np.empty((height, width, 3), np.uint8)
        image[:] = colour
        left = number * (width - 8) // max(1, count - 1)
        image[height // 4 : height // 2, left : left + 8] = 250
        found.append(image)
    return found


@dataclass(frozen=True)
class Track:
    """One video stream."""

    codec: str
    count: int
    height: int
    width: int
    colour: tuple[int, int, int]
    pix_fmt: str = "yuv420p"
    cover: bool = False
    """Marked as an attached picture."""
    fps: int = RATE
    rotation: int = 0

    @property
    def images(self) -> list[np.ndarray]:
        return pictures(self.count, self.height, self.width, self.colour)


def write_tracks(path: Path, *tracks: Track, container: str | None = None, audio_first: bool = False) -> Path:
    """Write streams in this order, their packets interleaved."""
    with av.open(str(path), "w", format=container) as out:
        if audio_first:
            _silence(out)
        streams, packets = [], []
        for track in tracks:
            options = {"g": "6", "bf": "0"} if track.codec in ("libx264", "mpeg4", "mpeg2video") else {}
            stream = out.add_stream(track.codec, rate=track.fps, options=options)
            stream.width, stream.height, stream.pix_fmt = track.width, track.height, track.pix_fmt
            if track.rotation:
                stream.set_display_rotation(track.rotation)
            if track.cover:
                stream.disposition = av.stream.Disposition.attached_pic
            streams.append(stream)
        for stream, track in zip(streams, tracks, strict=True):
            full = 2 if track.pix_fmt.startswith("yuvj") else None
            for i, image in enumerate(track.images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame = frame.reformat(format=track.pix_fmt, dst_color_range=full)
                frame.pts, frame.time_base = i, Fraction(1, track.fps)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            out.mux(packet)
    return path


def _silence(out) -> None:
    stream = out.add_stream("aac", rate=16_000, layout="mono")
    for start in range(0, 20 * 1024, 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


H264 = Track("libx264", 40, 96, 128, MAIN)
SMALL = Track("libx264", 40, 48, 64, OTHER)
MJPEG = Track("mjpeg", 40, 96, 128, MAIN, "yuvj420p")
MPEG4 = Track("mpeg4", 40, 96, 128, MAIN)
STILL = Track("mjpeg", 1, 480, 640, OTHER, "yuvj420p")  # larger than the film: one frame alone

# name -> its streams; the one that is MAIN is the main picture
CASES: dict[str, tuple[Track, ...]] = {
    "small_first.mp4": (SMALL, H264),
    "small_last.mp4": (H264, SMALL),
    "small_first.mov": (SMALL, H264),
    "small_first.mkv": (SMALL, H264),
    "small_last.mkv": (H264, SMALL),
    "small_first.mts": (SMALL, H264),
    "small_last.mts": (H264, SMALL),
    "small_first.avi": (replace(MPEG4, height=48, width=64, colour=OTHER), MPEG4),
    "small_last.avi": (MPEG4, replace(MPEG4, height=48, width=64, colour=OTHER)),
    "mjpeg_small_first.avi": (replace(MJPEG, height=48, width=64, colour=OTHER), MJPEG),
    "mjpeg_small_last.mov": (MJPEG, replace(MJPEG, height=48, width=64, colour=OTHER)),
    "two_codecs.mkv": (replace(MJPEG, height=48, width=64, colour=OTHER), H264),
    "three.mkv": (SMALL, H264, replace(SMALL, height=64, width=64)),
    "small_longer.mp4": (replace(SMALL, count=70), H264),
    "small_faster.mkv": (replace(SMALL, count=120, fps=30), H264),
    "still_first.mp4": (STILL, H264),
    "still_last.mp4": (H264, STILL),
    "still_first.mkv": (STILL, H264),
    "still_first.avi": (STILL, MPEG4),
    "still_first.mov": (STILL, MJPEG),
    "cover.mp4": (H264, replace(STILL, cover=True)),
    "cover_first.mp4": (replace(STILL, cover=True), H264),
    "cover_and_small.mp4": (replace(STILL, cover=True), SMALL, H264),
    "same_size_fewer.mp4": (replace(H264, count=20, colour=OTHER), H264),
    "same_size_fewer.mkv": (replace(H264, count=20, colour=OTHER), H264),
    "alike.mp4": (H264, replace(H264, colour=OTHER)),
    "alike.mkv": (H264, replace(H264, colour=OTHER)),
    "alike.mts": (H264, replace(H264, colour=OTHER)),
    "small_first_rotated.mp4": (SMALL, replace(H264, rotation=90)),
}


def main_of(name: str) -> Track:
    """The main stream of a case."""
    (found,) = [t for t in CASES[name] if t.colour == MAIN]
    return found


def shows(frames: np.ndarray) -> tuple[int, int, int]:
    """Which of MAIN and OTHER frames show."""
    mean = np.median(frames.reshape(-1, 3), axis=0)
    off = {colour: np.abs(mean - colour).mean() for colour in (MAIN, OTHER)}
    colour = min(off, key=lambda c: off[c])
    assert off[colour] < 8, f"neither: {mean}"
    return colour
