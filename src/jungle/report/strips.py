"""Strips of frames for reports: a few small pictures per clip with the model's attention below them."""

import base64
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from jungle.video import Clip, ClipError, ClipSpec, Frames
from jungle.video.workers.decode_pool import DecodePool, Job

CELLS = 6  # frames shown a clip
SIDE = 256  # pixels of a picture's longer side: sharp at the width it is shown with
MOST_READ = 24  # frames read a clip: enough to be near every frame that the model saw
MOST_BYTES = 3_000_000  # of all pictures together; base64 adds a third
QUALITIES = (74, 55, 35)
TIMEOUT_S = 20  # for one clip


@dataclass(frozen=True)
class StripRequest:
    """Clip to draw, with the times and attention weights of the frames that the model saw."""

    clip: str
    path: str
    times: Sequence[float] = ()
    attention: Sequence[float] = ()


@dataclass(frozen=True)
class Bar:
    """Attention weight of one frame that the model saw."""

    height: float
    """From 0 to 1, relative to the clip's greatest weight."""
    weight: float
    shown: bool
    """Whether the picture above is the one nearest to this frame."""


@dataclass(frozen=True)
class Cell:
    """Picture of one stretch of a clip."""

    image: str
    """A data URI."""
    seconds: float
    bars: list[Bar] = field(default_factory=list)
    peak: bool = False
    """Whether the clip's greatest attention weight is here."""


@dataclass(frozen=True)
class Strip:
    """Pictures of a clip, or the reason why there are none."""

    cells: list[Cell]
    reason: str = ""
    peak: float | None = None
    """The greatest attention weight."""


@dataclass(frozen=True)
class FrameShrinker:
    """Shrinks a clip's frames in the process that reads them; picklable."""

    side: int

    def __call__(self, clip: Clip, _job: object) -> Clip:
        """Return the clip with frames of at most `side` pixels on the longer side."""
        import cv2  # here: the process that only draws does not need it

        height, width = clip.frames.shape[1:3]
        scale = min(1.0, self.side / max(height, width))
        if scale == 1.0:
            return clip
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return clip.replace(
            frames=np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in clip.frames])
        )


def draw_strips(
    wanted: Sequence[StripRequest],
    spec: ClipSpec | None = None,
    *,
    budget_s: float = 60,
) -> dict[str, Strip]:
    """Read and draw the clips; return a strip for each by clip name.

    Clips are read in other processes: one that hangs or crashes a decoder costs `TIMEOUT_S`, not the report.

    Args:
        wanted: the clips.
        spec: how the model read them, for the same frames; None for uniform ones.
        budget_s: seconds for all clips; those not read by then have a reason in place of pictures.
    """
    frames = spec.frames if spec is not None else Frames("uniform", 16)
    if frames.kind == "random" or frames.count > MOST_READ:
        frames = Frames("uniform", MOST_READ)
    decoder = spec.decoder if spec is not None and spec.device == "cpu" else "auto"
    small = ClipSpec(frames=frames, decoder=decoder)
    ends = time.monotonic() + budget_s
    read: dict[str, Clip] = {}
    reasons: dict[str, str] = {}
    jobs = [Job(key=w.clip, path=w.path, seed=0) for w in wanted]
    with DecodePool(
        small, workers=min(2, len(jobs)), timeout_s=TIMEOUT_S, transform=FrameShrinker(SIDE)
    ) as pool:
        for job, clip in pool.map(jobs, ahead=2):
            if isinstance(clip, ClipError):
                reasons[job.key] = str(clip)
            else:
                read[job.key] = clip
            if time.monotonic() > ends:
                break
    late = f"not drawn: reading the clips before it took {budget_s:.0f} s"
    for quality in QUALITIES:
        strips = {
            w.clip: _make_strip(read[w.clip], w, quality)
            if w.clip in read
            else Strip([], reasons.get(w.clip, late))
            for w in wanted
        }
        if sum(len(c.image) for s in strips.values() for c in s.cells) * 3 // 4 <= MOST_BYTES:
            break
    return strips


def _make_strip(clip: Clip, request: StripRequest, quality: int) -> Strip:
    """Cut what the model saw into equal stretches; show the frame of each with the most attention."""
    attention = np.asarray(request.attention, float)
    times = np.asarray(request.times, float)
    if not len(times) or len(attention) != len(times):
        attention = np.zeros(len(times) or len(clip.times))
        times = times if len(times) else clip.times
    known = bool(attention.sum() > 0)
    top = int(attention.argmax())
    cells = []
    for stretch in np.array_split(np.arange(len(times)), min(CELLS, len(times))):
        shown = int(stretch[attention[stretch].argmax()]) if known else int(stretch[len(stretch) // 2])
        picture = int(np.abs(clip.times - times[shown]).argmin())
        cell = Cell(_encode_jpeg(clip.frames[picture], quality), float(clip.times[picture]))
        if known:
            bars = [
                Bar(float(attention[t] / attention[top]), float(attention[t]), t == shown) for t in stretch
            ]
            cell = replace(cell, bars=bars, peak=shown == top)
        cells.append(cell)
    return Strip(cells, peak=float(attention[top]) if known else None)


def _encode_jpeg(frame_HWC: np.ndarray, quality: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
