"""Decode clips with torchcodec on a GPU: worker processes open them, threads decode, results come in order.

A worker process opens each file and picks its frames, so a hostile file costs only that process. For sound
files of a codec of NVDEC it returns a `Plan`, which a thread of this process decodes on the GPU (CUDA cannot
be used after a fork, and its frames cannot be moved between processes). The worker reads all others itself,
through PyAV, as well as those on which the GPU fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

from jungle.console import log
from jungle.errors import UserError
from jungle.video.decoders import nvdec, torchcodec
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.types import Clip, ClipError, ClipSpec
from jungle.video.workers.decode_pool import (
    MEMORY_GB,
    DecodePool,
    Job,
    Order,
    ReadTask,
    Source,
    Transform,
    unpack,
)
from jungle.video.workers.decode_stats import DecodeStats
from jungle.video.workers.process_pool import TaskFailed, WorkerPool, run_in_order
from jungle.video.workers.protocol import Answer
from jungle.video.workers.timeout_threads import MOST_HUNG, Call, GivenUp, TimeoutThreads

THREADS = 8  # more than any card has NVDEC engines: some threads seek or wait while others decode
Decode = Callable[[Plan, ClipSpec, str], Clip]
Reading = Future[Clip | ClipError]
"""A worker's reading of a clip that the GPU did not decode."""
Planned = Call[tuple[Job, Plan], Clip | tuple[str, Reading]]
"""A clip in the threads: decoded there; or the reason why not, and the reading on the CPU."""


def open_pool(
    spec: ClipSpec,
    *,
    device: str,
    workers: int,
    timeout_s: float,
    transform: Transform | None = None,
    source: Source | None = None,
) -> DecodePool | GpuPool:
    """Open the pool that reads clips as a spec says, for a model on `device`.

    `transform` and `source` run in the worker processes, and so only for clips that are decoded there.

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
    """Read clips with torchcodec on a GPU; `map` is that of `DecodePool`.

    Args:
        spec: how each clip is turned into frames.
        device: the GPU, where the frames stay.
        workers: processes that open files and decode what the GPU does not; at least one.
        timeout_s: seconds a clip may take, in each of the two places.
        threads: clips that the GPU decodes at once.
        decode: carries out a plan in a thread.
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
        self.spec, self.device, self.stats = spec, device, DecodeStats()
        self._decode = decode
        self._workers: WorkerPool[Order] = WorkerPool(
            ReadTask((spec,)), workers=max(1, workers), timeout_s=timeout_s, memory_gb=MEMORY_GB
        )
        self._threads = TimeoutThreads(self._decode_plan, threads=threads, timeout_s=timeout_s)

    def __enter__(self) -> GpuPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and the threads; log how many clips the GPU decoded."""
        self._threads.close()
        self._workers.close()
        self.stats.log()

    def map(self, jobs: Iterable[Job], *, ahead: int) -> Iterator[tuple[Job, Clip | ClipError]]:
        """Read clips as `DecodePool.map`; frames are tensors on the device, or arrays from the CPU.

        Raises:
            UserError: the GPU's decoder has hung several times, or cannot work on this machine.
        """
        for job, future in run_in_order(jobs, ahead, self._begin):
            clip = self._finish(job, self._workers.wait(future))
            self.stats.add(clip)
            yield job, nvdec.lend(clip) if isinstance(clip, Clip) else clip

    def _begin(self, job: Job) -> Future[Clip | ClipError | Planned]:
        """Have a worker open a file; its plan goes to the threads at once."""

        def then(answer: Answer) -> Clip | ClipError | Planned:
            found = unpack(answer)
            return self._threads.submit((job, found)) if isinstance(found, Plan) else _take_first(found)

        return self._workers.submit_then((job, ""), then)

    def _decode_plan(self, item: tuple[Job, Plan]) -> Clip | tuple[str, Reading]:
        """Decode in a thread; if the GPU fails, say why and start the worker's reading."""
        job, plan = item
        try:
            return self._decode(plan, self.spec, self.device)
        except ClipError as error:
            return str(error), self._read_on_cpu(job)

    def _read_on_cpu(self, job: Job) -> Reading:
        return self._workers.submit_then((job, "pyav"), lambda answer: _take_first(unpack(answer)))

    def _finish(self, job: Job, found: Clip | ClipError | Planned | TaskFailed) -> Clip | ClipError:
        if isinstance(found, TaskFailed):
            return ClipError(str(found))
        if not isinstance(found, Call):
            return found
        try:
            result = self._threads.wait(found)
        except GivenUp as error:
            name = "".join(c if c.isprintable() else "?" for c in Path(job.path).name)
            log.warning(f"{name}: the GPU's decoder gave {error}; the CPU decodes it instead")
            if self._threads.hung >= MOST_HUNG:
                raise UserError(
                    f"the GPU's decoder has hung on {self._threads.hung} clips, the last {name}: "
                    "start again with decoder.device=cpu, and see jungle doctor"
                ) from None
            return self._wait_for_cpu("it hung on the GPU", self._read_on_cpu(job))
        return result if isinstance(result, Clip) else self._wait_for_cpu(*result)

    def _wait_for_cpu(self, why: str, reading: Reading) -> Clip | ClipError:
        found = self._workers.wait(reading)
        if isinstance(found, TaskFailed):
            return ClipError(str(found))
        return found.replace(on_cpu=why) if isinstance(found, Clip) else found


def _take_first(found: list[Clip] | Plan | ClipError) -> Clip | ClipError:
    assert not isinstance(found, Plan)  # none is made for the CPU
    return found if isinstance(found, ClipError) else found[0]
