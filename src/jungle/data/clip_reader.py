"""Reader of clips' frames for a loader, in processes that can be timed out and replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from jungle.data.frame_cache.cache import CacheStats, FrameCache
from jungle.data.loader import Sample, count_draws
from jungle.errors import UserError
from jungle.system import free_memory
from jungle.video import Clip, ClipSpec
from jungle.video.types import Likely
from jungle.video.workers.decode_pool import DecodePool, Job, Transform
from jungle.video.workers.gpu_pool import GpuPool, open_pool


class VideoReader:
    """A `Read` over video files. The worker processes start at the first read and stay until `close`.

    `device` is the model's: with `spec.device` cuda, frames may come as tensors that are there.
    `transform` is applied to each clip in the worker: see `DecodePool`. With `cache`, frames are read from
    there where they are kept, to the same result. `likely` has `Frames.likely` of each path.
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
        cache: FrameCache | None = None,
        likely: Sequence[Likely] | None = None,
    ) -> None:
        self.paths, self.spec, self.device = list(paths), spec, device
        self.workers, self.timeout_s, self.seed = workers, timeout_s, seed
        self.transform, self.cache, self.likely = transform, cache, likely
        self._cache_stats = None if cache is None else CacheStats(cache)
        self.ahead = limit_ahead([spec], ahead or 2 * max(workers, 1) + 2)
        self._pool: DecodePool | GpuPool | None = None

    def __call__(
        self, numbers: Sequence[int], epoch: int, draws: Sequence[int] = ()
    ) -> Iterator[tuple[int, Sample | str]]:
        """Yield each number with its frames, or with the reason why there are none.

        What is random about a clip differs by epoch and by draw, and is the same on any machine and in a run
        that was stopped. `draws` is the number of each draw of its clip; by default the first is 0.
        """
        if self._pool is None:
            self._pool = open_pool(
                self.spec,
                device=self.device,
                workers=self.workers,
                timeout_s=self.timeout_s,
                transform=self.transform,
                source=None if self.cache is None else self.cache.source(self.spec),
            )

        def job(number: int, draw: int) -> Job:
            seed = self.seed * 1_000_003 + epoch + draw * 7_368_787
            path = self.paths[number]
            content = None if self.cache is None else self.cache.contents.get(path)
            names = ("", "") if content is None else (content.key, content.if_damaged)
            likely = () if self.likely is None else self.likely[number]
            return Job(str(number), path, seed & 0x7FFFFFFF, *names, likely)

        draws = draws or count_draws(numbers, Counter())
        jobs = (job(int(n), d) for n, d in zip(numbers, draws, strict=True))
        for done, clip in self._pool.map(jobs, ahead=self.ahead):
            if isinstance(clip, Clip):
                if self._cache_stats is not None:
                    self._cache_stats.add(clip)
                yield int(done.key), make_sample(clip)
            else:
                yield int(done.key), str(clip)
        if self._cache_stats is not None:
            self._cache_stats.log()

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def make_sample(clip: Clip) -> Sample:
    """Return the sample of a clip that was read."""
    return Sample(clip.frames, clip.times, clip.status, clip.reason, clip.duration, clip.created)


def limit_ahead(specs: Sequence[ClipSpec], wanted: int) -> int:
    """Return how many clips may be held at once: as many as wanted, at most half of the free memory.

    Args:
        specs: each clip is held as the frames of all of them.
        wanted: clips.

    Raises:
        UserError: not even one fits.
    """
    largest = max(specs, key=lambda spec: spec.most_bytes or 0)
    total, free = sum(spec.most_bytes or 0 for spec in specs), free_memory()
    if not total:
        return wanted
    if total > free:
        height, width = largest.size or (0, 0)
        raise UserError(
            f"the frames of one clip take {total / 1e9:.1f} GB ({largest.frames.count} of {height}x"
            f"{width}), and {free / 1e9:.1f} GB of memory are left: take a smaller frames.count or model.size"
        )
    return max(1, min(wanted, free // 2 // total))
