"""Benchmark of decoding on the GPU against the CPU: equal frames, clips/s, idle time of the model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import TypedDict

import torch

from jungle.bench.footage import render_all
from jungle.console import log, print_result
from jungle.errors import UserError
from jungle.features.extract import run_backbone
from jungle.features.spec import compute_dtype
from jungle.files import write_json
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.timm_factory import BackboneSpec
from jungle.system import share_of_cores
from jungle.video import Clip, ClipError, ClipSpec, Frames
from jungle.video.decoders import decord
from jungle.video.workers.decode_pool import Job
from jungle.video.workers.device_selection import to_gpu
from jungle.video.workers.device_trial import TOLERANCE, measure_difference
from jungle.video.workers.gpu_pool import open_pool
from jungle.wording import count

TIMEOUT_S = 120.0
STEP = 8  # clips that go through the model at once, as in feature extraction
MODEL = "tf_efficientnet_lite0"


class FrameRow(TypedDict):
    """Comparison of a file's frames from the GPU's pool with those from the CPU's."""

    file: str
    decoder: str
    """That of the GPU's pool; empty where the file could not be read."""
    on_cpu: str
    """Why the GPU did not decode the file."""
    off: float
    """Difference in levels of 255, see `device_trial.TOLERANCE`."""
    right: bool


class SpeedRow(TypedDict):
    """Speed of one way of decoding."""

    way: str
    clips_s: float
    clips_s_model: float
    """With a backbone behind it."""
    idle: float
    """Share of the time with a backbone in which the GPU waits for frames."""


class GpuBench(TypedDict):
    """Measurements of `jungle bench gpu`."""

    machine: dict[str, str | int | None]
    tolerance: float
    frames: list[FrameRow]
    speed: list[SpeedRow]


def bench_gpu(
    out: Path,
    files: Sequence[Path] = (),
    *,
    clips: int = 96,
    workers: int | None = None,
    device: str = "cuda:0",
    frames: int = 16,
    size: tuple[int, int] = (224, 224),
) -> GpuBench:
    """Read clips with the CPU's workers and with the GPU; print tables, write `out/gpu.json`.

    Without `files`, clips are rendered into `out`; `clips` is their number per measurement, read repeatedly.

    Raises:
        UserError: there is no GPU; or, after all is written, a frame differs by more than the tolerance.
    """
    _check(device)
    paths = [os.path.abspath(p) for p in files] or [str(p.absolute()) for p in render_all(out / "clips")]
    workers = share_of_cores() if workers is None else workers
    cpu = ClipSpec(Frames("uniform", frames), size)
    ways = {"CPU": cpu, "GPU, torchcodec": to_gpu(cpu)}
    if decord.has_cuda():
        ways["GPU, decord"] = ClipSpec(Frames("uniform", frames), size, decoder="decord", device="cuda")
    rows = _compare(paths, cpu, ways["GPU, torchcodec"], device, workers)
    jobs = [Job(str(i), path) for i, path in enumerate(islice(cycle(paths), clips))]
    speed = [_measure(way, spec, jobs, device, workers) for way, spec in ways.items()]
    found: GpuBench = {
        "machine": _describe_machine(device, workers),
        "tolerance": TOLERANCE,
        "frames": rows,
        "speed": speed,
    }
    write_json(out / "gpu.json", found)
    _print(found)
    if wrong := [row["file"] for row in rows if not row["right"]]:
        raise UserError(
            f"{count(len(wrong), 'clip')} off by more than {TOLERANCE:g} levels: {', '.join(wrong[:5])}"
        )
    return found


def _check(device: str) -> None:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            "bench gpu needs an NVIDIA GPU with NVDEC, a driver that torch can use, and FFmpeg's libraries "
            "for torchcodec; this machine has no usable GPU (jungle doctor tells which part is missing)"
        )


def _compare(paths: Sequence[str], cpu: ClipSpec, gpu: ClipSpec, device: str, workers: int) -> list[FrameRow]:
    jobs = [Job(str(i), path) for i, path in enumerate(paths)]
    with (
        open_pool(cpu, device=device, workers=workers, timeout_s=TIMEOUT_S) as here,
        open_pool(gpu, device=device, workers=workers, timeout_s=TIMEOUT_S) as there,
    ):
        pairs = zip(here.map(jobs, ahead=2), there.map(jobs, ahead=2), strict=True)
        return [_compare_frames(Path(job.path).name, a, b) for (job, a), (_, b) in pairs]


def _compare_frames(file: str, cpu: Clip | ClipError, gpu: Clip | ClipError) -> FrameRow:
    if isinstance(cpu, Clip) and isinstance(gpu, Clip):
        off = measure_difference(cpu, gpu)
        right = off <= TOLERANCE
        return {"file": file, "decoder": gpu.decoder, "on_cpu": gpu.on_cpu, "off": off, "right": right}
    neither = not isinstance(cpu, Clip) and not isinstance(gpu, Clip)
    return {"file": file, "decoder": "", "on_cpu": str(gpu), "off": 0.0, "right": neither}


def _measure(way: str, spec: ClipSpec, jobs: list[Job], device: str, workers: int) -> SpeedRow:
    ahead = 2 * workers + STEP
    with open_pool(spec, device=device, workers=workers, timeout_s=TIMEOUT_S) as pool:
        for _ in pool.map(jobs[:ahead], ahead=ahead):
            pass  # warm-up: libraries, contexts, disk
        began = time.perf_counter()
        read = sum(isinstance(clip, Clip) for _, clip in pool.map(jobs, ahead=ahead))
        clips_s = read / (time.perf_counter() - began)

    model = Backbone(BackboneSpec(MODEL, pretrained=False, size=spec.size)).eval().to(device)
    dtype = compute_dtype(device)
    with open_pool(spec, device=device, workers=workers, timeout_s=TIMEOUT_S) as pool:
        for batch in _iter_batches(pool.map(jobs[: 2 * STEP], ahead=ahead)):
            run_backbone(model, batch, device, dtype)
        began, waited, done = time.perf_counter(), 0.0, 0
        batches = _iter_batches(pool.map(jobs, ahead=ahead))
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - before
            if batch is None:
                break
            run_backbone(model, batch, device, dtype)  # returns arrays, so it has waited for the GPU
            done += len(batch)
        took = time.perf_counter() - began
    return {"way": way, "clips_s": clips_s, "clips_s_model": done / took, "idle": waited / took}


def _iter_batches(found: Iterable[tuple[Job, Clip | ClipError]]) -> Iterator[list[Clip]]:
    clips = (clip for _, clip in found if isinstance(clip, Clip))
    while batch := list(islice(clips, STEP)):
        yield batch


def _describe_machine(device: str, workers: int) -> dict[str, str | int | None]:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "no GPU"
    return {
        "device": name,
        "cores": os.cpu_count(),
        "workers": workers,
        "torch": torch.__version__,
        "torchcodec": version("torchcodec"),
    }


def _print(found: GpuBench) -> None:
    print_result(f"\n{found['machine']['device']}, {found['machine']['workers']} workers")
    for row in found["frames"]:
        who = row["decoder"] or "not read"
        why = f" ({row['on_cpu']})" if row["on_cpu"] else ""
        off = f"{row['off']:.2f} levels off, {'right' if row['right'] else 'WRONG'}"
        print_result(f"  {row['file']}: {who}{why}, {off}")
    print_result(f"\n  {'':<18}{'clips/s':>9}{'with model':>12}{'GPU idle':>10}")
    for row in found["speed"]:
        print_result(
            f"  {row['way']:<18}{row['clips_s']:>9.1f}{row['clips_s_model']:>12.1f}{row['idle']:>10.0%}"
        )
    if not any(row["decoder"].endswith("-cuda") for row in found["frames"]):
        log.warning("the GPU decoded none of the clips: the lines above say why")
