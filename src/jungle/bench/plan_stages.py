"""Features and level 1 of a whole competition; each function runs in a process of its own.

Level 1 has tables, orders and batches of full size, but random features. To save disk, all clips share the
keys of a store of some thousand clips.
"""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl
import torch

from jungle.bench.processes import PeakMemory
from jungle.bench.throughput import ThroughputCounter
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.config.words import quote
from jungle.data.clips import Clips
from jungle.data.content_key import Content, read_contents
from jungle.data.datamodule import ClipData
from jungle.errors import UserError
from jungle.features.extract import extract
from jungle.features.reader import FeatureReader
from jungle.features.store import FeatureStore
from jungle.features.wanted import Wanted
from jungle.models.backbones.concat import make_backbone
from jungle.training import build, datamodules
from jungle.training.fit import silence_libraries
from jungle.training.hardware import resolve_hardware

STORED = 2048
GROUP = 256
CLASSES = tuple(f"class_{i:02d}" for i in range(24))  # as many as Pri-matrix Factorization had


class ExtractionCost(TypedDict):
    """Cost of extracting the features of several backbones at once."""

    clips: int
    clips_s: float
    """With the start of the decoding processes."""
    peak_mb: float
    """Memory of all processes, without mapped files."""
    gpu_mb: float
    """0 without a GPU."""


class HeadCost(TypedDict):
    """Cost of training a head."""

    clips_s: float
    peak_mb: float
    features_gb: float
    """Features of all clips."""


def measure_extraction(
    out: Path, film: Path, clips: int, settings: Sequence[Sequence[str]]
) -> ExtractionCost:
    """Extract features of copies of a clip for several backbones at once, as `jungle extract` does.

    The copies, each with other bytes at its end, and the features are deleted again; `settings` are overrides
    of `jungle train` for each backbone.

    Raises:
        UserError: the clip cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder, PeakMemory() as peak:
        plans, backbones = [], []
        for overrides in settings:
            own = [*overrides, "model.pretrained=false", f"paths.cache={quote(folder)}"]
            cfg = compose("train", own, config_dir())
            backbones.append(make_backbone(build.make_backbone_spec(cfg)))
            spec = build.make_clip_specs(cfg, backbones[-1])[1]
            plans += datamodules.plan_extractions(cfg, backbones[-1], spec, backbones[-1].weights_hash())
        device = resolve_hardware(cfg).device
        film_bytes, paths = film.read_bytes(), [str(Path(folder) / f"{i}{film.suffix}") for i in range(clips)]
        for i, path in enumerate(paths):  # an MP4 may end with a box that players skip
            Path(path).write_bytes(film_bytes + struct.pack(">I4sQ", 16, b"free", i))
        wanted = [
            Wanted(c, p, p)
            for c, p in zip(read_contents(paths), paths, strict=True)
            if isinstance(c, Content)
        ]
        assert len({w.content.key for w in wanted}) == clips
        began = time.perf_counter()
        extract(plans, wanted, [device], backbones)
        seconds = time.perf_counter() - began
        if failures := {k: v for plan in plans for k, v in plan.open().failures().items()}:
            raise UserError(f"{film}: {next(iter(failures.values()))}")
        gpu_mb = torch.cuda.max_memory_allocated(device) / 1e6 if device.startswith("cuda") else 0.0
    return {"clips": clips, "clips_s": clips / seconds, "peak_mb": peak.mb, "gpu_mb": gpu_mb}


def measure_head(folder: Path, clips: int, settings: Sequence[str], steps: int) -> HeadCost:
    """Train a frozen model's head for some steps after a warm-up; `folder` keeps the store."""
    with PeakMemory() as peak:
        silence_libraries()
        cfg = compose("train", [*settings, "model.pretrained=false"], config_dir())
        backbone = make_backbone(build.make_backbone_spec(cfg))
        shape = (cfg.frames.count, backbone.dim)
        store, keys = _make_store(folder, *shape)
        rng = np.random.default_rng(0)
        names = pl.Series("clip", np.arange(clips)).cast(pl.String) + ".mp4"
        labels = {c: (rng.random(clips) < 0.05).astype(np.int8) for c in CLASSES}
        split = np.where(np.arange(clips) % 5 == 0, "val", "train")
        table = Clips(pl.DataFrame({"clip": names, "path": names, "split": split, **labels}), CLASSES)
        reader = FeatureReader(
            [store], {i: Content(k, k) for i in range(clips) for k in [keys[i % len(keys)]]}
        )
        data = ClipData(table, read_train=reader, read_eval=reader, key="x_BTD", batch_size=cfg.batch_size)
        model = build.build_model(cfg, backbone, table, "multilabel", {"clip": {}, "priors": {}})
        device = resolve_hardware(cfg).device
        if device == "cpu":
            torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # as `jungle train` does for a head
        warmup = max(steps // 10, 1)
        counter = ThroughputCounter(warmup, None if device == "cpu" else device)
        build.build_short_trainer(cfg, steps + warmup, [counter]).fit(model, datamodule=data)
        clips_s = counter.clips / (counter.ended - counter.began)
    return {"clips_s": clips_s, "peak_mb": peak.mb, "features_gb": clips * 2e-9 * float(np.prod(shape))}


def _make_store(folder: Path, frames: int, dim: int) -> tuple[FeatureStore, list[str]]:
    """Return a feature store of random clips of [frames, dim], and their keys."""
    store = FeatureStore.open(folder, "simulated", {"frames": frames, "dim": dim})
    keys = [f"{i:032x}" for i in range(STORED)]
    rng = np.random.default_rng(0)
    times = np.arange(frames, dtype=np.float32)
    for start in range(0, STORED, GROUP):
        missing = store.missing(keys[start : start + GROUP])
        if not missing:
            continue
        with store.writer(flush_mb=1e9, flush_s=1e9) as writer:
            for key in missing:
                values = np.abs(rng.standard_normal((frames, dim), np.float32)).astype(np.float16)
                writer.add(key, f"{key}.mp4", values, times)
    store.refresh()
    return store, keys
