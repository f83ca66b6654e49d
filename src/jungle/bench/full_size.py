"""Features, level 1 and level 2 as a whole competition has them: each step in a process of its own.

Level 1 and level 2 are of full size; their features are random, but of the real shape. A store of some
thousand clips stands for all: each of its clips bears the number of many, so that tables, orders and batches
are of the full size and the disk is spared.
"""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jungle.bench.alone import peak_memory
from jungle.errors import UserError
from jungle.features.store import FeatureStore

STORED = 2048
GROUP = 256
CLASSES = tuple(f"class_{i:02d}" for i in range(24))  # as many as Pri-matrix Factorization had
SIGNAL = 1.5  # of a member's log-odds, in standard deviations of its noise


def together(out: Path, film: Path, clips: int, settings: list[list[str]]) -> dict[str, float]:
    """Extract features of copies of a clip for several backbones at once, as `jungle extract` does.

    Args:
        out: folder for the copies and the features, which are deleted again.
        film: the clip.
        clips: how many copies, each a little different in bytes.
        settings: of each backbone, overrides of `jungle train`.

    Returns:
        `clips`, `clips_s` (the start of the decoding processes included), `peak_mb` (own memory of all
        processes) and `gpu_mb` (0 without a GPU).
    """
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder, peak_memory() as found:
        import torch

        from jungle.config.compose import composed
        from jungle.config.folder import config_dir
        from jungle.config.words import quoted
        from jungle.data.content_key import Content, contents
        from jungle.features import extract
        from jungle.features.spec import Wanted
        from jungle.models.backbones.concat import make_backbone
        from jungle.training import build, datamodules

        plans, backbones = [], []
        for of_one in settings:
            own = [*of_one, "model.pretrained=false", f"paths.cache={quoted(folder)}"]
            cfg = composed("train", own, config_dir())
            backbones.append(make_backbone(build.backbone_spec(cfg)))
            spec = build.clip_specs(cfg, backbones[-1])[1]
            plans += datamodules.extractions(cfg, backbones[-1], spec, backbones[-1].weights_hash())
        device = build.devices_of(cfg)[0]
        film_bytes, paths = film.read_bytes(), [str(Path(folder) / f"{i}{film.suffix}") for i in range(clips)]
        for i, path in enumerate(paths):
            Path(path).write_bytes(
                film_bytes + struct.pack(">I4sQ", 16, b"free", i)
            )  # of an MP4 a box that says nothing
        wanted = [
            Wanted(c, p, p) for c, p in zip(contents(paths), paths, strict=True) if isinstance(c, Content)
        ]
        assert len({w.content.key for w in wanted}) == clips
        began = time.perf_counter()
        extract.extract(plans, wanted, [device], backbones)
        seconds = time.perf_counter() - began
        bad = {k: v for plan in plans for k, v in plan.open().failures().items()}
        if bad:
            raise UserError(f"{film}: {next(iter(bad.values()))}")
        on_gpu = torch.cuda.max_memory_allocated(device) / 1e6 if device.startswith("cuda") else 0.0
    return {"clips": clips, "clips_s": clips / seconds, "peak_mb": found["peak_mb"], "gpu_mb": on_gpu}


def level_one(folder: Path, clips: int, settings: list[str], steps: int) -> dict[str, float]:
    """Train a frozen model's head for some steps of an epoch over `clips` clips.

    Args:
        folder: for the store, which stays there.
        clips: how many clips the table has.
        settings: overrides of `jungle train` that choose model, head, frames and batch size.
        steps: that count, behind a tenth as many to warm up.

    Returns:
        `clips_s`, `peak_mb` (the process's own memory, from its imports on) and `features_gb`, of all clips.
    """
    with peak_memory() as found:
        import torch

        from jungle.bench.clock import Clock
        from jungle.config.compose import composed
        from jungle.config.folder import config_dir
        from jungle.data.clips import Clips
        from jungle.data.content_key import Content
        from jungle.data.datamodule import ClipData
        from jungle.features.reader import FeatureReader
        from jungle.models.backbones.concat import make_backbone
        from jungle.training import build
        from jungle.training.fit import quiet

        quiet()
        cfg = composed("train", [*settings, "model.pretrained=false"], config_dir())
        backbone = make_backbone(build.backbone_spec(cfg))
        shape = (cfg.frames.count, backbone.dim)
        store, keys = _store(folder, *shape)
        rng = np.random.default_rng(0)
        names = pl.Series("clip", np.arange(clips)).cast(pl.String) + ".mp4"
        labels = {c: (rng.random(clips) < 0.05).astype(np.int8) for c in CLASSES}
        split = np.where(np.arange(clips) % 5 == 0, "val", "train")
        table = Clips(pl.DataFrame({"clip": names, "path": names, "split": split, **labels}), CLASSES)
        reader = FeatureReader(
            [store], {i: Content(k, k) for i in range(clips) for k in [keys[i % len(keys)]]}
        )
        data = ClipData(table, reader, reader, "x_BTD", cfg.batch_size)
        model = build.model_of(cfg, backbone, table, "multilabel", {"clip": {}, "priors": {}})
        if build.devices_of(cfg)[0] == "cpu":
            torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # as `jungle train` does for a head
        warmup = max(steps // 10, 1)
        device = build.devices_of(cfg)[0]
        clock = Clock(warmup, None if device == "cpu" else device)
        build.short_trainer(cfg, steps + warmup, [clock]).fit(model, datamodule=data)
    return {
        "clips_s": clock.row("level 1")["clips_s"],
        "peak_mb": found["peak_mb"],
        "features_gb": clips * 2e-9 * float(np.prod(shape)),
    }


def _store(folder: Path, frames: int, dim: int) -> tuple[Any, list[str]]:
    """Return a feature store of random clips of [frames, dim], and their keys."""
    store = FeatureStore.open(folder, "simulated", {"frames": frames, "dim": dim})
    keys = [f"{i:032x}" for i in range(STORED)]
    rng = np.random.default_rng(0)
    times = np.arange(frames, dtype=np.float32)
    for start in range(0, STORED, GROUP):
        lacks = store.missing(keys[start : start + GROUP])
        if not lacks:
            continue
        with store.writer(flush_mb=1e9, flush_s=1e9) as writer:
            for key in lacks:
                values = np.abs(rng.standard_normal((frames, dim), np.float32)).astype(np.float16)
                writer.add(key, f"{key}.mp4", values, times)
    store.refresh()
    return store, keys


def level_two(stacker: str, clips: int, members: int) -> dict[str, float]:
    """Fit a stacker once to answers to `clips` clips, and let it answer to them; of `nn` one network.

    Returns:
        `seconds`, and `peak_mb`: the process's own memory, from its imports on.
    """
    with peak_memory() as found:
        from jungle.ensemble.network import fit_networks
        from jungle.ensemble.prediction_matrix import Answers
        from jungle.ensemble.stack import fitted
        from jungle.ensemble.stacking_features import plain

        rng = np.random.default_rng(0)
        targets_NC = (rng.random((clips, len(CLASSES))) < 0.05).astype(np.float32)
        odds_MNC = rng.standard_normal((members, clips, len(CLASSES)), np.float32) - 3
        odds_MNC += SIGNAL * (2 * targets_NC - 1)
        answers = Answers(1 / (1 + np.exp(-odds_MNC)), np.zeros((clips, 0), np.float32), "multilabel")
        began = time.perf_counter()
        if stacker == "nn":
            seen_NF = plain(answers)
            probs_NC = fit_networks(seen_NF, targets_NC, answers.task, 0, networks=1)(seen_NF)
        else:
            predict, _ = fitted(stacker, answers, targets_NC, seed=0)
            probs_NC = predict(answers)
        assert np.isfinite(probs_NC).all()
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mb": found["peak_mb"]}
