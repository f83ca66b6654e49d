"""Measurement of one way to read one clip, run by the worker processes of `jungle bench decode`."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jungle.video.decoders import pyav
from jungle.video.decoders.resize import Scaler
from jungle.video.frames.sampling import pick
from jungle.video.reader import open_listed, read_clip
from jungle.video.recovery import decode_file
from jungle.video.types import ClipSpec, Frames
from jungle.video.workers.protocol import Answer

_ffmpeg_peak = 0.0  # MB, sampled while the program runs
WHOLE = "whole clip"
CODEC = "codec alone"  # instead of a decoder's name: the minimal cost of the selected frames
ENOUGH_S = 12.0  # CPU seconds after which a measurement is not repeated


@dataclass(frozen=True)
class Way:
    """Decoder, or `CODEC`, and its selection: a kind of frames, or `WHOLE`."""

    decoder: str
    asked: str


@dataclass(frozen=True)
class Trial:
    """Settings of one measurement."""

    path: str
    way: Way
    count: int
    size: tuple[int, int]
    repeats: int


def measure(trial: Trial) -> Answer:
    """Return the best CPU and wall seconds of a clip on one core, peak memory in MB and frames read."""
    _pin_to_one_core()
    whom = resource.RUSAGE_CHILDREN if trial.way.decoder == "ffmpeg" else resource.RUSAGE_SELF
    read = _make_reader(trial)
    frames, spent = read()  # loads the libraries, which happens once per run
    cpu, wall = [], []
    for _ in range(max(trial.repeats, 1)):
        before, began = _measure_cpu(whom), time.perf_counter()
        frames, spent = read()
        wall.append(time.perf_counter() - began)
        cpu.append(_measure_cpu(whom) - before if spent is None else spent)
        if sum(cpu) > ENOUGH_S:
            break
    peak = _ffmpeg_peak if trial.way.decoder == "ffmpeg" else _peak_mb(os.getpid())
    return {"cpu_s": min(cpu), "wall_s": min(wall), "peak_mb": peak, "frames": frames}, []


def _make_reader(trial: Trial) -> Callable[[], tuple[int, float | None]]:
    """Return the function to time: it gives frames, and CPU seconds where only part of its work counts."""
    if trial.way.decoder == "ffmpeg":
        return lambda: (_run_ffmpeg(trial), None)
    if trial.way.asked == WHOLE:
        return lambda: (_read_whole(trial), None)
    if trial.way.decoder == CODEC:
        return lambda: _time_codec(trial)
    return lambda: (_read_selected(trial), None)


def _read_selected(trial: Trial) -> int:
    spec = ClipSpec(Frames(trial.way.asked, trial.count), trial.size, decoder=trial.way.decoder)
    clip = read_clip(trial.path, spec)
    if clip.decoder != trial.way.decoder:
        raise RuntimeError(f"read by {clip.decoder} instead")
    return len(clip.times)


def _read_whole(trial: Trial) -> int:
    """Decode and resize every frame with PyAV."""
    scaler = Scaler(ClipSpec(size=trial.size))
    return sum(1 for frame, _ in decode_file(trial.path) if scaler(frame) is not None)


def _time_codec(trial: Trial) -> tuple[int, float]:
    """Time only the codec on the selected frames, without opening, indexing and resizing."""
    with open_listed(trial.path, "index") as file:
        timeline = file.timeline
        picks = pick(Frames(trial.way.asked, trial.count), timeline.times, timeline.key)
        wanted = pyav.WantedFrames(picks, timeline, lambda _: np.zeros(0, np.uint8))
        before = _measure_cpu(resource.RUSAGE_SELF)
        pyav.decode(file, wanted)
        return len(wanted.images), _measure_cpu(resource.RUSAGE_SELF) - before


def _run_ffmpeg(trial: Trial) -> int:
    """Read the whole clip from the ffmpeg program through a pipe, resized, as raw pixels."""
    height, width = trial.size
    thread = ("-threads", "1")
    command = [
        *("ffmpeg", "-v", "error", "-nostdin", *thread, "-filter_threads", "1"),
        *("-i", str(Path(trial.path).absolute()), "-map", "0:v:0", "-vf", f"scale={width}:{height}"),
        *(*thread, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    ]
    global _ffmpeg_peak
    size, frames = height * width * 3, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while len(process.stdout.read(size)) == size:
            frames += 1
            if frames % 25 == 0:
                _ffmpeg_peak = max(_ffmpeg_peak, _peak_mb(process.pid))
    if process.returncode:
        raise RuntimeError("the ffmpeg program failed")
    return frames


def _peak_mb(process: int) -> float:
    """Return the peak memory; not from `ru_maxrss`, which a process inherits from its parent."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return 0.0


def _measure_cpu(whom: int) -> float:
    used = resource.getrusage(whom)
    return used.ru_utime + used.ru_stime


def _pin_to_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
