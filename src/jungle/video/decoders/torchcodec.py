"""Frames through torchcodec, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jungle.errors import UserError
from jungle.video.container.packets import reason_of
from jungle.video.container.timeline import Timeline
from jungle.video.types import ClipError


def load() -> Any:
    """Import torchcodec's decoder.

    Raises:
        UserError: it is not installed, or finds no FFmpeg libraries.
    """
    try:
        import torchcodec
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]

        # From 0.17 on its import is silent about that, and each clip fails.
        if getattr(torchcodec, "ffmpeg_major_version", 0) is None:
            raise OSError("no FFmpeg")
    except ImportError:
        raise UserError(
            "decoder=torchcodec: torchcodec is not installed. pip install torchcodec, or decoder=pyav."
        ) from None
    except (RuntimeError, OSError):
        raise UserError(
            "decoder=torchcodec: it finds no FFmpeg libraries on this machine. Install FFmpeg 4 to 9 with "
            "its shared libraries (apt-get install ffmpeg; conda install ffmpeg), or use decoder=pyav, "
            "which brings its own."
        ) from None
    return VideoDecoder


def refusal(path: str | Path, timeline: Timeline, container: str, codec: str) -> str:
    """Why torchcodec would get this file wrong; empty where it gets it right."""
    return "packets without times" if timeline.counted else timeline.damage


def read(
    path: str | Path, picks: np.ndarray, timeline: Timeline, convert: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """Decode the frames of the given numbers on the CPU, one at a time; for a GPU see `nvdec`.

    Raises:
        ClipError: torchcodec fails, or gives a frame of another time than the one asked for.
        UserError: torchcodec cannot be loaded.
    """
    open_decoder = load()
    try:
        decoder = open_decoder(
            os.path.abspath(path),
            stream_index=timeline.stream,
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            seek_mode="exact",
        )
        if len(decoder) != len(timeline.pts):
            raise ClipError(f"torchcodec counts {len(decoder)} frames of {len(timeline.pts)}")
        for n in picks:
            frame = decoder.get_frame_at(int(n))
            due = float(timeline.pts[n]) * timeline.time_base
            if abs(float(frame.pts_seconds) - due) > timeline.time_base:
                raise ClipError("torchcodec gives another frame than the one asked for")
            yield convert(frame.data.numpy())
    except ClipError:
        raise
    except Exception as error:
        raise ClipError(f"torchcodec fails ({reason_of(error)})") from None
