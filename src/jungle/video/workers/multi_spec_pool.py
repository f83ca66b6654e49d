"""A clip read once for several models, each with its own choice of frames, size and cut.

Decoding costs far more than resizing, so the frames that any of them wants are decoded in one pass. What each
gets is to the bit what it would get alone; a clip for which that is not sure (damaged, or with a wrong index)
is read once for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jungle.video.container.open import check_file, opened
from jungle.video.container.timeline import WrongTimeline
from jungle.video.decoders import pyav
from jungle.video.decoders.resize import Scaler
from jungle.video.reader import as_seen, list_frames, look, made
from jungle.video.selection import picks_of
from jungle.video.types import Clip, ClipError, ClipSpec
from jungle.video.workers.decode_pool import MEMORY_GB, Job, pack, unpack
from jungle.video.workers.process_pool import TaskFailed, WorkerPool
from jungle.video.workers.protocol import Answer

if TYPE_CHECKING:
    from av import VideoFrame

Order = tuple[Job, tuple[int, ...]]
"""A clip, and the numbers of the specs that it is read for."""


def read_each(path: str | Path, specs: Sequence[ClipSpec], seed: int = 0) -> list[Clip]:
    """Read the frames of a clip for each spec: what `read_clip` gives for them one by one.

    Args:
        path: the file.
        specs: which frames, and how they are cut and resized; all on the CPU.
        seed: for frames of kind `random`.

    Raises:
        ClipError: no frame can be read.
        UserError: a decoder asked for is not installed.
    """
    if len(specs) > 1 and all(s.decoder in ("auto", "pyav") for s in specs):
        try:
            if (found := _in_one_pass(path, specs, seed)) is not None:
                return found
        except (ClipError, WrongTimeline, MemoryError):
            pass
    clips = [look(path, spec, seed) for spec in specs]
    assert all(isinstance(c, Clip) for c in clips), "plans are for a GpuPool"
    return clips  # type: ignore[return-value]  # as was just said


def _in_one_pass(path: str | Path, specs: Sequence[ClipSpec], seed: int) -> list[Clip] | None:
    """The clip for each spec; None where it is not sound, and each has to find its own way."""
    size = check_file(path)
    with opened(path, trust_index=True) as (container, stream):
        timeline = list_frames(path, size, container, stream, "index")
        if timeline.damage or timeline.counted:
            return None
        picks = [picks_of(path, container, stream, timeline, spec, seed) for spec in specs]
        scalers = [Scaler(spec, turn=timeline.turn) for spec in specs]
        images: list[dict[int, np.ndarray]] = [{} for _ in specs]
        asking: dict[int, list[int]] = {}
        for i, mine in enumerate(picks):
            for pts in timeline.pts[mine].tolist():
                asking.setdefault(pts, []).append(i)

        def convert(frame: VideoFrame) -> np.ndarray:
            assert frame.pts is not None
            for i in asking[frame.pts]:
                images[i][frame.pts] = scalers[i](frame)
            return np.empty(0)  # kept above

        wanted = pyav.Wanted(np.unique(np.concatenate(picks)), timeline, convert)
        pyav.decode(path, container, stream, timeline, wanted)
        if wanted.disordered or wanted.missing():
            return None
    clips = []
    for spec, scaler, mine, seen in zip(specs, scalers, picks, images, strict=True):
        pts = timeline.pts[mine]
        clip = made("pyav", scaler, timeline, pts, [seen[p] for p in pts.tolist()], "")
        clips.append(as_seen(clip, path, spec, seed))
    return clips


class EachPool:
    """Reads clips for several specs in worker processes; see `jungle.video.workers.decode_pool.DecodePool`.

    Args:
        specs: how each clip is turned into frames, for one model each; all on the CPU.
        workers: processes; 0 decodes in this process, without protection, for debugging.
        timeout_s: seconds a clip may take.
    """

    def __init__(self, specs: Sequence[ClipSpec], *, workers: int, timeout_s: float) -> None:
        self._read = _ReadEach(tuple(specs))
        how: dict[str, Any] = {"workers": workers, "timeout_s": timeout_s, "memory_gb": MEMORY_GB}
        self._pool = WorkerPool(self._read, **how) if workers > 0 else None

    def __enter__(self) -> EachPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def map(
        self, orders: Iterable[Order], *, ahead: int
    ) -> Iterator[tuple[Job, tuple[int, ...], list[Clip] | ClipError]]:
        """Read clips, in the order of `orders`, each for the specs that it names.

        Args:
            orders: drawn one by one as room is made.
            ahead: at most this many clips are held or worked on beyond the one being given.

        Raises:
            UserError: a decoder cannot work on this machine.
        """
        if self._pool is None:
            for job, which in orders:
                try:
                    yield job, which, self._read.clips(job, which, "")
                except ClipError as error:
                    yield job, which, error
            return
        for (job, which, _), answer in self._pool.map(((*order, "") for order in orders), ahead):
            if isinstance(answer, TaskFailed):  # what hangs or kills one decoder may be read by another
                answer = self._pool.outcome(self._pool.submit((job, which, "pyav")))
            yield job, which, ClipError(str(answer)) if isinstance(answer, TaskFailed) else _unpacked(answer)


class _ReadEach:
    """The task of a worker: read one clip for some of the specs."""

    def __init__(self, specs: tuple[ClipSpec, ...]) -> None:
        self.specs = specs

    def prepare(self) -> None:
        # Imported for its loading alone (hence F401), before the first clip's time begins to count.
        import av.video.reformatter  # noqa: F401

    def clips(self, job: Job, which: tuple[int, ...], decoder: str) -> list[Clip]:
        specs = [self.specs[i] for i in which]
        if decoder:
            return [c for s in specs for c in read_each(job.path, [replace(s, decoder=decoder)], job.seed)]
        return read_each(job.path, specs, job.seed)

    def __call__(self, order: tuple[Job, tuple[int, ...], str]) -> Answer:
        try:
            packed = [pack(clip) for clip in self.clips(*order)]
        except ClipError as error:
            return {"unreadable": str(error)}, []
        return {"clips": [facts for facts, _ in packed]}, [a for _, arrays in packed for a in arrays]


def _unpacked(answer: Answer) -> list[Clip] | ClipError:
    header, arrays = answer
    if "unreadable" in header:
        return ClipError(header["unreadable"])
    clips = [unpack(facts, arrays[2 * i : 2 * i + 2]) for i, facts in enumerate(header["clips"])]
    return [c for c in clips if isinstance(c, Clip)]
