"""Predictions of the clips of a request that have no row yet."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from jungle.config import PredictConfig
from jungle.console import Progress, log
from jungle.data.content_key import Content, read_contents
from jungle.data.metadata import MICRO
from jungle.data.predictions import ClipPrediction
from jungle.devices import resolve_device
from jungle.errors import UserError
from jungle.models.checkpoint import Loaded
from jungle.prediction import metadata
from jungle.prediction.predictor import AllClips, predict_clips, resolve_clip_spec, select_whole_batches
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import Rows
from jungle.system import share_of_cores
from jungle.video import ClipSpec
from jungle.wording import tally

FLUSH_ROWS = 512


def fill_rows(
    cfg: PredictConfig, loaded: Sequence[Loaded], requests: Sequence[ClipRequest], rows: Rows
) -> None:
    """Predict the clips that `rows` does not have.

    Args:
        cfg: the settings of the command.
        loaded: models; on the CPU their BatchNorm is folded.
        requests: all clips.
        rows: gets the predictions.

    Raises:
        UserError: the GPU's memory is full, or a model's answer or feature store is damaged.
    """
    device = resolve_device(cfg.device)
    clips = read_clips(cfg, loaded, requests, rows)
    todo = [n for n, key in enumerate(clips.keys) if key is not None and not rows.has(requests[n].clip, key)]
    _log_done(requests, clips.keys, todo, rows)
    if not todo:
        return
    by_trained_spec: dict[ClipSpec, list[Loaded]] = {}
    for model in loaded:
        if device == "cpu":
            model.model.backbone = model.model.backbone.folded()
        by_trained_spec.setdefault(model.clip_spec, []).append(model)
    files = [clips.paths[n] for n in todo]
    groups: dict[ClipSpec, list[Loaded]] = {}
    for trained, members in by_trained_spec.items():
        spec = resolve_clip_spec(cfg, trained, members, files, device, rows.private)
        groups.setdefault(spec, []).extend(members)
    todo = select_whole_batches(todo, clips, cfg.batch_size, device)
    last = time.monotonic()
    with Progress("predicting", len(todo)) as bar:
        try:
            for row in predict_clips(cfg, groups, clips, todo, rows.classes, device):
                key = clips.keys[row.number]
                assert key is not None
                rows.add(requests[row.number].clip, key.key_of(row.status), row)
                bar.advance()
                if rows.waiting >= FLUSH_ROWS or time.monotonic() - last > cfg.flush_s:
                    rows.flush()
                    last = time.monotonic()
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                f"the GPU's memory is full at batch_size={cfg.batch_size}: give a smaller one"
            ) from None
        finally:
            rows.flush()


def needs_micro(loaded: Loaded) -> bool:
    """Tell whether a model was trained with the sizes of small copies of the clips."""
    return bool(loaded.model.metadata) and MICRO[0] in loaded.model.metadata.names


def read_clips(
    cfg: PredictConfig, loaded: Sequence[Loaded], requests: Sequence[ClipRequest], rows: Rows
) -> AllClips:
    """Return contents and metadata of every clip; a clip whose file cannot be opened becomes a failed row."""
    found: list[Content | None] = []
    for request, content in zip(requests, read_contents([r.path or "" for r in requests]), strict=True):
        found.append(content if isinstance(content, Content) and request.path is not None else None)
        if request.path is None:
            rows.add(request.clip, "", ClipPrediction.failure("no such file"))
        elif isinstance(content, OSError):
            rows.add(request.clip, "", ClipPrediction.failure(str(content)))
    facts_NF = None
    if any(m.model.metadata for m in loaded):
        names, paths = [r.clip for r in requests], [r.path for r in requests]
        how = (share_of_cores() if cfg.workers is None else cfg.workers, cfg.timeout_s)
        cache = cfg.paths.cache
        facts_NF = metadata.read_clip_metadata(names, paths, cfg.metadata, cache, "metadata", *how)
        if any(map(needs_micro, loaded)):
            folder = None if cfg.micro is None else metadata.find_inner(cfg.micro, "micro")
            if folder is None:
                log.warning(
                    "a model of ckpt was trained with the sizes of small copies of the clips, which are "
                    "unknown now: give micro=<their folder>"
                )
            facts_NF = metadata.add_micro(facts_NF, names, folder, cache, "micro", *how)
    return AllClips([str(Path(r.path).absolute()) if r.path else "" for r in requests], found, facts_NF)


def _log_done(
    requests: Sequence[ClipRequest], keys: Sequence[Content | None], todo: Sequence[int], rows: Rows
) -> None:
    """Log how many clips have a row from before, and how many of these failed then."""
    lacking = set(todo)
    before = {requests[n].clip for n, key in enumerate(keys) if key is not None and n not in lacking}
    if changed := sum(rows.is_damaged(requests[n].clip) for n in todo):
        log.info(
            f"{tally(changed, 'clips')} could not be read in full before and may have been repaired since: "
            "predicted again"
        )
    if not before:
        return
    failed = len(before & rows.failed)
    again = f", {failed} of them could not be read (retry_failed=true tries them again)" if failed else ""
    log.info(f"{len(before)} of {len(requests)} clips were done before{again}")
