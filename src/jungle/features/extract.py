"""Run frozen backbones once, on all devices, over every clip that their feature stores lack."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from jungle import streams
from jungle.console import Progress, log
from jungle.data.content_key import Content
from jungle.errors import UserError
from jungle.features.spec import Extraction
from jungle.features.wanted import Wanted
from jungle.features.writer import Writer
from jungle.models.backbones.backbone import Backbone
from jungle.models.cpu_parallel import map_parallel
from jungle.names import escape
from jungle.system import end_with
from jungle.video import Clip, ClipError
from jungle.video.workers.decode_pool import DecodePool, Job
from jungle.video.workers.gpu_pool import open_pool
from jungle.wording import count

SILENT_S = 1800.0


def extract(
    plans: Sequence[Extraction],
    wanted: Sequence[Wanted],
    devices: Sequence[str],
    backbones: Sequence[Backbone] = (),
) -> None:
    """Fill the store of each plan with the `wanted` clips that it lacks, each device doing a share.

    A clip is decoded once for all plans; if the GPU decodes, once for each. After a kill the same call
    resumes with the clips not stored yet. `backbones` saves building them if there is one device.

    Raises:
        UserError: more than `max_failed_fraction` of the clips cannot be read.
    """
    if len(plans) > 1 and any(p.clip.device != "cpu" for p in plans):
        for i, plan in enumerate(plans):
            extract([plan], wanted, devices, backbones[i : i + 1])
        return
    todo = _list_todo(plans, wanted)
    unique: dict[str, Todo] = {}
    for item in todo:
        unique.setdefault(item[0].content.key, item)
    if unique:
        _extract_on_devices(plans, list(unique.values()), devices, backbones, len(wanted))
    if len(unique) < len(todo) and (left := _list_todo(plans, wanted, log_counts=False)):
        # Of clips with one content key only one was read, not in full: others may be sound.
        _extract_on_devices(plans, left, devices, backbones, len(wanted))


Todo = tuple[Wanted, tuple[int, ...]]
"""A clip, and the numbers of the plans whose stores lack it."""


def _list_todo(plans: Sequence[Extraction], wanted: Sequence[Wanted], log_counts: bool = True) -> list[Todo]:
    unique = {w.content: w for w in wanted}
    which: dict[Content, tuple[int, ...]] = {}
    for i, plan in enumerate(plans):
        store = plan.open()
        lacking = store.lacking(unique)
        if lacking and log_counts:
            log.info(
                f"features: {len(unique) - len(lacking)} of {count(len(unique), 'clip')} in {store.folder}, "
                f"{len(lacking)} to do"
            )
        for content in lacking:
            which[content] = (*which.get(content, ()), i)
    return [(w, which[w.content]) for w in unique.values() if w.content in which]


def _extract_on_devices(
    plans: Sequence[Extraction],
    todo: Sequence[Todo],
    devices: Sequence[str],
    backbones: Sequence[Backbone],
    total: int,
) -> None:
    if len(devices) == 1:
        _extract_share(plans, todo, devices[0], backbones, total)
    else:
        context = torch.multiprocessing.get_context("spawn")
        shares = [(plans, todo[i :: len(devices)], device, (), total) for i, device in enumerate(devices)]
        processes = [context.Process(target=_extract_share_in_process, args=s, daemon=False) for s in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if failed := [p.exitcode for p in processes if p.exitcode]:
            raise UserError(
                f"a process that computes features ended with code {failed[0]}; see its last lines"
            )


def _extract_share_in_process(
    plans: Sequence[Extraction],
    todo: Sequence[Todo],
    device: str,
    backbones: Sequence[Backbone],
    total: int,
) -> None:
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # Several CPU devices share the cores.
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    try:
        _extract_share(plans, todo, device, backbones, total)
    except UserError as e:
        streams.say(f"error: {escape(str(e))}", error=True)
        sys.exit(1)


def _extract_share(
    plans: Sequence[Extraction],
    todo: Sequence[Todo],
    device: str,
    backbones: Sequence[Backbone],
    total: int,
) -> None:
    models = [place_model(m, device) for m in (backbones or [Backbone(p.backbone) for p in plans])]
    per_step = 2 * torch.get_num_threads() if device == "cpu" else 8
    most = max(max(p.max_failed_fraction for p in plans) * total, 1)
    failed = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(p.open().writer()) for p in plans]
        bar = stack.enter_context(Progress(f"features on {device}", len(todo)))
        waiting: list[list[tuple[Wanted, Clip]]] = [[] for _ in plans]

        def flush(i: int, least: int) -> None:
            if len(waiting[i]) >= least:
                _store_features(writers[i], models[i], waiting[i], device, plans[i].dtype)
                waiting[i] = []

        for number, which, found in _read(plans, todo, device, per_step, stack):
            item = todo[number][0]
            if isinstance(found, ClipError):
                failed += 1
                for i in which:
                    writers[i].fail(item.content.if_damaged, item.clip, str(found))
                log.warning(f"{item.clip}: {found}")
                if failed > most:
                    raise UserError(
                        f"{failed} of {count(total, 'clip')} could not be read (last: {item.clip}: {found}). "
                        "Check the disk; max_failed_fraction sets how many may fail"
                    )
            else:
                for i, clip in zip(which, found, strict=True):
                    waiting[i].append((item, clip))
                    flush(i, per_step)
            bar.advance()
        for i in range(len(plans)):
            flush(i, 1)


def _read(
    plans: Sequence[Extraction],
    todo: Sequence[Todo],
    device: str,
    per_step: int,
    stack: ExitStack,
) -> Iterator[tuple[int, tuple[int, ...], list[Clip] | ClipError]]:
    """Yield each clip's place in `todo`, the numbers of the plans that lack it, and a `Clip` for each."""
    workers, timeout_s = plans[0].workers, plans[0].timeout_s
    ahead = 2 * max(workers, 1) + per_step
    jobs = (Job(str(n), w.path, specs=which) for n, (w, which) in enumerate(todo))
    if len(plans) > 1:
        pool = DecodePool([p.clip for p in plans], workers=workers, timeout_s=timeout_s)
        for job, clips in stack.enter_context(pool).map_each(jobs, ahead=ahead):
            yield int(job.key), job.specs, clips
        return
    single = open_pool(plans[0].clip, device=device, workers=workers, timeout_s=timeout_s)
    for job, clip in stack.enter_context(single).map(jobs, ahead=ahead):
        yield int(job.key), job.specs, clip if isinstance(clip, ClipError) else [clip]


def _store_features(
    writer: Writer, model: Backbone, clips: list[tuple[Wanted, Clip]], device: str, dtype: str
) -> None:
    for (item, clip), features in zip(
        clips, run_backbone(model, [c for _, c in clips], device, dtype), strict=True
    ):
        try:
            key = item.content.key_of(clip.status)
            writer.add(key, item.clip, features, clip.times, clip.status, clip.reason)
        except ValueError as e:
            raise UserError(f"{item.clip}: the features of {model.spec.name} cannot be stored: {e}") from None


def place_model(model: Backbone, device: str) -> Backbone:
    """Return the model ready to compute features on a device."""
    model = model.eval()
    return model.folded() if device == "cpu" else model.to(device)


def run_backbone(model: Backbone, clips: Sequence[Clip], device: str, dtype: str) -> list[np.ndarray]:
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
        return [x_TD.numpy() for x_TD in map_parallel(features, frames)]
    x_ND = features(torch.cat(frames))
    return [x_TD.numpy() for x_TD in x_ND.cpu().split([len(c.frames) for c in clips])]


def wait_for(plan: Extraction, wanted: Sequence[Wanted]) -> None:
    """Wait until the other processes of this run have done their shares.

    Raises:
        UserError: nothing new has come for `SILENT_S` seconds.
    """
    store, contents = plan.open(), [w.content for w in wanted]
    left, since = len(store.lacking(contents)), time.monotonic()
    while left:
        time.sleep(2)
        store.refresh()
        now = len(store.lacking(contents))
        if now < left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > SILENT_S:
            raise UserError(
                f"waited {SILENT_S:.0f} s for the other processes: still no features of {count(left, 'clip')}"
            )
