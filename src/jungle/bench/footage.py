"""Rendered clips for the decoding benchmarks: a still scene with noise and a moving object."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jungle.console import log
from jungle.files import replace_atomically
from jungle.video.transcode.writer import repeat_clip, write_clip

FPS = 30


@dataclass(frozen=True)
class Footage:
    """Settings of a rendered clip; `copies` repeats it, because encoding takes far longer than reading."""

    height: int
    width: int
    seconds: int
    codec: str
    options: tuple[tuple[str, str], ...]
    copies: int = 1
    windy: bool = True
    """Whether leaves sway in a quarter of the picture, which makes every frame costly to decode."""


def make_x264_options(gop: int, rate: str = "5M") -> tuple[tuple[str, str], ...]:
    """Return encoder options for a length of a group of pictures and a bit rate."""
    return (("g", str(gop)), ("preset", "veryfast"), ("b", rate), ("x264-params", "scenecut=0"))


FOOTAGE = {
    "h264_720p30_30s_gop60.mp4": Footage(720, 1280, 6, "libx264", make_x264_options(60), copies=5),
    "h264_720p30_30s_gop60_still.mp4": Footage(
        720, 1280, 6, "libx264", make_x264_options(60, "1500k"), copies=5, windy=False
    ),
    "h264_720p30_30s_gop250.mp4": Footage(720, 1280, 30, "libx264", make_x264_options(250)),
    "mjpeg_720p30_30s.avi": Footage(720, 1280, 3, "mjpeg", (("qmin", "8"), ("qmax", "8")), copies=10),
    "h264_1080p30_60s_gop60.mp4": Footage(1080, 1920, 6, "libx264", make_x264_options(60), copies=10),
}


def render_all(folder: Path) -> list[Path]:
    """Write the clips of `FOOTAGE` that do not exist yet; the first time takes a minute or two."""
    return [render_clip(folder / name, footage) for name, footage in FOOTAGE.items()]


def render_clip(path: Path, footage: Footage) -> Path:
    """Write a clip unless it exists; return its path."""
    if not path.exists():
        log.info(f"rendering {path.name}")
        with replace_atomically(path) as part:
            _write(part, footage)
    return path


def _write(path: Path, footage: Footage) -> None:
    pix_fmt = "yuvj420p" if footage.codec == "mjpeg" else "yuv420p"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        once = path if footage.copies == 1 else Path(folder) / f"once{path.suffix}"
        options = dict(footage.options)
        write_clip(once, _draw_scene(footage), fps=FPS, codec=footage.codec, pix_fmt=pix_fmt, options=options)
        if once != path:
            repeat_clip(once, path, footage.copies, footage.seconds)


def _draw_scene(footage: Footage) -> Iterator[np.ndarray]:
    height, width, wind = footage.height, footage.width, int(footage.windy)
    draw = np.random.default_rng(0)
    scene = 110 + 30 * _draw_texture(draw, height, width)
    leaves = 30 * _draw_texture(draw, height, width)
    blows = (_draw_texture(draw, height, width)[..., :1] > 0.6).astype(np.float32)  # a quarter of the picture
    noise = draw.normal(0, 2.5, (height, width, 3)).astype(np.float32)
    side = height // 5
    fur = 60 + 20 * _draw_texture(draw, side, side)
    for n in range(footage.seconds * FPS):
        sway = (wind * round(2 * np.sin(n / 9)), wind * round(5 * np.sin(n / 13)))
        image = scene + np.roll(leaves * blows, sway, (0, 1))
        left = (n * 4) % (width - side)
        image[height // 2 : height // 2 + side, left : left + side] = fur
        # Shifted noise is as hard to encode as new noise, and far cheaper to make.
        image += np.roll(noise, (n * 37 % height, n * 101 % width), (0, 1))
        yield image.clip(0, 255).astype(np.uint8)


def _draw_texture(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return float32 `[H, W, 3]` of about unit variance with the 1/f spectrum of photographs (Field 1987)."""
    across = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    across[0, 0] = np.inf
    grey, colour = (
        np.fft.irfft2(np.fft.rfft2(draw.normal(size=(n, height, width))) / across, s=(height, width))
        for n in (1, 3)
    )
    # Colours of a forest vary far less than its brightness.
    mixed = np.moveaxis(grey / grey.std() + 0.3 * colour / colour.std(), 0, -1)
    return mixed.astype(np.float32)
