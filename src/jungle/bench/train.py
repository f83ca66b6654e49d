"""Measures training: with real clips, with frames that are there already, and the loader alone."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from jungle.bench.clock import Clock
from jungle.bench.peak import flops_a_clip, peak_tflops
from jungle.config import TrainConfig
from jungle.config.compose import composed
from jungle.config.folder import config_dir
from jungle.console import result
from jungle.errors import UsageError
from jungle.files import write_json, write_text
from jungle.models.backbones.concat import make_backbone
from jungle.prediction import metadata
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.training.callbacks import StepSeed, StopOnNan
from jungle.training.fit import quiet
from jungle.training.tuning.batch_size import again

HEAD_STEPS = 20  # steps of a head for each that decodes: they take milliseconds


def bench_train(out: Path, settings: Sequence[str], *, steps: int = 20, warmup: int = 4) -> dict[str, Any]:
    """Measure training steps; print a table, write `out/train.json` and `out/train.md`.

    The steps are those of `jungle train`, by its trainer: forward, backward, clipping, optimizer. A
    fine-tuned model is trained with clips from its loader, then with one batch of noise that stays on the
    device, and the loader runs by itself. A frozen one's head is trained on stored features (made first where
    the store lacks them), then in an epoch that decodes each clip and runs the backbone, as there would be
    without a store.

    Args:
        out: folder of the figures.
        settings: overrides of `jungle train`.
        steps: steps that count, of `trainer.accumulate_grad_batches` batches each.
        warmup: steps before them.

    Returns:
        `machine`, `model`, `batch` (clips, frames, height, width), `steps`, `rows` (a dict each: `what`,
        `clips_s`, `clips`, `seconds`) and `ratio` of the first row to the second. Of a fine-tuned model on a
        GPU also `flops_a_clip`, `peak_tflops` (None for an unknown card), and in a row that computes its
        `tflops` and `share_of_peak`.

    Raises:
        UsageError: settings that there are not, are still to be found (`auto`), or are of several devices.
    """
    cfg = composed("train", list(settings), config_dir())
    _check(cfg, steps, warmup)
    quiet()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    bench = _Bench.made(cfg, steps, warmup)
    found = bench.finetuning() if cfg.model.mode == "finetune" else bench.head()
    found["ratio"] = found["rows"][0]["clips_s"] / found["rows"][1]["clips_s"]
    write_json(out / "train.json", found)
    table = _markdown(found)
    write_text(out / "train.md", table)
    result(table)
    return found


def _check(cfg: TrainConfig, steps: int, warmup: int) -> None:
    if steps < 1 or warmup < 1:
        raise UsageError(f"--steps={steps} --warmup={warmup}: one of each at least")
    if cfg.searched:
        raise UsageError(
            f"bench train measures what it is given: {cfg.searched[0]}=auto must be a number here"
        )
    datamodules.check_devices(cfg)
    if len(build.devices_of(cfg)) * cfg.trainer.num_nodes > 1:
        raise UsageError("bench train measures one device: trainer.devices=1")


@dataclass
class _Bench:
    cfg: TrainConfig
    steps: int
    warmup: int
    clips: Any
    backbone: Any
    specs: tuple[Any, Any]
    weights_hash: str
    model: Any
    lost: dict[int, str]
    facts_NF: Any

    @classmethod
    def made(cls, cfg: TrainConfig, steps: int, warmup: int) -> _Bench:
        clips, lost = training_clips.load(cfg)
        backbone = make_backbone(build.backbone_spec(cfg))
        weights_hash = backbone.weights_hash()
        specs = datamodules.settled(cfg, None, clips, backbone, weights_hash)
        known = metadata.of_training(cfg, clips, datamodules.workers_of(cfg))
        about = training_clips.about(clips, specs[1], weights_hash, known)
        model = build.model_of(cfg, backbone, clips, build.task_of(cfg, clips), about)
        return cls(cfg, steps, warmup, clips, backbone, specs, weights_hash, model, lost, known)

    def finetuning(self) -> dict[str, Any]:
        """Real clips, synthetic ones, the loader alone."""
        device = build.devices_of(self.cfg)[0]
        data = self._checked(datamodules.videos(self.cfg, self.clips, *self.specs))
        try:
            loader = self._loader(data)
            real = self._trained("real clips", datamodule=data)
            first = _noise_like(next(iter(data.loader("train", train=True))), device)
            batches = (self.warmup + self.steps) * self.cfg.trainer.accumulate_grad_batches
            synthetic = self._trained("synthetic clips", train_dataloaders=again(first, batches))
        finally:
            datamodules.close(data)
        rows = [real, synthetic, loader]
        found = self._found(first, rows)
        if device.startswith("cuda"):
            flops = flops_a_clip(copy.deepcopy(self.model).to(device), first)  # a copy is not compiled
            peak = peak_tflops(torch.cuda.get_device_name(device))
            found |= {"flops_a_clip": flops, "peak_tflops": peak}
            for row in rows[:2]:
                row["tflops"] = row["clips_s"] * flops / 1e12
                row["share_of_peak"] = row["tflops"] / peak if peak else None
        return found

    def head(self) -> dict[str, Any]:
        """A head on stored features, and in an epoch that decodes."""
        cfg = self.cfg
        stored, _ = datamodules.stored_features(
            cfg, self.clips, self.backbone, self.specs[1], self.weights_hash
        )
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2))  # as `jungle train` does for a head
        head = self._trained("head, stored features", HEAD_STEPS, datamodule=self._checked(stored))
        torch.set_num_threads(threads)
        data = self._checked(datamodules.videos(cfg, self.clips, self.specs[1], self.specs[1]))
        try:
            decoding = self._trained("head, frozen epoch that decodes", datamodule=data)
            first = next(iter(data.loader("train", train=True)))
        finally:
            datamodules.close(data)
        return self._found(first, [head, decoding])

    def _checked(self, data: Any) -> Any:
        data.facts = self.facts_NF
        data.failures.update(self.lost)
        data.left_out |= set(data.failures)
        datamodules.check_left(self.clips, data, self.cfg.max_failed_fraction)
        return data

    def _loader(self, data: Any) -> dict[str, Any]:
        wanted = self.cfg.trainer.accumulate_grad_batches * (self.warmup + self.steps)
        clock, batches, epoch = Clock(self.warmup * self.cfg.trainer.accumulate_grad_batches), 0, 0
        while batches < wanted:
            loader = data.loader("train", train=True)
            loader.epoch_now = lambda epoch=epoch: epoch
            for batch in loader:
                batches += 1
                clock.count(len(batch["mask_BT"]), batches)
                if batches == wanted:
                    break
            epoch += 1
        return clock.row("the loader alone")

    def _trained(self, what: str, times: int = 1, **data: Any) -> dict[str, Any]:
        """Train for the warm-up and `times` the steps; return the row."""
        device = build.devices_of(self.cfg)[0]
        steps = self.warmup + times * self.steps
        clock = Clock(self.warmup, device if device.startswith("cuda") else None)
        trainer = build.short_trainer(self.cfg, steps, [StepSeed(self.cfg.seed), StopOnNan(), clock])
        trainer.fit(self.model, **data)
        return clock.row(what)

    def _found(self, batch: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
        device = build.devices_of(self.cfg)[0]
        name = (
            torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} CPU cores"
        )
        _, frames, height, width, _ = batch["frames_BTHWC"].shape
        return {
            "machine": {
                "device": name,
                "workers": datamodules.workers_of(self.cfg),
                "torch": torch.__version__,
            },
            "model": {
                "backbone": self.cfg.model.backbone,
                "mode": self.cfg.model.mode,
                "head": self.cfg.head.name,
                "precision": build.precision_of(self.cfg),
                "compile": self.cfg.trainer.compile,
            },
            "batch": {"clips": self.cfg.batch_size, "frames": frames, "height": height, "width": width},
            "steps": self.steps,
            "rows": rows,
        }


def _noise_like(batch: dict[str, Any], device: str) -> dict[str, Any]:
    """Return a batch of the same shapes on the device, with noise for frames."""
    moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    noise = torch.randint(0, 256, moved["frames_BTHWC"].shape, dtype=torch.uint8, device=device)
    return {**moved, "frames_BTHWC": noise}


def _markdown(found: dict[str, Any]) -> str:
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
            of_peak = "" if "tflops" not in row else "unknown card" if share is None else f"{share:.1%}"
            line += f" {row['tflops']:.1f} | {of_peak} |" if "tflops" in row else " | |"
        lines.append(line)
    lines += ["", f"{found['rows'][0]['what']} / {found['rows'][1]['what']}: {found['ratio']:.3g}"]
    return "\n".join(lines) + "\n"
