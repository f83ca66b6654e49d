"""Decode clips in worker processes that can be timed out and killed; results come in the order of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from jungle.video.decoders import torchcodec
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.reader import read_each, read_or_plan
from jungle.video.types import Clip, ClipError, ClipFacts, ClipSpec, Likely
from jungle.video.workers.decode_stats import DecodeStats
from jungle.video.workers.process_pool import TaskFailed, Worker, WorkerPool

if TYPE_CHECKING:
    from jungle.video.workers.protocol import Answer

MEMORY_GB = 2.0
TORCH_GB = 6.0  # torch, or a GPU's context, alone takes more than a decoder may


@dataclass(frozen=True, slots=True)
class Job:
    """A clip to read."""

    key: str
    """The caller's own name for it."""
    path: str
    seed: int = 0
    """For random frames."""
    content: str = ""
    """Content key of the file, for a `Source`; empty if unknown."""
    if_damaged: str = ""
    """Content key with the time of the last write, under which the frames of a damaged file are cached."""
    likely: Likely = ()
    """For frames of kind `random`: `Frames.likely`."""
    specs: tuple[int, ...] = (0,)
    """Which of the pool's specs it is read for."""

    def adapt(self, spec: ClipSpec, decoder: str = "") -> ClipSpec:
        """Return the spec for this clip; if `decoder` is given, with that decoder on the CPU."""
        if decoder:
            spec = replace(spec, decoder=decoder, device="cpu")
        return replace(spec, frames=replace(spec.frames, likely=self.likely)) if self.likely else spec


Transform = Callable[[Clip, Job], Clip]
Source = Callable[[Job, int], Clip]
"""Reads a job's clip; takes the number of the GPU too."""
Order = tuple[Job, str]
"""A job, and the decoder that replaces the spec's; empty for the first attempt."""


class DecodePool:
    """Read clips in worker processes. If a worker hangs or dies, its clip becomes a `ClipError`.

    With several specs a clip is decoded once for all of them: see `jungle.video.reader.read_each`.

    Args:
        specs: how each clip is turned into frames: one spec, or several, all on the CPU.
        workers: processes; 0 decodes in this process, without protection, for debugging.
        timeout_s: seconds a clip may take.
        memory_gb: private memory that each worker may take; the default is higher where torch is loaded.
        transform: applied in the worker to each clip that could be read; picklable by reference.
        gpu: the number of the GPU, for decord with `spec.device` cuda. What torchcodec decodes on a GPU is
            read by `jungle.video.workers.gpu_pool`.
        source: reads clips instead of `jungle.video.reader`, with the same result; picklable. If a worker
            dies in it, the clip is read without it.

    Example:
        with DecodePool(spec, workers=4) as pool:
            for job, clip in pool.map(jobs, ahead=16):
                ...
    """

    def __init__(
        self,
        specs: ClipSpec | Sequence[ClipSpec],
        *,
        workers: int,
        timeout_s: float = 60,
        memory_gb: float | None = None,
        transform: Transform | None = None,
        gpu: int = 0,
        source: Source | None = None,
    ) -> None:
        specs = (specs,) if isinstance(specs, ClipSpec) else tuple(specs)
        on_gpu = any(s.device == "cuda" for s in specs)
        torch_gb = TORCH_GB if on_gpu or any(s.decoder == "torchcodec" for s in specs) else 0.0
        self._task = ReadTask(specs, transform=transform, source=source, gpu=gpu)
        self._pool: WorkerPool[Order] | None = None
        if workers > 0:
            memory_gb = memory_gb or MEMORY_GB + torch_gb
            self._pool = WorkerPool(self._task, workers=workers, timeout_s=timeout_s, memory_gb=memory_gb)
        # A clip that hangs or kills one decoder may be read by PyAV, or alone rather than for several specs.
        decoders = {s.decoder for s in specs}
        self._retry_with = [] if decoders == {"pyav"} and len(specs) == 1 else ["pyav"]
        if source is not None:
            first = next(iter(decoders))
            self._retry_with = list(dict.fromkeys(["pyav" if first == "auto" else first, "pyav"]))
        self._stats = DecodeStats() if on_gpu else None

    @property
    def processes(self) -> list[Worker[Order]]:
        """The worker processes started so far."""
        return self._pool.workers if self._pool is not None else []

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        if self._pool is not None:
            self._pool.close()
        if self._stats is not None:
            self._stats.log()

    def map(self, jobs: Iterable[Job], *, ahead: int) -> Iterator[tuple[Job, Clip | ClipError]]:
        """Read clips for the first spec of each job, in the order of `jobs`; see `map_each`."""
        for job, found in self.map_each(jobs, ahead=ahead):
            yield job, found if isinstance(found, ClipError) else found[0]

    def map_each(self, jobs: Iterable[Job], *, ahead: int) -> Iterator[tuple[Job, list[Clip] | ClipError]]:
        """Read clips, in the order of `jobs`: for each a clip for each of `Job.specs`.

        Args:
            jobs: drawn one by one as room is made.
            ahead: at most this many clips are held or worked on beyond the one being given.

        Raises:
            UserError: a decoder cannot work on this machine.
        """
        for job, found in self._read_all(jobs, ahead):
            if self._stats is not None:
                for clip in [found] if isinstance(found, ClipError) else found:
                    self._stats.add(clip)
            yield job, found

    def _read_all(self, jobs: Iterable[Job], ahead: int) -> Iterator[tuple[Job, list[Clip] | ClipError]]:
        if self._pool is None:
            for job in jobs:
                try:
                    yield job, _require_clips(self._task.read(job))
                except ClipError as error:
                    yield job, error
            return
        for (job, _), answer in self._pool.map(((job, "") for job in jobs), ahead):
            failed = isinstance(answer, TaskFailed)
            yield job, self._retry(job, answer) if failed else _require_clips(unpack(answer))

    def _retry(self, job: Job, failure: TaskFailed) -> list[Clip] | ClipError:
        assert self._pool is not None
        for decoder in self._retry_with:
            answer = self._pool.wait(self._pool.submit((job, decoder)))
            if not isinstance(answer, TaskFailed):
                found = _require_clips(unpack(answer))
                if self._stats is None or isinstance(found, ClipError):
                    return found
                return [clip.replace(on_cpu=str(failure)) for clip in found]
        return ClipError(str(failure))


@dataclass(frozen=True)
class ReadTask:
    """The task of a worker: read one clip for some of the specs, or plan it for the GPU."""

    specs: tuple[ClipSpec, ...]
    transform: Transform | None = None
    source: Source | None = None
    gpu: int = 0

    def prepare(self) -> None:
        """Load what reading needs, before the first clip's time begins to count."""
        if any(s.decoder == "torchcodec" and s.device == "cpu" for s in self.specs):
            torchcodec.load()

    def read(self, job: Job, decoder: str = "") -> list[Clip] | Plan:
        """Read one clip; with `decoder`, by that one alone and once for each spec.

        Raises:
            ClipError: it cannot be read.
        """
        specs = [job.adapt(self.specs[i], decoder) for i in job.specs]
        if self.source is not None and not decoder:
            clips = [self.source(job, self.gpu)]
        elif len(specs) == 1:
            found = read_or_plan(job.path, specs[0], job.seed, self.gpu)
            if isinstance(found, Plan):
                return found
            clips = [found]
        elif decoder:
            clips = [clip for spec in specs for clip in read_each(job.path, [spec], job.seed)]
        else:
            clips = read_each(job.path, specs, job.seed)
        return clips if self.transform is None else [self.transform(clip, job) for clip in clips]

    def __call__(self, order: Order) -> Answer:
        """Read one clip and pack the result for the parent process."""
        try:
            found = self.read(*order)
        except ClipError as error:
            return {"unreadable": str(error)}, []
        if isinstance(found, Plan):
            facts, arrays = found.pack()
            return {"plan": facts}, arrays
        arrays = [array for clip in found for array in (clip.frames, clip.times)]
        return {"clips": [clip.facts() for clip in found]}, arrays


def unpack(answer: Answer) -> list[Clip] | Plan | ClipError:
    """Return what a `ReadTask` packed."""
    header, arrays = answer
    if "unreadable" in header:
        return ClipError(str(header["unreadable"]))
    if "plan" in header:
        return Plan.unpack(header["plan"], arrays)
    clips = cast("list[ClipFacts]", header["clips"])
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return [Clip(frames=f, times=t, **facts) for (f, t), facts in zip(pairs, clips, strict=True)]


def _require_clips(found: list[Clip] | Plan | ClipError) -> list[Clip] | ClipError:
    assert not isinstance(found, Plan), "plans are for a GpuPool"
    return found
