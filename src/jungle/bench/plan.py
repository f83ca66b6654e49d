"""Cost of a whole competition on this machine: disk, memory and hours of each stage, from measured rates.

The stages are those of `experiment=primatrix/third_place`; the clips are like those of Pri-matrix
Factorization: 15 seconds, 404x720, H.264.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from jungle.bench.footage import Footage, make_x264_options, render_clip
from jungle.bench.plan_stacking import measure_stacker
from jungle.bench.plan_stages import measure_extraction, measure_head
from jungle.bench.plan_table import BackboneRow, Plan, compute_hours, format_plan
from jungle.bench.processes import run_alone
from jungle.config import TrainConfig
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.console import log, print_result
from jungle.devices import resolve_device
from jungle.features.extract import place_model, run_backbone
from jungle.features.spec import compute_dtype
from jungle.files import write_json, write_text
from jungle.models.backbones.concat import make_backbone
from jungle.models.backbones.timm_factory import BackboneSpec
from jungle.training import build
from jungle.video import ClipSpec
from jungle.video.reader import read_each
from jungle.wording import count

CLIPS = 291_615  # of the competition, training and test
FILM = Footage(404, 720, 5, "libx264", make_x264_options(60, "1500k"), copies=3)
LEARNING = ("data=primatrix", "optim=primatrix")
ATTENTION = ("head=primatrix_attention", "data.batch_size=64")
WIDE = ("head=primatrix_attention", "data.batch_size=48")
GRU = ("head=primatrix_gru", "data.batch_size=64")
AT_3 = ("frames=fps", "frames.fps=3", "frames.count=45")
AT_2 = ("frames=fps", "frames.fps=2", "frames.count=30")
BACKBONES = {
    "ResNet-152": ("model=primatrix_resnet152", *AT_3),
    "Inception-v4": ("model=primatrix_inception_v4", *AT_3),
    "Inception-ResNet-v2": ("model=primatrix_inception_resnet_v2", *AT_3),
    "NASNet-A-Large": ("model=primatrix_nasnet", *AT_2),
}
MODELS = {
    **{f"attention on {name}": (*settings, *ATTENTION) for name, settings in BACKBONES.items()},
    "attention on NASNet-A-Large": (*BACKBONES["NASNet-A-Large"], *WIDE),
    **{f"GRU on {name}": (*BACKBONES[name], *GRU) for name in BACKBONES if name != "NASNet-A-Large"},
    "attention on three joined": ("model=primatrix_joined", *AT_3, *WIDE),
}
"""Level 1 of the third place. Its ninth model, blank or not, costs as much as the one on three joined."""
SHARES = {"attention on NASNet-A-Large": 0.25, "attention on three joined": 1 / 3}
"""Share of soft labels in a batch during rounds, where it is not `SHARE`."""
SHARE = 0.3125
TOGETHER = {"cpu": 8, "cuda": 512}  # clips to extract all features of
COPIES = 2_000_000_000  # bytes of copies, where that is enough clips
MEMBERS = 8  # of 24 classes each, for the second level
STACKERS = ("nn", "lightgbm", "loglinear")


def bench_plan(
    out: Path,
    files: Sequence[Path] = (),
    *,
    clips: int = CLIPS,
    trained: int = 200_000,
    seconds: float = 20,
    steps: int = 100,
    device: str = "auto",
    backbones: Sequence[str] = tuple(BACKBONES),
    models: Sequence[str] = tuple(MODELS),
    stackers: Sequence[str] = STACKERS,
    at_once: int | None = None,
) -> Plan:
    """Measure each stage; print a table, write `out/plan.json` and `out/plan.md`.

    Args:
        out: folder for the simulated features (some GB), which stay there, and for the figures.
        files: clips to decode; empty for a rendered one.
        clips: number of clips to extract features of.
        trained: number of clips with labels, for level 1 and level 2.
        seconds: duration of measuring decoding, and each backbone.
        steps: measured steps of a head's training.
        device: where backbones run: `auto`, `cpu`, `cuda:0`.
        backbones: names in `BACKBONES`.
        models: names in `MODELS`.
        stackers: stackers of level 2.
        at_once: number of clips for extracting all features together; None chooses enough for a steady rate.

    Raises:
        UsageError: this machine does not have the device.
    """
    device = resolve_device(device, "--device ")
    out.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{cores} CPU cores"
    paths = [Path(f) for f in files] or [render_clip(out / "clip.mp4", FILM)]
    measured = [_measure_backbone(b, device, seconds, clips) for b in backbones]
    log.info("decoding")
    decode_clips_s = run_alone(_decode, paths, [spec for spec, _ in measured], seconds) * cores
    where = ["trainer=cpu"] if device == "cpu" else ["trainer=gpu", f"trainer.devices=[{device[5:]}]"]
    some = TOGETHER[device.split(":")[0]] if at_once is None else at_once
    some = min(some, max(TOGETHER["cpu"], COPIES // paths[0].stat().st_size))
    log.info(f"all backbones at once, on {count(some, 'clip')}")
    every = [[*BACKBONES[b], *LEARNING, *where] for b in backbones]
    found: Plan = {
        "device": name,
        "cores": cores,
        "clips": clips,
        "trained": trained,
        "backbones": [row for _, row in measured],
        "decode_clips_s": decode_clips_s,
        "together": run_alone(measure_extraction, out, paths[0], some, every),
        "level_1": [],
        "level_2": [],
        "hours": {},
    }
    write_json(out / "plan.json", found)
    for model in models:
        log.info(f"level 1: {model}")
        head = run_alone(measure_head, out / "features", trained, [*MODELS[model], *LEARNING, *where], steps)
        minutes, share = trained / head["clips_s"] / 60, SHARES.get(model, SHARE)
        found["level_1"].append({"model": model, **head, "epoch_minutes": minutes, "share": share})
        write_json(out / "plan.json", found)
    for stacker in stackers:
        log.info(f"level 2: {stacker}")
        found["level_2"].append({"stacker": stacker, **run_alone(measure_stacker, stacker, trained, MEMBERS)})
        write_json(out / "plan.json", found)
    found["hours"] = compute_hours(found)
    write_json(out / "plan.json", found)
    table = format_plan(found)
    write_text(out / "plan.md", table)
    print_result(table)
    return found


def _decode(paths: list[Path], specs: list[ClipSpec], seconds: float) -> float:
    """Return clips/s of one process that decodes each clip once for all backbones."""
    return _measure_rate(lambda n: read_each(paths[n % len(paths)], specs), seconds)


def _measure_rate(step: Callable[[int], object], seconds: float) -> float:
    """Return how often `step(0)`, `step(1)`, ... run per second, after two calls for warm-up."""
    for n in range(2):
        step(n)
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        step(done)
        done += 1
    return done / spent


def _compose(settings: Sequence[str]) -> tuple[TrainConfig, BackboneSpec]:
    cfg = compose("train", [*settings, *LEARNING, "model.pretrained=false"], config_dir())
    return cfg, build.make_backbone_spec(cfg)


def _measure_backbone(name: str, device: str, seconds: float, clips: int) -> tuple[ClipSpec, BackboneRow]:
    """Return how clips become a backbone's frames, and its frames/s, in bf16 on a GPU, with their cost."""
    cfg, spec = _compose(BACKBONES[name])
    backbone = make_backbone(spec)
    model = place_model(backbone, device)
    shape = (torch.get_num_threads(), 4) if device == "cpu" else (1, 64)  # clips, frames of each
    clips_NTHWC = np.random.default_rng(0).integers(0, 256, (*shape, *backbone.size, 3), dtype=np.uint8)
    noise: list[Any] = [SimpleNamespace(frames=frames) for frames in clips_NTHWC]
    log.info(f"{cfg.model.backbone} at {backbone.size[0]}x{backbone.size[1]}")
    dtype = compute_dtype(device)
    frames_s = math.prod(shape) * _measure_rate(lambda _: run_backbone(model, noise, device, dtype), seconds)
    frames = cfg.frames.count
    return build.make_clip_specs(cfg, backbone)[1], {
        "backbone": name,
        "size": list(backbone.size),
        "frames": frames,
        "numbers": backbone.dim,
        "frames_s": frames_s,
        "disk_gb": clips * frames * backbone.dim * 2e-9,
        "hours": clips * frames / frames_s / 3600,
    }
