"""`jungle predict`: from checkpoints and videos to a table of what is in every clip."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jungle import runs
from jungle.config import PredictConfig, parse_config
from jungle.console import Progress, log, log_time, print_result
from jungle.data import predictions
from jungle.data.content_key import Content, compute_content_key, read_contents
from jungle.data.metadata import MICRO
from jungle.data.predictions import ClipPrediction
from jungle.devices import resolve_device
from jungle.errors import SomeFailed, UsageError, UserError
from jungle.export.submission import read_template, write_submission
from jungle.names import show
from jungle.prediction import metadata
from jungle.prediction import requests as asked
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import FILES, Rows, check_clips, check_out
from jungle.report import write_report
from jungle.system import share_of_cores
from jungle.wording import tally

FLUSH_ROWS = 512


def main(raw: Any) -> None:
    """Predict as a composed config says.

    Raises:
        SomeFailed: some clips could not be read; all files are written nevertheless.
    """
    cfg = parse_config(PredictConfig, raw)

    template = read_template(cfg.template) if cfg.template else None
    cfg = cfg.model_copy(update={"ckpt": runs.drop_repeated(cfg.ckpt)})
    files = [runs.resolve_checkpoint(path) for path in cfg.ckpt]  # a run's folder means its best
    for said in filter(None, map(runs.explain_unfinished, files)):
        log.info(said)
    keys = [compute_content_key(file) for file in files]
    if cfg.out is not None and not cfg.overwrite:
        check_out(cfg.out, keys, cfg.decoder.name)
    if cfg.device.startswith("cuda") or cfg.decoder.device in ("gpu", "cuda"):
        _check_devices(cfg)
    requests = asked.find_requests(cfg, template)
    clips = [a.clip for a in requests]
    if cfg.out is not None and not cfg.overwrite:
        check_clips(cfg.out, clips)
    with log_time("loading"):
        from jungle.models.checkpoint import load_checkpoint

        loaded = [load_checkpoint(path) for path in files]
    if cfg.metadata is not None and not any(m.model.metadata for m in loaded):
        raise UsageError(f"metadata={cfg.metadata}: no model of ckpt sees metadata: leave it out")
    if cfg.micro is not None and not any(see_micro(m) for m in loaded):
        raise UsageError(f"micro={cfg.micro}: no model of ckpt sees small copies of clips: leave it out")
    classes = loaded[0].model.classes
    for path, other in zip(cfg.ckpt, loaded, strict=True):
        if set(other.model.classes) != set(classes):
            raise UsageError(
                f"ckpt={path}: its classes differ from those of {cfg.ckpt[0]}; predict them separately"
            )
    if template is not None:
        template.check_classes(classes)
    out = cfg.out or cfg.paths.runs / "predict" / "-".join(m.identity[:8] for m in loaded[:4])
    plan = {"ckpt": [m.identity for m in loaded], "decoder": cfg.decoder.name, FILES: keys}
    rows = Rows(out, plan, classes, cfg.overwrite)
    models = tally(len(loaded), "models")
    log.info(f"{tally(len(requests), 'clips')}, {models}, results go to {out}")
    with rows:
        check_clips(out, clips)  # once more, now that nobody else writes there; overwrite has removed it all
        if cfg.retry_failed:
            rows.forget_failed()
        fill(cfg, loaded, requests, rows)
        table = rows.table(clips)
        rows.finish(table)
    if template is not None:
        priors = {c: sum(m.priors[c] for m in loaded) / len(loaded) for c in classes}
        write_submission(table, template, out / "submission.csv", priors)
        print_result(f"submission: {out / 'submission.csv'}")
    failed = predictions.select_failed(table)
    if cfg.report:
        _report(cfg, out, requests, table, loaded)
        print_result(f"report: {out / 'report.html'}")
    print_result(f"predictions: {out / 'predictions.csv'}")
    degraded = int((table["status"] == "degraded").sum())
    log.info(f"{len(table) - len(failed)} of {len(table)} clips predicted, {degraded} of them in part")
    if len(failed):
        clip, reason = (show(failed[c][0]) for c in ("clip", "reason"))
        raise SomeFailed(
            f"{len(failed)} of {len(table)} clips could not be read and have no answer: "
            f"{out / 'failures.csv'} says why; the first: {clip}: {reason}"
        )


def _check_devices(cfg: PredictConfig) -> None:
    """Refuse GPUs that are not there before any clip is looked for.

    Raises:
        UsageError: what is missing.
    """
    from jungle.video.workers.device_selection import require_gpu

    device = resolve_device(cfg.device)
    if cfg.decoder.device in ("gpu", "cuda"):
        require_gpu(cfg.decoder.name or "auto", device)


def fill(cfg: PredictConfig, loaded: list[Any], requests: list[ClipRequest], rows: Rows) -> None:
    """Fill `rows` with what it lacks.

    Args:
        cfg: the command's.
        loaded: models, by `load_checkpoint`; on the CPU they are folded for it.
        requests: all clips.
        rows: those that are there already are not predicted again.

    Raises:
        UserError: memory, a model's answers or its store are not as they must be.
    """
    import torch

    from jungle.prediction.predictor import predict_clips, settled, whole_batches

    device = resolve_device(cfg.device)
    asked = _asked(cfg, loaded, requests, rows)
    todo = [n for n, key in enumerate(asked.keys) if key is not None and not rows.has(requests[n].clip, key)]
    _say_done(requests, asked.keys, todo, rows)
    if not todo:
        return
    trained: dict[Any, list[Any]] = {}
    for model in loaded:
        if device == "cpu":
            model.model.backbone = model.model.backbone.folded()
        trained.setdefault(model.clip_spec, []).append(model)
    files = [asked.paths[n] for n in todo]
    groups: dict[Any, list[Any]] = {}
    for spec, members in trained.items():
        groups.setdefault(settled(cfg, spec, members, files, device, rows.private), []).extend(members)
    todo = whole_batches(todo, asked, cfg.batch_size, device)
    last = time.monotonic()
    with Progress("predicting", len(todo)) as bar:
        try:
            for row in predict_clips(cfg, groups, asked, todo, rows.classes, device):
                rows.add(requests[row.number].clip, asked.keys[row.number].key_of(row.status), row)
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


def see_micro(loaded: Any) -> bool:
    """Tell whether a model was trained with the sizes of small copies of the clips."""
    return bool(loaded.model.metadata) and MICRO[0] in loaded.model.metadata.names


def _asked(cfg: PredictConfig, loaded: list[Any], requests: list[ClipRequest], rows: Rows) -> Any:
    """Look at every clip's file; those that are not there or cannot be opened fail at once."""
    from jungle.prediction.predictor import Asked

    found: list[Content | None] = []
    for ask, content in zip(requests, read_contents([a.path or "" for a in requests]), strict=True):
        found.append(content if isinstance(content, Content) and ask.path is not None else None)
        if ask.path is None:
            rows.add(ask.clip, "", ClipPrediction.failure("no such file"))
        elif isinstance(content, OSError):
            rows.add(ask.clip, "", ClipPrediction.failure(str(content)))
    known = None
    if any(m.model.metadata for m in loaded):
        names, how = (
            [a.clip for a in requests],
            (share_of_cores() if cfg.workers is None else cfg.workers, cfg.timeout_s),
        )
        paths = [a.path for a in requests]
        known = metadata.read_clip_metadata(names, paths, cfg.metadata, cfg.paths.cache, "metadata", *how)
        if any(see_micro(m) for m in loaded):
            folder = None if cfg.micro is None else metadata.find_inner(cfg.micro, "micro")
            if folder is None:
                log.warning(
                    "a model of ckpt was trained with the sizes of small copies of the clips, which are "
                    "unknown now: give micro=<their folder>"
                )
            known = metadata.add_micro(known, names, folder, cfg.paths.cache, "micro", *how)
    return Asked([str(Path(a.path).absolute()) if a.path else "" for a in requests], found, known)


def _say_done(
    requests: list[ClipRequest], keys: Sequence[Content | None], todo: list[int], rows: Rows
) -> None:
    """Log how many clips have their row from before, and how many of these could not be read then."""
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


def _report(
    cfg: PredictConfig, out: Path, requests: list[ClipRequest], table: pl.DataFrame, loaded: list[Any]
) -> None:
    failed = predictions.select_failed(table)
    # A name that is not UTF-8 cannot stand in a table: its strip is left out, its row is not.
    paths = [a.path if a.path and a.path.isprintable() else None for a in requests]
    clips = pl.DataFrame(
        {"clip": [a.clip for a in requests], "path": paths}, schema={"clip": pl.String, "path": pl.String}
    )
    with log_time("report"):
        write_report(
            out,
            title="What is in the clips",
            clips=clips,
            predictions={"predict": table},
            metrics={},
            classes=predictions.get_classes(table),
            task=loaded[0].model.task,
            history=None,
            failures=list(failed.select("clip", "reason").iter_rows()),
            config_summary=cfg.model_dump(mode="json"),
            clip_spec=loaded[0].clip_spec,
            roots=[cfg.videos] if isinstance(cfg.videos, str) else cfg.videos or [],
            whole_paths=cfg.report_paths,
        )
