"""Clips decoded by torchcodec on a GPU: looked into by worker processes, decoded by threads, given in order.

A worker process opens each file, lists its frames and picks: a file that hangs or kills a demuxer costs that
process. Sound files of a codec that NVDEC has come back as a `Plan`, which a thread of this process carries
out on the GPU (which cannot be used after a fork, and whose frames cannot cross processes and stay there).
The worker reads all others itself, through PyAV, as it does whatever the GPU then turns out not to decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from jungle.console import log
from jungle.errors import UserError
from jungle.video.decoders import nvdec, torchcodec
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.types import Clip, ClipError, ClipSpec
from jungle.video.workers.decode_pool import MEMORY_GB, DecodePool, Job, Source, Transform, pack, unpack
from jungle.video.workers.decode_stats import Tally, name_of
from jungle.video.workers.process_pool import TaskFailed, WorkerPool, in_order
from jungle.video.workers.protocol import Answer
from jungle.video.workers.timeout_threads import MOST_HUNG, GivenUp, HardyThreads, Task

THREADS = 8  # more than any card has NVDEC engines: some threads seek or wait while others decode
Decode = Callable[[Plan, ClipSpec, str], Clip]


def open_pool(
    spec: ClipSpec,
    *,
    device: str,
    workers: int,
    timeout_s: float,
    transform: Transform | None = None,
    source: Source | None = None,
) -> DecodePool | GpuPool:
    """The pool that reads clips as a spec says, for a model on `device`.

    `transform` and `source` work in the worker processes, and so only for clips that are decoded there.

    Raises:
        UserError: torchcodec cannot be loaded.
    """
    if spec.device == "cuda" and spec.decoder == "torchcodec":
        assert transform is None
        assert source is None
        torchcodec.load()
        return GpuPool(spec, device=device, workers=workers, timeout_s=timeout_s)
    gpu = int(device.partition(":")[2] or 0)
    return DecodePool(spec, workers=workers, timeout_s=timeout_s, gpu=gpu, transform=transform, source=source)


class GpuPool:
    """Reads clips with torchcodec on a GPU; see `DecodePool`, whose `map` this has too.

    Args:
        spec: how each clip is turned into frames.
        device: the GPU, where the frames stay.
        workers: processes that look into files and decode what the GPU does not; at least one.
        timeout_s: seconds a clip may take, in each of the two places.
        threads: clips that the GPU decodes at once.
        decode: what a thread does with a plan.
    """

    def __init__(
        self,
        spec: ClipSpec,
        *,
        device: str,
        workers: int,
        timeout_s: float = 60,
        threads: int = THREADS,
        decode: Decode = nvdec.decode,
    ) -> None:
        self.spec, self.device, self.tally = spec, device, Tally()
        self._decode = decode
        self._workers = WorkerPool(
            _Look(spec), workers=max(1, workers), timeout_s=timeout_s, memory_gb=MEMORY_GB
        )
        self._threads = HardyThreads(self._on_gpu, threads=threads, timeout_s=timeout_s)

    def __enter__(self) -> GpuPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and the threads; say how many clips the GPU has decoded."""
        self._threads.close()
        self._workers.close()
        self.tally.say()

    def map(self, jobs: Iterable[Job], *, ahead: int) -> Iterator[tuple[Job, Clip | ClipError]]:
        """Read clips, in the order of `jobs`; frames are tensors on the device, or arrays where the CPU read.

        Args:
            jobs: drawn one by one as room is made.
            ahead: at most this many clips are held or worked on beyond the one being given.

        Raises:
            UserError: the GPU's decoder has hung again and again, or cannot work on this machine.
        """
        for job, future in in_order(jobs, ahead, self._begin):
            clip = self._end(job, self._workers.outcome(future))
            self.tally.add(clip)
            yield job, nvdec.lend(clip) if isinstance(clip, Clip) else clip

    def _begin(self, job: Job) -> Future[Any]:
        """Have a worker look into a file; what it plans goes on to the threads at once."""

        def then(answer: Answer) -> Clip | ClipError | Task:
            header, arrays = answer
            if "plan" in header:
                return self._threads.submit((job, Plan.unpacked(header["plan"], arrays)))
            return unpack(header, arrays)

        return self._workers.submit((job, ""), then)

    def _on_gpu(self, order: tuple[Job, Plan]) -> Clip | tuple[str, Future[Any]]:
        """In a thread: the clip, or why not, and the worker's reading of it that is under way instead."""
        job, plan = order
        try:
            return self._decode(plan, self.spec, self.device)
        except ClipError as error:
            return str(error), self._on_cpu(job)

    def _on_cpu(self, job: Job) -> Future[Any]:
        return self._workers.submit((job, "pyav"), lambda answer: unpack(*answer))

    def _end(self, job: Job, found: Clip | ClipError | Task | TaskFailed) -> Clip | ClipError:
        if isinstance(found, TaskFailed):
            return ClipError(str(found))
        if not isinstance(found, Task):
            return found
        try:
            made = self._threads.wait(found)
        except GivenUp as error:
            log.warning(f"{name_of(job.path)}: the GPU's decoder gave {error}; the CPU decodes it instead")
            if self._threads.hung >= MOST_HUNG:
                raise UserError(
                    f"the GPU's decoder has hung on {self._threads.hung} clips, "
                    f"the last {name_of(job.path)}: go on with decoder.device=cpu, and see jungle doctor"
                ) from None
            return self._instead("it hung on the GPU", self._on_cpu(job))
        return made if isinstance(made, Clip) else self._instead(*made)

    def _instead(self, why: str, future: Future[Any]) -> Clip | ClipError:
        """A clip that a worker reads because the GPU did not."""
        found = self._workers.outcome(future)
        if isinstance(found, TaskFailed):
            return ClipError(str(found))
        return found.replace(on_cpu=why) if isinstance(found, Clip) else found


class _Look:
    """The task of a worker: plan a clip for the GPU, or read it."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec

    def prepare(self) -> None:
        from jungle.video import reader  # noqa: F401

    def __call__(self, order: tuple[Job, str]) -> Answer:
        from jungle.video.reader import look

        job, decoder = order
        try:
            found = look(job.path, job.spec(self.spec, decoder), job.seed)
        except ClipError as error:
            return {"unreadable": str(error)}, []
        if isinstance(found, Clip):
            return pack(found)
        facts, arrays = found.packed()
        return {"plan": facts}, arrays
