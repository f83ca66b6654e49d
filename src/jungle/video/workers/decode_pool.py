"""Clips decoded in worker processes that can be timed out and killed, given back in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from jungle.video.types import Clip, ClipError, ClipSpec, Likely
from jungle.video.workers.decode_stats import Tally
from jungle.video.workers.process_pool import TaskFailed, Worker, WorkerPool
from jungle.video.workers.protocol import Answer

MEMORY_GB = 2.0
TORCH_GB = 6.0  # torch, or a GPU's context, alone takes more than a decoder may


@dataclass(frozen=True)
class Job:
    """A clip to be read: `key` is the caller's own name for it, `seed` is for random frames."""

    key: str
    path: str
    seed: int = 0
    content: str = ""
    """Names what the file holds, for a `Source`; empty where that is not known."""
    if_damaged: str = ""
    """Names the same, and when the file was last written: for what is made of a reading that is not sound."""
    likely: Likely = ()
    """Of its frames, for kind `random`: `Frames.likely`."""

    def spec(self, spec: ClipSpec, decoder: str = "") -> ClipSpec:
        """How this clip is read, where all are read as `spec` says; by `decoder`, on the CPU, if named."""
        if decoder:
            spec = replace(spec, decoder=decoder, device="cpu")
        return replace(spec, frames=replace(spec.frames, likely=self.likely)) if self.likely else spec


Transform = Callable[[Clip, Job], Clip]
Source = Callable[[Job, int], Clip]
"""Reads a job's clip; takes the number of the GPU too."""


class DecodePool:
    """Reads clips in worker processes. Where a worker hangs or dies, its clip becomes a `ClipError`.

    Args:
        spec: how each clip is turned into frames.
        workers: processes; 0 decodes in this process, without protection, for debugging.
        timeout_s: seconds a clip may take.
        memory_gb: private memory that each worker may take; more for torchcodec, which brings torch.
        transform: applied in the worker to each clip that could be read; picklable by reference.
        gpu: the number of the GPU, for decord with `spec.device` cuda. What torchcodec decodes on a GPU is
            read by `jungle.video.workers.gpu_pool`.
        source: reads clips in place of `jungle.video.reader.look`, to the same result; picklable. A clip that
            it loses a worker for is read without it.

    Example:
        with DecodePool(spec, workers=4) as pool:
            for job, clip in pool.map(jobs, ahead=16):
                ...
    """

    def __init__(
        self,
        spec: ClipSpec,
        *,
        workers: int,
        timeout_s: float = 60,
        memory_gb: float | None = None,
        transform: Transform | None = None,
        gpu: int = 0,
        source: Source | None = None,
    ) -> None:
        torch_gb = TORCH_GB if spec.decoder == "torchcodec" or spec.device == "cuda" else 0.0
        self._read = _Read(spec, transform, gpu, source)
        self._pool = (
            WorkerPool(
                self._read,
                workers=workers,
                timeout_s=timeout_s,
                memory_gb=memory_gb or MEMORY_GB + torch_gb,
            )
            if workers > 0
            else None
        )
        # What hangs or kills one decoder may be read by the one that reads packet by packet.
        self._again = [] if spec.decoder == "pyav" else ["pyav"]
        if source is not None:
            plain = "pyav" if spec.decoder == "auto" else spec.decoder
            self._again = list(dict.fromkeys([plain, "pyav"]))
        self._tally = Tally() if spec.device == "cuda" else None

    @property
    def processes(self) -> list[Worker]:
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
        if self._tally is not None:
            self._tally.say()

    def map(self, jobs: Iterable[Job], *, ahead: int) -> Iterator[tuple[Job, Clip | ClipError]]:
        """Read clips, in the order of `jobs`.

        Args:
            jobs: drawn one by one as room is made.
            ahead: at most this many clips are held or worked on beyond the one being given.

        Raises:
            UserError: the decoder cannot work on this machine.
        """
        for job, clip in self._found(jobs, ahead):
            if self._tally is not None:
                self._tally.add(clip)
            yield job, clip

    def _found(self, jobs: Iterable[Job], ahead: int) -> Iterator[tuple[Job, Clip | ClipError]]:
        if self._pool is None:
            for job in jobs:
                yield job, self._here(job)
            return
        for (job, _), answer in self._pool.map(((job, "") for job in jobs), ahead):
            yield job, self._clip(job, answer)

    def _here(self, job: Job) -> Clip | ClipError:
        try:
            return self._read.clip(job, "")
        except ClipError as error:
            return error

    def _clip(self, job: Job, answer: Answer | TaskFailed) -> Clip | ClipError:
        if not isinstance(answer, TaskFailed):
            return unpack(*answer)
        assert self._pool is not None
        for decoder in self._again:
            second = self._pool.outcome(self._pool.submit((job, decoder)))
            if not isinstance(second, TaskFailed):
                clip = unpack(*second)
                if self._tally is not None and isinstance(clip, Clip):
                    return clip.replace(on_cpu=str(answer))
                return clip
        return ClipError(str(answer))


class _Read:
    """The task of a worker: read one clip and transform it."""

    def __init__(self, spec: ClipSpec, transform: Transform | None, gpu: int, source: Source | None) -> None:
        self.spec, self.transform, self.gpu, self.source = spec, transform, gpu, source

    def prepare(self) -> None:
        # Imported for their loading alone (hence F401), before the first clip's time begins to count.
        import av.video.reformatter  # noqa: F401

        from jungle.video.decoders import (
            torchcodec,
        )

        if self.spec.decoder == "torchcodec":
            torchcodec.load()

    def clip(self, job: Job, decoder: str) -> Clip:
        from jungle.video.reader import look

        if self.source is not None and not decoder:
            clip = self.source(job, self.gpu)
        else:
            clip = look(job.path, job.spec(self.spec, decoder), job.seed, self.gpu)
        assert isinstance(clip, Clip), "plans are for a GpuPool"
        return clip if self.transform is None else self.transform(clip, job)

    def __call__(self, order: tuple[Job, str]) -> Answer:
        try:
            clip = self.clip(*order)
        except ClipError as error:
            return {"unreadable": str(error)}, []
        return pack(clip)


def pack(clip: Clip) -> Answer:
    """A clip as it passes between processes."""
    facts = {k: v for k, v in vars(clip).items() if k not in ("frames", "times")}
    return {"clip": facts}, [clip.frames, clip.times]


def unpack(header: dict[str, Any], arrays: list[Any]) -> Clip | ClipError:
    """What a worker has made of a clip."""
    if "unreadable" in header:
        return ClipError(header["unreadable"])
    frames, times = arrays
    return Clip(frames=frames, times=times, **header["clip"])
