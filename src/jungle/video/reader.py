"""Read the frames of one clip with any decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from jungle.video import recovery
from jungle.video.container.open import QUIET, open_video
from jungle.video.container.packets import describe_error
from jungle.video.container.timeline import Timeline, VideoFile, WrongTimeline, read_timeline
from jungle.video.container.truncation import describe_truncation
from jungle.video.decoders import decord, pyav, torchcodec
from jungle.video.decoders.ffmpeg_log import Signs, can_hear
from jungle.video.decoders.gpu_plan import Plan, explain_cpu
from jungle.video.decoders.resize import Scaler
from jungle.video.frames import motion
from jungle.video.frames.motion_crop import crop_to_motion, make_backdrop_spec
from jungle.video.frames.sampling import pick
from jungle.video.types import Clip, ClipError, ClipSpec, Frames
from jungle.wording import tally_part

if TYPE_CHECKING:
    from av import VideoFrame

T = TypeVar("T")


class Decoder(Protocol):
    """A decoder other than PyAV: a module with these functions."""

    def load(self) -> object:
        """Import the library; raise `UserError` if it is not installed."""
        ...

    def refusal(self, path: str | Path, timeline: Timeline, container: str, codec: str) -> str:
        """Return why the decoder would read this file wrong; empty if it reads it right."""
        ...

    def read(
        self,
        path: str | Path,
        picks: np.ndarray,
        timeline: Timeline,
        convert: Callable[[np.ndarray], np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Decode the frames of the given numbers on the CPU, one at a time.

        Raises:
            ClipError: the decoder fails.
        """
        ...


DECODER_MODULES: dict[str, Decoder] = {"decord": decord, "torchcodec": torchcodec}
"""Decoders other than PyAV, by their names in `jungle.video.types.DECODERS`."""


def read_clip(path: str | Path, spec: ClipSpec, seed: int = 0) -> Clip:
    """Read the frames of a clip in this process; `seed` is for frames of kind `random`.

    A hostile or broken file can hang or kill the decoder and this process; use `DecodePool` for such files.

    Raises:
        ClipError: no frame can be read; its text says why.
        UserError: the decoder of the spec is not installed.
    """
    found = read_or_plan(path, spec, seed)
    if isinstance(found, Clip):
        return found
    from jungle.video.decoders import nvdec  # here: it loads torch, which worker processes do without

    try:
        return nvdec.decode(found, spec, "cuda")
    except ClipError as error:
        on_cpu = replace(spec, decoder="pyav", device="cpu")
        return read_clip(path, on_cpu, seed).replace(on_cpu=str(error))


def read_or_plan(path: str | Path, spec: ClipSpec, seed: int = 0, gpu: int = 0) -> Clip | Plan:
    """Read a clip, or return a plan of the frames that torchcodec is to decode on a GPU.

    `gpu` is the number of the GPU for decord; for the rest see `read_clip`.
    """

    def read(how: str) -> Clip | Plan:
        found = read_uncut(path, spec, seed, how, gpu)
        return found if isinstance(found, Plan) else _apply_focus(found, path, spec, seed, how)

    try:
        return try_listings(read)
    except MemoryError as error:
        raise ClipError(describe_error(error)) from None


def read_each(path: str | Path, specs: Sequence[ClipSpec], seed: int = 0) -> list[Clip]:
    """Read the frames of a clip for each spec, all on the CPU, bit for bit as `read_clip` reads them.

    Decoding costs far more than resizing, so PyAV decodes the frames of all specs in one pass. A clip for
    which that might give other frames (damaged, or with a wrong index) is read once for each spec.

    Raises:
        ClipError: no frame can be read.
        UserError: the decoder of a spec is not installed.
    """
    if len(specs) > 1 and all(s.decoder in ("auto", "pyav") for s in specs):
        try:
            if (found := _read_in_one_pass(path, specs, seed)) is not None:
                return found
        except (ClipError, WrongTimeline, MemoryError):
            pass
    each = (read_or_plan(path, spec, seed) for spec in specs)
    clips = [clip for clip in each if isinstance(clip, Clip)]
    assert len(clips) == len(specs), "plans are for a GpuPool"
    return clips


def _read_in_one_pass(path: str | Path, specs: Sequence[ClipSpec], seed: int) -> list[Clip] | None:
    """Return the clip for each spec; None if it is not sound and each spec needs its own reading."""
    with open_listed(path, "index") as file:
        timeline = file.timeline
        if timeline.damage or timeline.counted:
            return None
        picks = [_pick_frames(file, spec, seed) for spec in specs]
        scalers = [Scaler(spec, turn=timeline.turn) for spec in specs]
        images: list[dict[int, np.ndarray]] = [{} for _ in specs]
        takers: dict[int, list[int]] = {}
        for i, mine in enumerate(picks):
            for pts in timeline.pts[mine].tolist():
                takers.setdefault(pts, []).append(i)

        def convert(frame: VideoFrame) -> np.ndarray:
            assert frame.pts is not None
            for i in takers[frame.pts]:
                images[i][frame.pts] = scalers[i](frame)
            return np.empty(0)  # kept above

        wanted = pyav.WantedFrames(np.unique(np.concatenate(picks)), timeline, convert)
        pyav.decode(file, wanted)
        if wanted.disordered or wanted.missing():
            return None
    clips = []
    for spec, scaler, mine, seen in zip(specs, scalers, picks, images, strict=True):
        pts = timeline.pts[mine]
        clip = _build_clip("pyav", scaler, timeline, pts, [seen[p] for p in pts.tolist()], "")
        clips.append(_apply_focus(clip, path, spec, seed, "index"))
    return clips


def _apply_focus(clip: Clip, path: str | Path, spec: ClipSpec, seed: int, how: str) -> Clip:
    """Return the clip as the model sees it: the frames of `read_uncut`, cut if the spec has a focus."""
    if spec.focus == "whole":
        return clip
    other = make_backdrop_spec(spec, clip)
    backdrop = read_uncut(path, other, seed, how, 0) if other else clip
    assert isinstance(backdrop, Clip)  # a spec with a focus is never planned for a GPU
    return crop_to_motion(clip, backdrop.frames, spec)


def read_uncut(path: str | Path, spec: ClipSpec, seed: int, how: str, gpu: int) -> Clip | Plan:
    """Read a clip with the listing `how` (see `try_listings`), without cutting its frames to a focus.

    Raises:
        WrongTimeline: read again, with the listing that it names.
    """
    with open_listed(path, how) as file:
        timeline = file.timeline
        picks = _pick_frames(file, spec, seed)
        decoder = DECODER_MODULES.get(spec.decoder)
        found = _read_other(file, decoder, spec, picks, how, gpu=gpu) if decoder is not None else ""
        if not isinstance(found, str):
            return found
        scaler = Scaler(spec, turn=timeline.turn)
        if timeline.counted:
            images = recovery.read_by_count(path, timeline, picks, scaler)
            pts = timeline.pts[list(images)]
            clip = _build_clip("pyav", scaler, timeline, pts, list(images.values()), timeline.damage)
        else:
            clip = _read_pyav(file, picks, scaler)
        return clip.replace(on_cpu=found) if spec.device == "cuda" else clip


def try_listings(read: Callable[[str], T]) -> T:
    """Call `read` with ways to list the frames of a file until its frames are those listed.

    The ways: by the container's `index`; by a `scan` of all packets; by a `count` of all frames; and, in
    `doubt`, by a count that includes frames of which the decoder complains.
    """
    how = "index"
    while True:
        try:
            return read(how)
        except WrongTimeline as wrong:
            how = wrong.instead


@contextmanager
def open_listed(path: str | Path, how: str) -> Iterator[VideoFile]:
    """Open a file, list its frames (see `try_listings`) and find its damage.

    Raises:
        ClipError: there is no frame.
        WrongTimeline: the index is wrong; use the listing that it names.
    """
    with open_video(path, trust_index=how == "index") as (container, stream):
        timeline = read_timeline(container, stream, scan=how != "index")
        timeline.damage = describe_truncation(path) or timeline.damage
        if how in ("count", "doubt") or not timeline.known:
            timeline = recovery.count_frames(path, timeline, doubtful=how == "doubt")
        else:
            timeline = recovery.drop_leading_frames(path, timeline)
        yield VideoFile(path, container, stream, timeline)


def _pick_frames(file: VideoFile, spec: ClipSpec, seed: int) -> np.ndarray:
    """Return the numbers of the frames that a spec picks, int64 `[T]`.

    Kind `motion` looks at thumbnails that PyAV decodes, whichever decoder reads the frames later.
    """
    timeline, count = file.timeline, spec.frames.count
    total = len(timeline.pts)
    if spec.frames.kind != "motion":
        return pick(spec.frames, timeline.times, timeline.key, seed)
    numbers = motion.list_candidates(total, count)
    if total <= count:
        return numbers
    thumbnail = replace(spec, size=motion.THUMBNAIL, interpolation="area", focus="whole")
    images = recovery.read_numbers(file, numbers, Scaler(thumbnail, turn=timeline.turn))
    if not images:
        return pick(Frames("uniform", count), timeline.times, timeline.key)
    seen = sorted(images)
    return motion.pick_moving(np.array(seen), np.stack([images[n] for n in seen]), total, count)


def _read_other(
    file: VideoFile, decoder: Decoder, spec: ClipSpec, picks: np.ndarray, how: str, *, gpu: int
) -> Clip | Plan | str:
    """Read with a decoder other than PyAV, or plan for the GPU; or return why PyAV has to read it."""
    if how != "index":
        return "a wrong index"  # which other decoders follow
    path, container, stream, timeline = file
    on_gpu = spec.device == "cuda"
    codec = stream.codec_context
    refused = decoder.refusal(path, timeline, container.format.name, codec.name)
    refused = refused or recovery.explain_pyav_only(timeline, codec)
    if on_gpu and not refused:
        refused = explain_cpu(codec.codec.canonical_name)
    if refused:
        return "damage" if timeline.damage else refused
    # Some decoders report damage only with options that PyAV can set and these cannot.
    silent = codec.name in QUIET or recovery.has_checksums(codec, timeline)
    heard = not on_gpu and not silent and can_hear(decoder.load, spec.decoder)
    if not heard and not recovery.is_sound(path, timeline, picks):
        return "damage"
    if on_gpu and spec.decoder == "torchcodec":
        return Plan.from_timeline(path, picks, timeline)
    scaler = Scaler(spec, turn=timeline.turn)
    try:
        signs = Signs()
        if on_gpu:
            images = list(decord.read(path, picks, timeline, scaler.from_rgb, gpu=gpu))
        else:
            images = list(decoder.read(path, picks, timeline, scaler.from_rgb))
        if heard and signs:
            return "damage"
        name = f"{spec.decoder}-{spec.device}" if on_gpu else spec.decoder
        return _build_clip(name, scaler, timeline, timeline.pts[picks], images, "")
    except ClipError as error:
        return str(error)


def _read_pyav(file: VideoFile, picks: np.ndarray, scaler: Scaler) -> Clip:
    timeline = file.timeline
    wanted = pyav.WantedFrames(picks, timeline, scaler)
    pyav.decode(file, wanted)
    if wanted.disordered:
        raise WrongTimeline("count")
    images = {int(timeline.pts[n]): image for n, image in wanted.images.items()}
    missing = [int(timeline.pts[n]) for n in wanted.missing()]
    reason = timeline.damage
    if missing:
        found = recovery.find_nearest(file.path, timeline, missing, set(images), scaler)
        images |= dict(found.values())
        moved = sum(due != true for due, (true, _) in found.items())
        reason = reason or _describe_damage(len(picks), moved, len(missing) - len(found))
    if not images:
        raise WrongTimeline("count")  # finds out why there is none
    order = sorted(images)
    return _build_clip("pyav", scaler, timeline, np.array(order), [images[pts] for pts in order], reason)


def _describe_damage(picked: int, moved: int, left_out: int) -> str:
    parts = []
    if moved:
        taken = "the nearest sound frames were taken"
        parts.append(f"{tally_part(moved, picked, 'frames are damaged')}; {taken}")
    if left_out:
        lost = "left out: no other sound frame is left"
        parts.append(f"{tally_part(left_out, picked, 'frames are damaged')} and {lost}")
    return "; ".join(parts)


def _build_clip(
    decoder: str, scaler: Scaler, timeline: Timeline, pts: np.ndarray, images: list[np.ndarray], damage: str
) -> Clip:
    """Build the clip of these frames, shown at `pts` int64 `[T]`.

    Raises:
        ClipError: there is no frame.
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
        created=timeline.created,
    )
