"""Decode and resize frames on a GPU with torchcodec and NVDEC.

Runs in threads of this process (torchcodec releases the interpreter's lock while it works), and also with
`device="cpu"` for tests. Importing this module loads torch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jungle.errors import UserError
from jungle.video.container.packets import describe_error
from jungle.video.decoders import torchcodec
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.decoders.resize_torch import TorchScaler
from jungle.video.types import Clip, ClipError, ClipSpec

_own = threading.local()


def decode(plan: Plan, spec: ClipSpec, device: str) -> Clip:
    """Decode the frames of a plan, cropped and resized as the spec says.

    Returns:
        A clip whose frames are a uint8 tensor `[T, H, W, 3]` on the device, complete: no stream has to be
        waited for. A consumer on another stream has to `lend` it to that.

    Raises:
        ClipError: the GPU cannot decode this video, or returns other frames.
        UserError: torchcodec cannot be loaded.
    """
    scaler = TorchScaler(spec)
    try:
        with _use_own_stream(device):
            frames = torch.stack([scaler(image) for image in torchcodec.decode(plan, device)])
    except (ClipError, UserError):
        raise
    except torch.cuda.OutOfMemoryError:
        raise ClipError("the GPU's memory is full") from None
    except Exception as error:
        raise ClipError(f"torchcodec fails on the GPU ({describe_error(error)})") from None
    height, width = scaler.source
    return Clip(
        frames=frames,
        times=plan.times,
        status="ok",
        reason="",
        decoder="torchcodec-cuda" if device != "cpu" else "torchcodec",
        width=width,
        height=height,
        fps=plan.fps,
        duration=plan.duration,
        created=plan.created,
    )


def lend(clip: Clip) -> Clip:
    """Tell torch that the current stream of this thread uses the clip's frames, which were made on another.

    Without this their memory would be given to the next clip while the model still reads it.
    """
    if getattr(clip.frames, "is_cuda", False):
        clip.frames.record_stream(torch.cuda.current_stream(clip.frames.device))
    return clip


@contextmanager
def _use_own_stream(device: str) -> Iterator[None]:
    """Run a thread's work on a stream of its own, and wait for it at the end."""
    if not device.startswith("cuda"):
        yield
        return
    stream = getattr(_own, "stream", None)
    if stream is None:
        # One for each thread for good: torch keeps freed memory apart by stream.
        stream = _own.stream = torch.cuda.Stream(device=torch.device(device))
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()
