"""Measures decoding on the GPU beside the CPU: are the frames the same, clips/s, how long the model waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from jungle.bench.footage import render
from jungle.console import log, result
from jungle.errors import UserError
from jungle.features.extract import run
from jungle.features.spec import compute_dtype
from jungle.files import write_json
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.timm_factory import BackboneSpec
from jungle.system import share_of_cores
from jungle.video import Clip, ClipSpec, Frames
from jungle.video.decoders import decord
from jungle.video.workers.decode_pool import Job
from jungle.video.workers.device_trial import TOLERANCE, difference, on_gpu
from jungle.video.workers.gpu_pool import open_pool
from jungle.wording import count

TIMEOUT_S = 120.0
STEP = 8  # clips that go through the model at once, as in feature extraction
MODEL = "tf_efficientnet_lite0"


def bench_gpu(
    out: Path,
    files: Sequence[Path] = (),
    *,
    clips: int = 96,
    workers: int | None = None,
    device: str = "cuda:0",
    frames: int = 16,
    size: tuple[int, int] = (224, 224),
) -> dict[str, Any]:
    """Read clips by the CPU's workers and by the GPU; print tables, write `out/gpu.json`.

    Args:
        out: folder for the figures, and for the clips rendered where none are given.
        files: clips to read.
        clips: clips a measurement.
        workers: decoding processes, for the CPU and beside the GPU alike.
        device: a torch device.
        frames: frames a clip.
        size: (height, width) of a frame.

    Returns:
        `frames`, one dict a file: `file`, `decoder` (who read it for the GPU's side), `on_cpu` (why, where
        the GPU did not), `off` (levels of 255, see `device_trial.TOLERANCE`), `right`. `speed`, one a
        way: `way`, `clips_s`, `clips_s_model` (with a backbone behind it), `idle` (share of that time in
        which the GPU had nothing to compute, because it waited for frames).

    Raises:
        UserError: there is no GPU; or a frame differs by more than the tolerance, once all is written.
    """
    _check(device)
    paths = [os.path.abspath(p) for p in files] or [str(p.absolute()) for p in render(out / "clips")]
    workers = share_of_cores() if workers is None else workers
    cpu = ClipSpec(Frames("uniform", frames), size)
    ways = {"CPU": cpu, "GPU, torchcodec": on_gpu(cpu)}
    if decord.has_cuda():
        ways["GPU, decord"] = ClipSpec(Frames("uniform", frames), size, decoder="decord", device="cuda")
    rows = _compare(paths, cpu, ways["GPU, torchcodec"], device, workers)
    jobs = [Job(str(i), path) for i, path in enumerate(islice(cycle(paths), clips))]
    speed = [
        {"way": way, **_speed(spec, jobs, device, workers), **_with_model(spec, jobs, device, workers)}
        for way, spec in ways.items()
    ]
    found = {"machine": _machine(device, workers), "tolerance": TOLERANCE, "frames": rows, "speed": speed}
    write_json(out / "gpu.json", found)
    _show(found)
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


def _compare(paths: list[str], cpu: ClipSpec, gpu: Any, device: str, workers: int) -> list[dict[str, Any]]:
    jobs = [Job(str(i), path) for i, path in enumerate(paths)]
    with (
        open_pool(cpu, device=device, workers=workers, timeout_s=TIMEOUT_S) as here,
        open_pool(gpu, device=device, workers=workers, timeout_s=TIMEOUT_S) as there,
    ):
        rows = []
        pairs = zip(here.map(jobs, ahead=2), there.map(jobs, ahead=2), strict=True)
        for (job, a), (_, b) in pairs:
            row: dict[str, Any] = {"file": Path(job.path).name, "decoder": "", "on_cpu": "", "off": 0.0}
            if isinstance(a, Clip) and isinstance(b, Clip):
                off = difference(a, b)
                row |= {"decoder": b.decoder, "on_cpu": b.on_cpu, "off": off, "right": off <= TOLERANCE}
            else:
                row |= {"on_cpu": str(b), "right": not isinstance(a, Clip) and not isinstance(b, Clip)}
            rows.append(row)
    return rows


def _speed(spec: Any, jobs: list[Job], device: str, workers: int) -> dict[str, float]:
    with open_pool(spec, device=device, workers=workers, timeout_s=TIMEOUT_S) as pool:
        for _ in pool.map(jobs[: 2 * workers + STEP], ahead=2 * workers + STEP):
            pass  # libraries, contexts, disk
        began = time.perf_counter()
        read = sum(isinstance(clip, Clip) for _, clip in pool.map(jobs, ahead=2 * workers + STEP))
        return {"clips_s": read / (time.perf_counter() - began)}


def _with_model(spec: Any, jobs: list[Job], device: str, workers: int) -> dict[str, float]:
    model = Backbone(BackboneSpec(MODEL, pretrained=False, size=spec.size)).eval().to(device)
    dtype = compute_dtype(device)
    with open_pool(spec, device=device, workers=workers, timeout_s=TIMEOUT_S) as pool:
        for part in _parts(pool.map(jobs[: 2 * STEP], ahead=2 * workers + STEP)):
            run(model, part, device, dtype)
        began, waited, count = time.perf_counter(), 0.0, 0
        parts = _parts(pool.map(jobs, ahead=2 * workers + STEP))
        while True:
            before = time.perf_counter()
            part = next(parts, None)
            waited += time.perf_counter() - before
            if part is None:
                break
            run(model, part, device, dtype)  # gives arrays, and so has waited for the GPU
            count += len(part)
        took = time.perf_counter() - began
    return {"clips_s_model": count / took, "idle": waited / took}


def _parts(found: Iterator[tuple[Job, Any]]) -> Iterator[list[Clip]]:
    read = (clip for _, clip in found if isinstance(clip, Clip))
    while part := list(islice(read, STEP)):
        yield part


def _machine(device: str, workers: int) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "no GPU"
    return {
        "device": name,
        "cores": os.cpu_count(),
        "workers": workers,
        "torch": torch.__version__,
        "torchcodec": version("torchcodec"),
    }


def _show(found: dict[str, Any]) -> None:
    result(f"\n{found['machine']['device']}, {found['machine']['workers']} workers")
    for row in found["frames"]:
        who = row["decoder"] or "not read"
        why = f" ({row['on_cpu']})" if row["on_cpu"] else ""
        off = f"{row['off']:.2f} levels off, {'right' if row['right'] else 'WRONG'}"
        result(f"  {row['file']}: {who}{why}, {off}")
    result(f"\n  {'':<18}{'clips/s':>9}{'with model':>12}{'GPU idle':>10}")
    for row in found["speed"]:
        result(f"  {row['way']:<18}{row['clips_s']:>9.1f}{row['clips_s_model']:>12.1f}{row['idle']:>10.0%}")
    if not any(row["decoder"].endswith("-cuda") for row in found["frames"]):
        log.warning("the GPU decoded none of the clips: the lines above say why")
