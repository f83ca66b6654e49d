"""Where clips are decoded: what a machine can do, and which of CPU and GPU is faster on given clips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jungle.errors import UsageError
from jungle.video.decoders import decord, torchcodec
from jungle.video.types import Clip, ClipSpec
from jungle.video.workers.decode_pool import Job
from jungle.video.workers.gpu_pool import open_pool
from jungle.video.workers.process_pool import TaskFailed, TaskRefused, Worker
from jungle.video.workers.protocol import Answer
from jungle.wording import count

WORDS = ("auto", "cpu", "gpu", "cuda")
"""What `decoder.device` may be; gpu and cuda are one."""
TOLERANCE = 3.0
"""Levels of 255: how much a frame of the GPU may differ in the mean from the CPU's. The codecs are exact, but
colours are rounded and their half-size planes enlarged in other ways; another frame differs by far more."""
FEWEST = 200  # clips of a run, from which a trial is worth its seconds
SAMPLED = 24  # clips of a trial
GAIN = 1.25  # times faster a GPU must be to be taken
TRIAL_S = 240.0
TRIAL_GB = 64.0  # of memory: torch, CUDA and what they reserve


def on_gpu(spec: ClipSpec) -> ClipSpec | None:
    """The spec for decoding on a GPU; `auto` means torchcodec.

    None where its decoder has no such side, or frames are cut on the CPU.
    """
    if spec.focus != "whole":
        return None
    decoder = {"auto": "torchcodec"}.get(spec.decoder, spec.decoder)
    return replace(spec, decoder=decoder, device="cuda") if decoder in ("torchcodec", "decord") else None


def on_cpu(spec: ClipSpec, decoder: str | None = None) -> ClipSpec:
    """The spec for decoding on the CPU; what torchcodec decoded on a GPU, PyAV reads there unless told."""
    was_gpu = spec.device == "cuda" and spec.decoder == "torchcodec"
    return replace(spec, decoder=decoder or ("auto" if was_gpu else spec.decoder), device="cpu")


def require_gpu(decoder: str, device: str) -> None:
    """Make sure that `decoder.device=gpu` can be done here.

    Args:
        decoder: its name.
        device: the torch device of the model.

    Raises:
        UsageError: it cannot; one line that names the ways out.
    """
    if decoder == "pyav":
        raise UsageError(
            "decoder=pyav decodes on the CPU only: use decoder=torchcodec decoder.device=cuda, "
            "or leave decoder.device out"
        )
    if decoder == "decord" and not decord.has_cuda():
        raise UsageError(
            "decoder=decord decoder.device=gpu: this decord has no CUDA (PyPI's wheels are CPU-only). "
            "Build one by the recipe in Dockerfile (docker build --target decord-cuda --output wheels .), or "
            "use decoder=torchcodec decoder.device=cuda"
        )
    if not device.startswith("cuda"):
        raise UsageError(
            f"decoder={decoder} decoder.device=cuda: the model runs on the CPU, since no GPU can be used "
            "here or none was asked for (jungle doctor tells). Leave decoder.device out, or set it to cpu"
        )
    if decoder != "decord":
        torchcodec.load()


@dataclass(frozen=True)
class Trial:
    """What a trial is told: two specs, the clips, and the means."""

    specs: tuple[ClipSpec, ClipSpec]
    paths: tuple[str, ...]
    device: str
    workers: int
    timeout_s: float


@dataclass(frozen=True)
class Verdict:
    """Whether the GPU is to decode, and the sentence that says why."""

    gpu: bool
    why: str


def choose(
    cpu: ClipSpec, gpu: ClipSpec, paths: Sequence[str], *, device: str, workers: int, timeout_s: float
) -> Verdict:
    """Find out by a short measurement on some of the clips which of two specs reads them faster.

    The trial has a process of its own: a GPU or driver that hangs or crashes costs the trial, not the run.
    The GPU is taken only where it gives the CPU's frames within `TOLERANCE` and is `GAIN` times faster.
    """
    if len(paths) < FEWEST:
        some = f"{count(len(paths), 'clip')} {'is' if len(paths) == 1 else 'are'} too few"
        return Verdict(False, f"decoding on the CPU: {some} to try the GPU")
    step = len(paths) / SAMPLED
    some = tuple(paths[int(i * step)] for i in range(SAMPLED))
    worker = Worker(run_trial, int(TRIAL_GB * (1 << 30)))
    try:
        facts, _ = worker.do(Trial((cpu, gpu), some, device, workers, timeout_s), TRIAL_S)
    except (TaskFailed, TaskRefused) as error:
        return Verdict(False, f"decoding on the CPU: the trial of the GPU failed ({error})")
    finally:
        worker.close()
    return judge(**facts)


def judge(cpu_s: float, gpu_s: float, clips: int, on_gpu: int, off: float) -> Verdict:
    """Read a trial's figures.

    Args:
        cpu_s: seconds that the CPU took for the clips.
        gpu_s: seconds that the GPU took, with the CPU's help for what it cannot decode.
        clips: clips that both could read.
        on_gpu: those of them that the GPU itself decoded.
        off: levels of 255 by which the frame that differs most does so in the mean.
    """
    if not on_gpu:
        return Verdict(False, f"decoding on the CPU: the GPU decoded none of {count(clips, 'clip')} tried")
    if off > TOLERANCE:
        return Verdict(
            False, f"decoding on the CPU: frames of the GPU differ by up to {off:.1f} levels in the mean"
        )
    speeds = f"{clips / gpu_s:.1f} clips/s with the GPU, {clips / cpu_s:.1f} without, on {clips} of the clips"
    if cpu_s < GAIN * gpu_s:
        return Verdict(False, f"decoding on the CPU: {speeds}")
    return Verdict(True, f"decoding on the GPU: {speeds}")


def run_trial(trial: Trial) -> Answer:
    """Read the clips twice by each spec, and time the second time: the task of the trial's process."""
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
    facts = {
        "cpu_s": seconds[0],
        "gpu_s": seconds[1],
        "clips": len(both),
        "on_gpu": sum(b.decoder.endswith("-cuda") for _, b in both),
        "off": max((difference(a, b) for a, b in both), default=0.0),
    }
    return facts, []


def difference(a: Clip, b: Clip) -> float:
    """Levels of 255 by which the frame that differs most does in the mean; 255 where times or shapes do."""
    first, second = array_of(a), array_of(b)
    if first.shape != second.shape or not np.allclose(a.times, b.times, atol=1e-3):
        return 255.0
    return float(np.abs(first.astype(np.int16) - second).mean((1, 2, 3)).max())


def array_of(clip: Clip) -> np.ndarray:
    """A clip's frames as a NumPy array, wherever they are."""
    return clip.frames if isinstance(clip.frames, np.ndarray) else clip.frames.cpu().numpy()
