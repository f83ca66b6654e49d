"""Reads clips' frames for a loader, in processes that can be timed out and replaced."""

from collections import Counter
from collections.abc import Iterator, Sequence

from jungle.data.loader import Sample
from jungle.video import Clip, ClipSpec
from jungle.video.gpu_pool import GpuPool, open_pool
from jungle.video.pool import DecodePool, Job, Transform


class VideoReader:
    """A `Read` over video files. The worker processes start at the first read and stay until `close`.

    `device` is the model's: with `spec.device` cuda, frames may come as tensors that are there.
    `transform` is applied to each clip in the worker: see `DecodePool`.
    """

    def __init__(
        self,
        paths: Sequence[str],
        spec: ClipSpec,
        workers: int,
        timeout_s: float,
        seed: int = 0,
        ahead: int = 0,
        device: str = "cpu",
        transform: Transform | None = None,
    ) -> None:
        self.paths, self.spec, self.workers, self.timeout_s, self.seed = (
            list(paths),
            spec,
            workers,
            timeout_s,
            seed,
        )
        self.device = device
        self.transform = transform
        self.ahead = ahead or 2 * max(workers, 1) + 2
        self._pool: DecodePool | GpuPool | None = None

    def __call__(self, numbers: Sequence[int], epoch: int) -> Iterator[tuple[int, Sample | str]]:
        """Yield each number with its frames, or with the reason why there are none."""
        if self._pool is None:
            self._pool = open_pool(
                self.spec,
                device=self.device,
                workers=self.workers,
                timeout_s=self.timeout_s,
                transform=self.transform,
            )
        # What is drawn at random is drawn anew each epoch, and each time that a clip comes in it; the same on
        # any machine.
        times: Counter[int] = Counter()

        def job(number: int) -> Job:
            times[number] += 1
            seed = self.seed * 1_000_003 + epoch + (times[number] - 1) * 7_368_787
            return Job(str(number), self.paths[number], seed & 0x7FFFFFFF)

        jobs = (job(n) for n in map(int, numbers))
        for done, clip in self._pool.map(jobs, ahead=self.ahead):
            if isinstance(clip, Clip):
                yield int(done.key), Sample(clip.frames, clip.times, clip.status, clip.reason)
            else:
                yield int(done.key), str(clip)

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
