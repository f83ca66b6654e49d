"""Where a run's clips are decoded: as asked, or with `decoder.device=auto` where a short trial was faster.

The choice changes frames by about a level of 255, and so the features' fingerprint: it is made once a run
and kept.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jungle import system
from jungle.console import log
from jungle.errors import UserError
from jungle.files import write_json
from jungle.video import ClipSpec
from jungle.video.decoders import decord
from jungle.video.workers import device_trial as where

CHOICE = "decoding.json"
WAIT_S = 900.0  # for the first process of the run to choose


def settle(
    spec: ClipSpec,
    asked: str,
    paths: Sequence[str],
    *,
    device: str,
    workers: int,
    timeout_s: float,
    stored: Callable[[ClipSpec], bool] = lambda _: False,
    folder: Path | None = None,
) -> ClipSpec:
    """The spec with the device to decode on, and the decoder that works there.

    Args:
        spec: how clips are read; its decoder is the one asked for.
        asked: `auto`, `cpu`, `gpu` or `cuda`.
        paths: the run's clips.
        device: the torch device of the model.
        workers: decoding processes.
        timeout_s: seconds a clip may take.
        stored: tells whether features made by a spec are at hand: they decide before any trial.
        folder: of the run, where the choice is kept for its other processes and for when it goes on.

    Raises:
        UsageError: the GPU is asked for and cannot be had.
    """
    if asked == "cpu":
        return where.on_cpu(spec)
    gpu, cpu = where.on_gpu(spec), where.on_cpu(spec)
    if asked != "auto":
        where.require_gpu(spec.decoder, device)
        assert gpu is not None
        return gpu
    if gpu is None or not device.startswith("cuda"):
        if spec.device == "cuda":
            log.info("the GPU decoded the clips in training, the CPU does here: about a level of 255 apart")
        return cpu
    if gpu.decoder == "decord" and not decord.has_cuda():
        return cpu
    known = _kept(folder)
    if known is None:
        for made_by in (gpu, cpu):
            if stored(made_by):
                verdict = where.Verdict(made_by is gpu, "decoding where the features at hand were decoded")
                break
        else:
            options = {"device": device, "workers": workers, "timeout_s": timeout_s}
            verdict = where.choose(cpu, gpu, paths, **options)
        log.info(verdict.why)
        known = verdict.gpu
        if folder is not None:
            write_json(folder / CHOICE, {"gpu": verdict.gpu, "why": verdict.why})
    return gpu if known else cpu


def _kept(folder: Path | None) -> bool | None:
    """What this run has chosen before; other processes than the first wait for it to choose."""
    if folder is None:
        return None
    file, until = folder / CHOICE, time.monotonic() + WAIT_S
    while not file.is_file():
        if system.rank() == 0:
            return None
        if time.monotonic() > until:
            raise UserError(f"waited {WAIT_S:.0f} s for the run's first process to write {file}")
        time.sleep(0.5)
    return bool(json.loads(file.read_text(encoding="utf-8"))["gpu"])


def same_place(spec: ClipSpec, settled: ClipSpec) -> ClipSpec:
    """Another spec of the same run, decoded where the settled one is."""
    return replace(spec, decoder=settled.decoder, device=settled.device)
