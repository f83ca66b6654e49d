"""Benchmark of training: with real clips, with synthetic frames, and the loader alone."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytorch_lightning as pl
import torch

from jungle.bench.throughput import ThroughputCounter, ThroughputRow, count_flops_per_clip, peak_tflops
from jungle.config import TrainConfig
from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.console import print_result
from jungle.data.batch import Batch, get_tensor, move_batch
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.errors import UsageError
from jungle.files import write_json, write_text
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.concat import make_backbone
from jungle.models.module import ClipClassifier
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.training.callbacks import StepSeed, StopOnNan
from jungle.training.datamodules import ClipExtras
from jungle.training.fit import silence_libraries
from jungle.training.hardware import check_hardware, resolve_hardware
from jungle.training.tuning.batch_size import repeat_batch
from jungle.video import ClipSpec

HEAD_STEPS = 20  # steps of a head per step that decodes: they take milliseconds


class TrainBench(TypedDict):
    """Measurements of `jungle bench train`."""

    machine: dict[str, str | int]
    model: dict[str, str | bool]
    batch: dict[str, int]
    """Clips, frames, height, width."""
    steps: int
    rows: list[ThroughputRow]
    ratio: float
    """Clips/s of the first row over those of the second."""
    flops_a_clip: NotRequired[float]
    """Of a fine-tuned model on a GPU."""
    peak_tflops: NotRequired[float | None]
    """None for an unknown card."""


def bench_train(out: Path, settings: Sequence[str], *, steps: int = 20, warmup: int = 4) -> TrainBench:
    """Measure training steps; print a table, write `out/train.json` and `out/train.md`.

    The steps are those of `jungle train`: forward, backward, clipping, optimizer. A fine-tuned model trains
    with clips from its loader, then with one batch of noise that stays on the device, and the loader runs
    alone. The head of a frozen model is trained on stored features (extracted first where they are missing),
    then in an epoch that decodes each clip and runs the backbone, as it would without a store.

    Args:
        out: folder of the figures.
        settings: overrides of `jungle train`.
        steps: measured steps of `trainer.accumulate_grad_batches` batches each.
        warmup: steps before them.

    Raises:
        UsageError: unknown settings, settings that are `auto`, or several devices.
    """
    cfg = compose("train", list(settings), config_dir())
    _check(cfg, steps, warmup)
    silence_libraries()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    bench = _Bench.create(cfg, steps, warmup)
    found = bench.measure_finetuning() if cfg.model.mode == "finetune" else bench.measure_head()
    write_json(out / "train.json", found)
    table = _format_table(found)
    write_text(out / "train.md", table)
    print_result(table)
    return found


def _check(cfg: TrainConfig, steps: int, warmup: int) -> None:
    if steps < 1 or warmup < 1:
        raise UsageError(f"--steps={steps} --warmup={warmup}: give 1 or more of each")
    if cfg.searched:
        raise UsageError(f"{cfg.searched[0]}=auto: bench train measures one setting; give a number")
    check_hardware(cfg)
    if (devices := resolve_hardware(cfg).processes) > 1:
        raise UsageError(f"bench train measures one device, not {devices}: give trainer.devices=1")


@dataclass(frozen=True)
class _Bench:
    cfg: TrainConfig
    steps: int
    warmup: int
    clips: Clips
    backbone: Backbone
    specs: tuple[ClipSpec, ClipSpec]
    weights_hash: str
    model: ClipClassifier
    extras: ClipExtras

    @classmethod
    def create(cls, cfg: TrainConfig, steps: int, warmup: int) -> _Bench:
        clips, missing = training_clips.load(cfg)
        backbone = make_backbone(build.make_backbone_spec(cfg))
        weights_hash = backbone.weights_hash()
        inputs = datamodules.resolve_model_inputs(cfg, None, clips, backbone, weights_hash)
        about = datamodules.make_checkpoint_metadata(cfg, clips, inputs)
        model = build.build_model(cfg, backbone, clips, build.resolve_task(cfg, clips), about)
        extras = ClipExtras(facts_NF=inputs.facts_NF, missing=missing)
        specs = (inputs.train_spec, inputs.eval_spec)
        return cls(cfg, steps, warmup, clips, backbone, specs, weights_hash, model, extras)

    @property
    def device(self) -> str:
        return resolve_hardware(self.cfg).device

    def measure_finetuning(self) -> TrainBench:
        """Train with real clips and with synthetic ones, and run the loader alone."""
        data = self._decode(*self.specs)
        try:
            loader = self._measure_loader(data)
            real = self._measure_training("real clips", datamodule=data)
            first = _replace_by_noise(next(iter(data.loader("train", train=True))), self.device)
            batches = (self.warmup + self.steps) * self.cfg.trainer.accumulate_grad_batches
            synthetic = self._measure_training(
                "synthetic clips", train_dataloaders=repeat_batch(first, batches)
            )
        finally:
            datamodules.close_datamodule(data)
        found = self._summarise(first, [real, synthetic, loader])
        if self.device.startswith("cuda"):
            model = copy.deepcopy(self.model).to(self.device)  # a copy is not compiled
            flops = count_flops_per_clip(model, first)
            peak = peak_tflops(torch.cuda.get_device_name(self.device))
            found["flops_a_clip"], found["peak_tflops"] = flops, peak
            for row in (real, synthetic):
                row["tflops"] = row["clips_s"] * flops / 1e12
                row["share_of_peak"] = row["tflops"] / peak if peak else None
        return found

    def measure_head(self) -> TrainBench:
        """Train a head on stored features, and in an epoch that decodes."""
        cfg = self.cfg
        stored = datamodules.build_feature_datamodule(
            cfg, self.clips, self.backbone, self.specs[1], self.weights_hash, self.extras
        )
        datamodules.check_left_out(self.clips, stored, cfg.max_failed_fraction)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2))  # as `jungle train` does for a head
        head = self._measure_training("head, stored features", HEAD_STEPS, datamodule=stored)
        torch.set_num_threads(threads)
        data = self._decode(self.specs[1], self.specs[1])
        try:
            decoding = self._measure_training("head, frozen epoch that decodes", datamodule=data)
            first = next(iter(data.loader("train", train=True)))
        finally:
            datamodules.close_datamodule(data)
        return self._summarise(first, [head, decoding])

    def _decode(self, train_spec: ClipSpec, eval_spec: ClipSpec) -> ClipData:
        data = datamodules.build_video_datamodule(self.cfg, self.clips, train_spec, eval_spec, self.extras)
        datamodules.check_left_out(self.clips, data, self.cfg.max_failed_fraction)
        return data

    def _measure_loader(self, data: ClipData) -> ThroughputRow:
        wanted = self.cfg.trainer.accumulate_grad_batches * (self.warmup + self.steps)
        counter = ThroughputCounter(self.warmup * self.cfg.trainer.accumulate_grad_batches)
        batches, epoch = 0, 0
        while batches < wanted:
            loader = data.loader("train", train=True)
            loader.epoch_now = lambda epoch=epoch: epoch
            for batch in loader:
                batches += 1
                counter.count(batch["mask_BT"], batches)
                if batches == wanted:
                    break
            epoch += 1
        return counter.row("the loader alone")

    def _measure_training(self, what: str, times: int = 1, **data: Any) -> ThroughputRow:
        """Train for the warm-up and `times` the steps."""
        steps = self.warmup + times * self.steps
        counter = ThroughputCounter(self.warmup, self.device if self.device.startswith("cuda") else None)
        trainer = build.build_short_trainer(self.cfg, steps, [StepSeed(self.cfg.seed), StopOnNan(), counter])
        trainer.fit(self.model, **data)
        return counter.row(what)

    def _summarise(self, batch: Batch, rows: list[ThroughputRow]) -> TrainBench:
        cfg, on_gpu = self.cfg, self.device.startswith("cuda")
        name = torch.cuda.get_device_name(self.device) if on_gpu else f"{os.cpu_count()} CPU cores"
        _, frames, height, width, _ = get_tensor(batch, "frames_BTHWC").shape
        return {
            "machine": {
                "device": name,
                "workers": resolve_hardware(cfg).workers,
                "torch": torch.__version__,
            },
            "model": {
                "backbone": cfg.model.backbone,
                "mode": cfg.model.mode,
                "head": cfg.head.name,
                "precision": resolve_hardware(cfg).precision,
                "compile": cfg.trainer.compile,
            },
            "batch": {"clips": cfg.batch_size, "frames": frames, "height": height, "width": width},
            "steps": self.steps,
            "rows": rows,
            "ratio": rows[0]["clips_s"] / rows[1]["clips_s"],
        }


def _replace_by_noise(batch: Batch, device: str) -> Batch:
    """Return a batch of the same shapes on the device, with noise for frames."""
    moved = move_batch(batch, device)
    moved["frames_BTHWC"] = torch.randint(
        0, 256, get_tensor(moved, "frames_BTHWC").shape, dtype=torch.uint8, device=device
    )
    return moved


def _format_table(found: TrainBench) -> str:
    model, batch, machine = found["model"], found["batch"], found["machine"]
    on_gpu = "peak_tflops" in found
    lines = [
        f"{model['backbone']}, {model['mode']}, {model['precision']}"
        f"{', compiled' if model['compile'] else ''}; "
        f"{batch['clips']} clips of {batch['frames']} frames {batch['height']}x{batch['width']} a step; "
        f"{machine['device']}, decoding workers: {machine['workers']}",
        "",
        "| | clips/s |" + (" TFLOP/s | of the card's bf16 peak |" if on_gpu else ""),
        "| --- | ---: |" + (" ---: | ---: |" if on_gpu else ""),
    ]
    for row in found["rows"]:
        line = f"| {row['what']} | {row['clips_s']:.4g} |"
        if on_gpu:
            share = row.get("share_of_peak")
            peak = "unknown card" if share is None else f"{share:.1%}"
            line += f" {row['tflops']:.1f} | {peak} |" if "tflops" in row else " | |"
        lines.append(line)
    lines += ["", f"{found['rows'][0]['what']} / {found['rows'][1]['what']}: {found['ratio']:.3g}"]
    return "\n".join(lines) + "\n"
