"""Measure whether the CPU or the GPU decodes given clips faster, and whether their frames agree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict, cast

import numpy as np

from jungle.video.types import Clip, ClipSpec
from jungle.video.workers.decode_pool import Job
from jungle.video.workers.gpu_pool import open_pool
from jungle.video.workers.process_pool import TaskFailed, TaskRefused, Worker
from jungle.video.workers.protocol import Answer
from jungle.wording import count

TOLERANCE = 3.0
"""Levels of 255: mean difference allowed between a frame of the GPU and of the CPU. The codecs are exact, but
colours are rounded and their half-size planes enlarged in other ways; a wrong frame differs by far more."""
FEWEST = 200  # clips of a run for which a trial is worth its seconds
SAMPLED = 24  # clips of a trial
GAIN = 1.25  # times faster the GPU must be
TRIAL_S = 240.0
TRIAL_GB = 64.0  # of memory: torch, CUDA and what they reserve


@dataclass(frozen=True)
class Trial:
    """Input of a trial: the specs of CPU and GPU, and the clips."""

    specs: tuple[ClipSpec, ClipSpec]
    paths: tuple[str, ...]
    device: str
    workers: int
    timeout_s: float


class Verdict(NamedTuple):
    """Whether the GPU is to decode, and the sentence that says why."""

    gpu: bool
    why: str


class Figures(TypedDict):
    """Result of a trial."""

    cpu_s: float
    """Seconds that the CPU took for the clips."""
    gpu_s: float
    """Seconds that the GPU took, with the CPU's help for what it cannot decode."""
    clips: int
    """Clips that both could read."""
    on_gpu: int
    """Those of them that the GPU itself decoded."""
    off: float
    """Mean difference of the frame that differs most, in levels of 255."""


def compare_devices(
    cpu: ClipSpec, gpu: ClipSpec, paths: Sequence[str], *, device: str, workers: int, timeout_s: float
) -> Verdict:
    """Measure on some of the clips which of two specs reads them faster.

    The trial has a process of its own: a GPU or driver that hangs or crashes costs the trial, not the run.
    The GPU is chosen only if it gives the CPU's frames within `TOLERANCE` and is `GAIN` times faster.
    """
    if len(paths) < FEWEST:
        few = f"{count(len(paths), 'clip')} {'is' if len(paths) == 1 else 'are'} too few"
        return Verdict(False, f"decoding on the CPU: {few} to try the GPU")
    step = len(paths) / SAMPLED
    sample = tuple(paths[int(i * step)] for i in range(SAMPLED))
    worker = Worker(run_trial, int(TRIAL_GB * (1 << 30)))
    try:
        facts, _ = worker.do(Trial((cpu, gpu), sample, device, workers, timeout_s), TRIAL_S)
    except (TaskFailed, TaskRefused) as error:
        return Verdict(False, f"decoding on the CPU: the trial of the GPU failed ({error})")
    finally:
        worker.close()
    return judge(cast("Figures", facts))


def judge(figures: Figures) -> Verdict:
    """Decide by a trial's figures."""
    clips = figures["clips"]
    if not figures["on_gpu"]:
        return Verdict(False, f"decoding on the CPU: the GPU decoded none of {count(clips, 'clip')} tried")
    if figures["off"] > TOLERANCE:
        off = f"{figures['off']:.1f} levels in the mean"
        return Verdict(False, f"decoding on the CPU: frames of the GPU differ by up to {off}")
    cpu_s, gpu_s = figures["cpu_s"], figures["gpu_s"]
    speeds = f"{clips / gpu_s:.1f} clips/s with the GPU, {clips / cpu_s:.1f} without, on {clips} of the clips"
    if cpu_s < GAIN * gpu_s:
        return Verdict(False, f"decoding on the CPU: {speeds}")
    return Verdict(True, f"decoding on the GPU: {speeds}")


def run_trial(trial: Trial) -> Answer:
    """Read the clips twice by each spec and time the second pass: the task of the trial's process."""
    jobs = [Job(str(i), path) for i, path in enumerate(trial.paths)]
    seconds: list[float] = []
    read: list[dict[str, Clip]] = []
    for spec in trial.specs:
        ahead = 2 * max(1, trial.workers) + 8
        with open_pool(spec, device=trial.device, workers=trial.workers, timeout_s=trial.timeout_s) as pool:
            for _ in pool.map(jobs, ahead=ahead):
                pass
            began = time.perf_counter()
            found = list(pool.map(jobs, ahead=ahead))
            seconds.append(time.perf_counter() - began)
        read.append({job.key: clip for job, clip in found if isinstance(clip, Clip)})
    both = [(read[0][key], read[1][key]) for key in read[0] if key in read[1]]
    figures = Figures(
        cpu_s=seconds[0],
        gpu_s=seconds[1],
        clips=len(both),
        on_gpu=sum(b.decoder.endswith("-cuda") for _, b in both),
        off=max((measure_difference(a, b) for a, b in both), default=0.0),
    )
    return {**figures}, []


def measure_difference(a: Clip, b: Clip) -> float:
    """Return the mean difference of the frame that differs most, in levels of 255.

    It is 255 if times or shapes differ.
    """
    first, second = to_array(a), to_array(b)
    if first.shape != second.shape or not np.allclose(a.times, b.times, atol=1e-3):
        return 255.0
    return float(np.abs(first.astype(np.int16) - second).mean((1, 2, 3)).max())


def to_array(clip: Clip) -> np.ndarray:
    """Return a clip's frames as a NumPy array, uint8 `[T, H, W, 3]`, from any device."""
    return clip.frames if isinstance(clip.frames, np.ndarray) else clip.frames.cpu().numpy()
