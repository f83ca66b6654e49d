"""Choose where a run's clips are decoded: as configured, or by a short trial with `decoder.device=auto`.

The choice changes frames by about one level of 255, and with them the features' fingerprint, so it is made
once per run and kept.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jungle import system
from jungle.console import log
from jungle.errors import UsageError, UserError
from jungle.files import write_json
from jungle.video.decoders import decord, torchcodec
from jungle.video.types import ClipSpec

CHOICE = "decoding.json"
WAIT_S = 900.0  # for the first process of the run to choose


def to_gpu(spec: ClipSpec) -> ClipSpec | None:
    """Return the spec for decoding on a GPU, where `auto` means torchcodec.

    None if its decoder has no GPU side, or if frames are cropped to the motion, which the CPU does.
    """
    if spec.focus != "whole":
        return None
    decoder = {"auto": "torchcodec"}.get(spec.decoder, spec.decoder)
    return replace(spec, decoder=decoder, device="cuda") if decoder in ("torchcodec", "decord") else None


def to_cpu(spec: ClipSpec, decoder: str | None = None) -> ClipSpec:
    """Return the spec for the CPU; PyAV replaces torchcodec of a GPU unless `decoder` is given."""
    was_gpu = spec.device == "cuda" and spec.decoder == "torchcodec"
    return replace(spec, decoder=decoder or ("auto" if was_gpu else spec.decoder), device="cpu")


def require_gpu(decoder: str, device: str) -> None:
    """Check that a decoder works on the GPU of this machine, with the model on the torch device `device`.

    Raises:
        UsageError: it does not.
    """
    if decoder == "pyav":
        raise UsageError(
            "decoder=pyav decodes on the CPU only: use decoder=torchcodec decoder.device=cuda, "
            "or leave decoder.device out"
        )
    if decoder == "decord" and not decord.has_cuda():
        raise UsageError(
            "decoder=decord decoder.device=gpu: this decord has no CUDA (PyPI's wheels are CPU-only). "
            "Build one by the recipe in Dockerfile (docker build --target decord-cuda --output wheels .), or "
            "use decoder=torchcodec decoder.device=cuda"
        )
    if not device.startswith("cuda"):
        raise UsageError(
            f"decoder={decoder} decoder.device=cuda: the model runs on the CPU, since no GPU can be used "
            "here or none was asked for (see jungle doctor). Leave decoder.device out, or set it to cpu"
        )
    if decoder != "decord":
        torchcodec.load()


def select_device(
    spec: ClipSpec,
    device_setting: str,
    paths: Sequence[str],
    *,
    device: str,
    workers: int,
    timeout_s: float,
    stored: Callable[[ClipSpec], bool] = lambda _: False,
    folder: Path | None = None,
) -> ClipSpec:
    """Return the spec with the device to decode on, and the decoder that works there.

    Args:
        spec: how clips are read; its decoder is the configured one.
        device_setting: `auto`, `cpu`, `gpu` or `cuda`.
        paths: the run's clips.
        device: the torch device of the model.
        workers: decoding processes.
        timeout_s: seconds a clip may take.
        stored: whether features of a spec are in the store already; if so, no trial is made.
        folder: run folder, where the choice is kept for other processes and for resuming.

    Raises:
        UsageError: the GPU is configured and cannot be used.
    """
    if device_setting == "cpu":
        return to_cpu(spec)
    gpu, cpu = to_gpu(spec), to_cpu(spec)
    if device_setting != "auto":
        require_gpu(spec.decoder, device)
        assert gpu is not None
        return gpu
    if gpu is None or not device.startswith("cuda"):
        if spec.device == "cuda":
            log.info("clips are decoded on the CPU, in training on a GPU: frames differ by about 1 of 255")
        return cpu
    if gpu.decoder == "decord" and not decord.has_cuda():
        return cpu
    use_gpu = _read_choice(folder)
    if use_gpu is None:
        from jungle.video.workers import device_trial  # here: it loads torch

        for candidate in (gpu, cpu):
            if stored(candidate):
                use_gpu, why = candidate is gpu, "decoding where the stored features were decoded"
                break
        else:
            use_gpu, why = device_trial.compare_devices(
                cpu, gpu, paths, device=device, workers=workers, timeout_s=timeout_s
            )
        log.info(why)
        if folder is not None:
            write_json(folder / CHOICE, {"gpu": use_gpu, "why": why})
    return gpu if use_gpu else cpu


def _read_choice(folder: Path | None) -> bool | None:
    """Return the choice that this run has made before; processes other than the first wait for it."""
    if folder is None:
        return None
    file, until = folder / CHOICE, time.monotonic() + WAIT_S
    while not file.is_file():
        if system.get_rank() == 0:
            return None
        if time.monotonic() > until:
            raise UserError(f"waited {WAIT_S:.0f} s for the run's first process to write {file}")
        time.sleep(0.5)
    return bool(json.loads(file.read_text(encoding="utf-8"))["gpu"])


def copy_device(spec: ClipSpec, selected: ClipSpec) -> ClipSpec:
    """Return another spec of the same run, decoded where the selected one is."""
    return replace(spec, decoder=selected.decoder, device=selected.device)
