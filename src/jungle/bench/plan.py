"""What a whole competition costs on this machine: disk, memory and hours of each stage, from measured rates.

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

from jungle.bench.alone import alone
from jungle.bench.footage import Footage, render_as, x264
from jungle.bench.full_size import level_one, level_two, together
from jungle.bench.plan_table import hours_of, markdown
from jungle.config.compose import composed
from jungle.config.folder import config_dir
from jungle.console import log, result
from jungle.devices import device_of
from jungle.features.extract import placed, run
from jungle.features.spec import compute_dtype
from jungle.files import write_json, write_text
from jungle.models.backbones.concat import make_backbone
from jungle.training import build
from jungle.video.workers.multi_spec_pool import read_each
from jungle.wording import count

CLIPS = 291_615  # of the competition, training and test
FILM = Footage(404, 720, 5, "libx264", x264(60, "1500k"), copies=3)
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
"""Level 1 of the third place; its ninth, blank or not, is of the three joined too and costs as much."""
SHARES = {"attention on NASNet-A-Large": 0.25, "attention on three joined": 1 / 3}
"""Of soft labels in a batch of rounds, where it is not `SHARE`."""
SHARE = 0.3125
TOGETHER = {"cpu": 8, "cuda": 512}  # clips to extract all features of
COPIES = 2_000_000_000  # bytes of copies that are made for this, if these are enough
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
) -> dict[str, Any]:
    """Measure each stage; print a table, write `out/plan.json` and `out/plan.md`.

    Args:
        out: folder for the simulated features (some GB), which stay there, and for the figures.
        files: clips to decode; a rendered one if not given.
        clips: how many there are to extract features of.
        trained: how many have labels: of level 1 and level 2.
        seconds: how long decoding, and each backbone, is measured.
        steps: of a head's training that count.
        device: where backbones run: `auto`, `cpu`, `cuda:0`.
        backbones: out of `BACKBONES`, to measure.
        models: out of `MODELS`, whose heads to train.
        stackers: of level 2 to measure.
        at_once: how many clips to extract all features of, as a whole; None: enough to be in full swing.

    Raises:
        UsageError: this machine has no such device.
    """
    device = device_of(device, "--device ")
    out.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{cores} CPU cores"
    found: dict[str, Any] = {"device": name, "cores": cores, "clips": clips, "trained": trained}
    settings = {b: list(BACKBONES[b]) for b in backbones}
    paths = [Path(f) for f in files] or [render_as(out / "clip.mp4", FILM)]
    specs, found["backbones"] = [], []
    for b, s in settings.items():
        spec, row = _backbone(s, device, seconds, clips)
        specs.append(spec)
        found["backbones"].append({"backbone": b, **row})
    log.info("decoding")
    found["decode_clips_s"] = alone(_decoded, paths, specs, seconds) * cores

    where = ["trainer=cpu"] if device == "cpu" else ["trainer=gpu", f"trainer.devices=[{device[5:]}]"]
    some = TOGETHER[device.split(":")[0]] if at_once is None else at_once
    some = min(some, max(TOGETHER["cpu"], COPIES // paths[0].stat().st_size))
    log.info(f"all at once, on {count(some, 'clip')}")
    every = [[*s, *LEARNING, *where] for s in settings.values()]
    found["together"] = alone(together, out, paths[0], some, every)
    write_json(out / "plan.json", found)
    found["level_1"] = []
    for model in models:
        log.info(f"level 1: {model}")
        row = alone(level_one, out / "features", trained, [*MODELS[model], *LEARNING, *where], steps)
        row = {**row, "epoch_minutes": trained / row["clips_s"] / 60, "share": SHARES.get(model, SHARE)}
        found["level_1"].append({"model": model, **row})
        write_json(out / "plan.json", found)
    found["level_2"] = []
    for stacker in stackers:
        log.info(f"level 2: {stacker}")
        found["level_2"].append({"stacker": stacker, **alone(level_two, stacker, trained, MEMBERS)})
        write_json(out / "plan.json", found)
    found["hours"] = hours_of(found)
    write_json(out / "plan.json", found)
    table = markdown(found)
    write_text(out / "plan.md", table)
    result(table)
    return found


def _decoded(paths: list[Path], specs: list[Any], seconds: float) -> float:
    """Return clips a second of one process that decodes each clip once for all backbones."""
    return _times_a_second(lambda n: read_each(paths[n % len(paths)], specs), seconds)


def _times_a_second(step: Callable[[int], Any], seconds: float) -> float:
    """Call `step` with 0, 1, ... for so long; the first two calls, which load and choose, do not count."""
    for n in range(2):
        step(n)
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        step(done)
        done += 1
    return done / spent


def _config(settings: list[str]) -> tuple[Any, Any]:
    cfg = composed("train", [*settings, *LEARNING, "model.pretrained=false"], config_dir())
    return cfg, build.backbone_spec(cfg)


def _backbone(settings: list[str], device: str, seconds: float, clips: int) -> tuple[Any, dict[str, Any]]:
    """Return how clips become a backbone's frames; its frames a second, in bf16 on a GPU, and their cost."""
    cfg, spec = _config(settings)
    backbone = make_backbone(spec)
    model = placed(backbone, device)
    shape = (torch.get_num_threads(), 4) if device == "cpu" else (1, 64)  # clips, frames of each
    clips_NTHWC = np.random.default_rng(0).integers(0, 256, (*shape, *backbone.size, 3), dtype=np.uint8)
    shown: list[Any] = [SimpleNamespace(frames=frames) for frames in clips_NTHWC]
    log.info(f"{cfg.model.backbone} at {backbone.size[0]}x{backbone.size[1]}")
    dtype = compute_dtype(device)
    rate = math.prod(shape) * _times_a_second(lambda _: run(model, shown, device, dtype), seconds)
    frames = cfg.frames.count
    return build.clip_specs(cfg, backbone)[1], {
        "size": list(backbone.size),
        "frames": frames,
        "numbers": backbone.dim,
        "frames_s": rate,
        "disk_gb": clips * frames * backbone.dim * 2e-9,
        "hours": clips * frames / rate / 3600,
    }
