"""Frames through torchcodec, on the CPU or a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.errors import UserError
from jungle.video.container.packets import describe_error
from jungle.video.container.timeline import Timeline
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.types import ClipError

if TYPE_CHECKING:
    from torch import Tensor
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]


def load() -> type[VideoDecoder]:
    """Import torchcodec's decoder.

    Raises:
        UserError: it is not installed, or finds no FFmpeg libraries.
    """
    try:
        import torchcodec
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]

        # Since 0.17 the import does not fail without FFmpeg, but each clip does.
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
    """Return why torchcodec would read this file wrongly; empty if it reads it right."""
    return "packets without times" if timeline.counted else timeline.damage


def read(
    path: str | Path, picks: np.ndarray, timeline: Timeline, convert: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """Decode the frames of the given numbers on the CPU, one at a time; for a GPU see `nvdec`.

    Raises:
        ClipError: torchcodec fails, or returns a frame of another time.
        UserError: torchcodec cannot be loaded.
    """
    try:
        for image in decode(Plan.from_timeline(path, picks, timeline), "cpu"):
            yield convert(image.numpy())
    except (ClipError, UserError):
        raise
    except Exception as error:
        raise ClipError(f"torchcodec fails ({describe_error(error)})") from None


def decode(plan: Plan, device: str) -> Iterator[Tensor]:
    """Decode the frames of a plan on a torch device: uint8 `[H, W, 3]`, RGB.

    Raises:
        ClipError: the GPU cannot decode this video, or torchcodec counts or returns other frames.
        UserError: torchcodec cannot be loaded.
    """
    video = load()(
        os.path.abspath(plan.path),
        stream_index=plan.stream,
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        seek_mode="exact",
        device=device,
    )
    if device != "cpu" and video.cpu_fallback:
        no_library = "NVcuvid unavailable" in str(video.cpu_fallback)
        raise ClipError(
            "the driver has no NVDEC library (libnvcuvid; in a container, the capability `video`)"
            if no_library
            else "this GPU's NVDEC does not decode this kind of video"
        )
    if len(video) != plan.total:
        raise ClipError(f"torchcodec counts {len(video)} frames of {plan.total}")
    for place, number in enumerate(plan.numbers.tolist()):
        frame = video.get_frame_at(number)
        plan.check(place, float(frame.pts_seconds))
        yield frame.data
