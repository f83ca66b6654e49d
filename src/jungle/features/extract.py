"""Run a frozen backbone over every clip that the feature store lacks, once, on all devices."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jungle.console import Progress, log
from jungle.errors import UserError
from jungle.features.store import FeatureStore
from jungle.models.backbone import Backbone, BackboneSpec
from jungle.models.parallel import side_by_side
from jungle.video import Clip, ClipSpec
from jungle.video.gpu_pool import open_pool
from jungle.video.pool import Job
from jungle.video.serving import die_with


@dataclass(frozen=True)
class Wanted:
    """A clip whose features are wanted: its content key, its name for people, where it lies."""

    key: str
    clip: str
    path: str


@dataclass(frozen=True)
class Extraction:
    """How features are made: plain and picklable, so that other processes can do a share of it."""

    backbone: BackboneSpec
    clip: ClipSpec
    store: Path
    name: str
    spec: dict[str, Any]
    workers: int
    timeout_s: float = 60.0
    dtype: str = "float32"
    max_failed_fraction: float = 1.0

    def open(self) -> FeatureStore:
        """Open the store that these features go into."""
        return FeatureStore.open(self.store, self.name, self.spec)


def feature_spec(backbone: Backbone, clip: ClipSpec, weights_hash: str, dtype: str) -> dict[str, Any]:
    """Return everything that shapes a feature, as plain types: what a store is keyed by."""
    own = backbone.to_dict()
    return {
        "version": 1,
        "backbone": own["name"],
        "weights": weights_hash,
        "taps": own["taps"],
        "pool": own["pool"] + (" of patches" if backbone.prefix and own["taps"] else ""),
        "dtype": dtype,
        "clip": clip.to_dict(),
    }


def compute_dtype(device: str) -> str:
    """Return `bfloat16` on a GPU that computes in it, else `float32`."""
    return "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported(False) else "float32"


def extract(
    plan: Extraction, wanted: Sequence[Wanted], devices: Sequence[str], backbone: Backbone | None = None
) -> None:
    """Fill the store with what it lacks of `wanted`, each device doing a share.

    Killed at any time, the same call goes on from the clips already stored. `backbone` saves building it
    again where there is one device.

    Raises:
        UserError: more than `max_failed_fraction` of the clips cannot be read.
    """
    store = plan.open()
    lacking = set(store.missing([w.key for w in wanted]))
    todo = list({w.key: w for w in wanted if w.key in lacking}.values())
    if not todo:
        return
    log.info(
        f"features: {len(wanted) - len(lacking)} of {len(wanted)} clips are in {store.folder}, "
        f"{len(todo)} to do"
    )
    if len(devices) == 1:
        _share(plan, todo, devices[0], backbone, len(wanted))
    else:
        context = torch.multiprocessing.get_context("spawn")
        shares = [
            (plan, todo[i :: len(devices)], device, None, len(wanted)) for i, device in enumerate(devices)
        ]
        processes = [context.Process(target=_share_in_process, args=s, daemon=False) for s in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if failed := [p.exitcode for p in processes if p.exitcode]:
            raise UserError(
                f"a process that computes features ended with code {failed[0]}; its last lines say why"
            )


def _share_in_process(*args: Any) -> None:
    import logging
    import sys

    threading.Thread(target=die_with, args=(os.getppid(),), daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Several CPU devices share the cores.
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    try:
        _share(*args)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)


def _share(
    plan: Extraction, todo: Sequence[Wanted], device: str, backbone: Backbone | None, total: int
) -> None:
    model = (backbone or Backbone(plan.backbone)).eval()
    model = model.folded() if device == "cpu" else model.to(device)
    by_key = {w.key: w for w in todo}
    per_step = 2 * torch.get_num_threads() if device == "cpu" else 8
    failed = 0
    with (
        plan.open().writer() as writer,
        open_pool(plan.clip, device=device, workers=plan.workers, timeout_s=plan.timeout_s) as pool,
        Progress(f"features on {device}", len(todo)) as bar,
    ):
        waiting: list[tuple[Wanted, Clip]] = []
        jobs = (Job(w.key, w.path, 0) for w in todo)
        for job, clip in pool.map(jobs, ahead=2 * max(plan.workers, 1) + per_step):
            item = by_key[job.key]
            if isinstance(clip, Clip):
                waiting.append((item, clip))
            else:
                failed += 1
                writer.fail(item.key, item.clip, str(clip))
                log.warning(f"{item.clip}: {clip}")
                if failed > max(plan.max_failed_fraction * total, 1):
                    raise UserError(
                        f"{failed} of {total} clips could not be read (the last: {item.clip}: {clip}). Is "
                        "the disk well? max_failed_fraction says how many are let pass"
                    )
            if len(waiting) >= per_step:
                _store(writer, model, waiting, device, plan.dtype)
                waiting = []
            bar.advance()
        if waiting:
            _store(writer, model, waiting, device, plan.dtype)


def _store(writer: Any, model: Backbone, clips: list[tuple[Wanted, Clip]], device: str, dtype: str) -> None:
    for (item, clip), features in zip(clips, run(model, [c for _, c in clips], device, dtype), strict=True):
        try:
            writer.add(item.key, item.clip, features, clip.times, clip.status, clip.reason)
        except ValueError as e:
            raise UserError(f"{item.clip}: the features of {model.spec.name} cannot be stored: {e}") from None


def run(model: Backbone, clips: Sequence[Clip], device: str, dtype: str) -> list[Any]:
    """Return the features of each clip, float32 `[T, D]` on the CPU."""

    def features(frames_NHWC: torch.Tensor) -> torch.Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(device.split(":")[0], torch.bfloat16, enabled=dtype == "bfloat16"),
        ):
            return model(frames_NHWC).float()

    # Frames that were decoded on the GPU are there already.
    frames = [torch.as_tensor(c.frames).to(device, non_blocking=True) for c in clips]
    if device == "cpu":
        return [x_TD.numpy() for x_TD in side_by_side(features, frames)]
    x_ND = features(torch.cat(frames))
    return [x_TD.numpy() for x_TD in x_ND.cpu().split([len(c.frames) for c in clips])]


def wait_for(plan: Extraction, wanted: Sequence[Wanted], silent_s: float = 1800.0) -> None:
    """Wait until the other processes of this run have done their shares.

    Raises:
        UserError: nothing new has come for `silent_s` seconds.
    """
    store, keys = plan.open(), [w.key for w in wanted]
    left, since = len(store.missing(keys)), time.monotonic()
    while left:
        time.sleep(2)
        store.refresh()
        now = len(store.missing(keys))
        if now < left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > silent_s:
            raise UserError(
                f"waited {silent_s:.0f} s for the other processes: {left} clips still have no features"
            )
