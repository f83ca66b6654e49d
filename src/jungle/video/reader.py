"""One clip in, its frames out, whichever decoder reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jungle.video import recovery
from jungle.video.container.open import QUIET, check_file, opened
from jungle.video.container.packets import reason_of
from jungle.video.container.timeline import Timeline, WrongTimeline, read_timeline
from jungle.video.container.truncation import cut_short
from jungle.video.decoders import decord, nvdec, pyav, torchcodec
from jungle.video.decoders.ffmpeg_log import Signs, can_hear
from jungle.video.decoders.gpu_plan import Plan, cpu_reason
from jungle.video.decoders.resize import Scaler
from jungle.video.frames.motion_crop import backdrop_of, focused
from jungle.video.selection import picks_of
from jungle.video.types import Clip, ClipError, ClipSpec
from jungle.wording import some

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


def read_clip(path: str | Path, spec: ClipSpec, seed: int = 0) -> Clip:
    """Read the frames of a clip in this process.

    A hostile or broken file can hang or kill the decoder, and this process with it: `decode_pool` does not.

    Args:
        path: the file.
        spec: which frames, and how they are cropped and resized.
        seed: for frames of kind `random`.

    Raises:
        ClipError: no frame can be read; its text says why.
        UserError: the decoder asked for is not installed.
    """
    found = look(path, spec, seed)
    if isinstance(found, Clip):
        return found

    try:
        return nvdec.decode(found, spec, "cuda")
    except ClipError as error:
        on_cpu = replace(spec, decoder="pyav", device="cpu")
        return read_clip(path, on_cpu, seed).replace(on_cpu=str(error))


def look(path: str | Path, spec: ClipSpec, seed: int = 0, gpu: int = 0) -> Clip | Plan:
    """Read a clip; what torchcodec is to decode on a GPU comes as a plan for it.

    Args:
        path: the file.
        spec: which frames, and how they are cropped and resized.
        seed: for frames of kind `random`.
        gpu: the number of the GPU, for decord.

    Raises:
        ClipError: no frame can be read; its text says why.
        UserError: the decoder asked for is not installed.
    """
    how = "index"
    try:
        while True:
            try:
                found = read_by(path, spec, seed, how, gpu)
                return found if isinstance(found, Plan) else as_seen(found, path, spec, seed, how)
            except WrongTimeline as wrong:
                how = wrong.instead
    except MemoryError as error:
        raise ClipError(reason_of(error)) from None


def as_seen(clip: Clip, path: str | Path, spec: ClipSpec, seed: int, how: str = "index") -> Clip:
    """The clip as the model sees it: frames that `read_by` gave, cut where the spec has a focus.

    Raises:
        WrongTimeline: as `read_by`.
    """
    if spec.focus == "whole":
        return clip
    other = backdrop_of(spec, clip)
    backdrop = read_by(path, other, seed, how, 0) if other else clip
    assert isinstance(backdrop, Clip)  # nothing that is cut is planned for a GPU
    return focused(clip, backdrop.frames, spec)


def read_by(path: str | Path, spec: ClipSpec, seed: int, how: str, gpu: int) -> Clip | Plan:
    """Read with a timeline from the container's `index`, from a `scan` of its packets, or by `count`.

    Of a spec with a focus the frames come uncut, as `jungle.video.frames.motion_crop` takes them.
    """
    size = check_file(path)
    with opened(path, trust_index=how == "index") as (container, stream):
        timeline = list_frames(path, size, container, stream, how)
        picks = picks_of(path, container, stream, timeline, spec, seed)
        found = _as_asked(path, spec, timeline, picks, container.format.name, stream, how, gpu)
        if not isinstance(found, str):
            return found
        scaler = Scaler(spec, turn=timeline.turn)
        if timeline.counted:
            images = recovery.by_count(path, timeline, picks, scaler)
            pts = timeline.pts[list(images)]
            clip = made("pyav", scaler, timeline, pts, list(images.values()), timeline.damage)
        else:
            clip = _read_pyav(path, container, stream, timeline, picks, scaler)
        return clip.replace(on_cpu=found) if spec.device == "cuda" else clip


def _as_asked(
    path: str | Path,
    spec: ClipSpec,
    timeline: Timeline,
    picks: np.ndarray,
    container: str,
    stream: VideoStream,
    how: str,
    gpu: int,
) -> Clip | Plan | str:
    """Read by the decoder asked for, or plan it for the GPU; a text says why PyAV is to read it instead."""
    other = OTHERS.get(spec.decoder)
    if other is None:
        return ""
    if how != "index":
        return "a wrong index"  # which other decoders believe
    on_gpu = spec.device == "cuda"
    codec = stream.codec_context
    refused = other.refusal(path, timeline, container, codec.name)
    refused = refused or recovery.unlike_others(timeline, codec)
    if on_gpu and not refused:
        refused = cpu_reason(stream.codec_context.codec.canonical_name)
    if refused:
        return "damage" if timeline.damage else refused
    # What a decoder says only where it is asked, as PyAV's is, cannot be heard.
    asked = codec.name in QUIET or recovery.bears_checksums(codec, timeline)
    heard = not on_gpu and not asked and can_hear(other.load, spec.decoder)
    if not heard and not recovery.is_sound(path, timeline, picks):
        return "damage"
    if on_gpu and spec.decoder == "torchcodec":
        return Plan.of(path, picks, timeline)
    scaler = Scaler(spec, turn=timeline.turn)
    try:
        signs = Signs()
        if on_gpu:
            images = list(decord.read(path, picks, timeline, scaler.from_rgb, gpu=gpu))
        else:
            images = list(other.read(path, picks, timeline, scaler.from_rgb))
        if heard and signs:
            return "damage"
        return made(_name(spec), scaler, timeline, timeline.pts[picks], images, "")
    except ClipError as error:
        return str(error)


def _name(spec: ClipSpec) -> str:
    return spec.decoder if spec.device == "cpu" else f"{spec.decoder}-{spec.device}"


def list_frames(
    path: str | Path, size: int, container: InputContainer, stream: VideoStream, how: str
) -> Timeline:
    """The frames of an opened file and what is wrong with it.

    Args:
        path: the file.
        size: its bytes.
        container: the file, just opened.
        stream: its video stream.
        how: by the container's `index`, a `scan` of all packets, a `count` of all frames, or a count of those
            that the decoder leaves in `doubt` too; the text that `WrongTimeline.instead` gives leads from one
            to the next.

    Raises:
        ClipError: there is no frame.
        WrongTimeline: there is no such index; scan.
    """
    timeline = read_timeline(container, stream, size, scan=how != "index")
    timeline.damage = cut_short(path, size) or timeline.damage
    if how in ("count", "doubt") or not timeline.known:
        return recovery.counted(path, timeline, doubtful=how == "doubt")
    return recovery.playable(path, timeline)


def _read_pyav(
    path: str | Path,
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    picks: np.ndarray,
    scaler: Scaler,
) -> Clip:
    wanted = pyav.Wanted(picks, timeline, scaler)
    pyav.decode(path, container, stream, timeline, wanted)
    if wanted.disordered:
        raise WrongTimeline("count")
    images = {int(timeline.pts[n]): image for n, image in wanted.images.items()}
    missing = [int(timeline.pts[n]) for n in wanted.missing()]
    reason = timeline.damage
    if missing:
        found = recovery.nearest(path, timeline, missing, set(images), scaler)
        images |= dict(found.values())
        moved = sum(asked != true for asked, (true, _) in found.items())
        reason = reason or _damaged(len(picks), moved, len(missing) - len(found))
    if not images:
        raise WrongTimeline("count")  # which says why there is none
    order = sorted(images)
    return made("pyav", scaler, timeline, np.array(order), [images[pts] for pts in order], reason)


def _damaged(asked: int, moved: int, left_out: int) -> str:
    parts = []
    if moved:
        parts.append(f"{some(moved, asked, 'frames are damaged')}; the nearest sound frames were taken")
    if left_out:
        parts.append(
            f"{some(left_out, asked, 'frames are damaged')} and left out: no other sound frame is left"
        )
    return "; ".join(parts)


def made(
    decoder: str, scaler: Scaler, timeline: Timeline, pts: np.ndarray, images: list[np.ndarray], damage: str
) -> Clip:
    """The clip that these frames, shown at `pts`, are of.

    Raises:
        ClipError: there is none.
    """
    if not images:
        raise ClipError(damage or "no frame can be decoded")
    height, width = scaler.source
    return Clip(
        frames=np.stack(images),
        times=(np.asarray(pts, np.int64) - timeline.pts[0]) * timeline.time_base,
        status="degraded" if damage else "ok",
        reason=damage,
        decoder=decoder,
        width=width,
        height=height,
        fps=timeline.fps,
        duration=timeline.duration,
    )


OTHERS: dict[str, Any] = {"decord": decord, "torchcodec": torchcodec}
