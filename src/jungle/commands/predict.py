"""`jungle predict`: from checkpoints and videos to a table of what is in every clip."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jungle import runs
from jungle.config import PredictConfig, parse_config
from jungle.console import log, log_time, print_result
from jungle.data import predictions
from jungle.data.content_key import compute_content_key
from jungle.devices import resolve_device
from jungle.errors import SomeFailed, UsageError
from jungle.export.submission import read_template, write_submission
from jungle.models.archives import check_checkpoint
from jungle.names import show
from jungle.prediction.requests import ClipRequest, find_requests
from jungle.prediction.writer import FILES, Rows, check_clips, check_out
from jungle.report import write_report
from jungle.video import ClipSpec
from jungle.wording import tally


def main(raw: object) -> None:
    """Predict as a composed config says.

    Raises:
        SomeFailed: some clips could not be read; all files are written nevertheless.
    """
    cfg = parse_config(PredictConfig, raw)

    template = read_template(cfg.template) if cfg.template else None
    cfg = cfg.model_copy(update={"ckpt": runs.drop_repeated(cfg.ckpt)})
    files = [runs.resolve_checkpoint(path) for path in cfg.ckpt]  # a run's folder means its best
    for file in files:
        check_checkpoint(file)
    for said in filter(None, map(runs.explain_unfinished, files)):
        log.info(said)
    keys = [compute_content_key(file) for file in files]
    if cfg.out is not None and not cfg.overwrite:
        check_out(cfg.out, keys, cfg.decoder.name)
    if cfg.device.startswith("cuda") or cfg.decoder.device in ("gpu", "cuda"):
        _check_devices(cfg)
    requests = find_requests(cfg, template)
    clips = [r.clip for r in requests]
    if cfg.out is not None and not cfg.overwrite:
        check_clips(cfg.out, clips)
    with log_time("loading"):
        # Here, since they import torch and timm: what is refused above is refused at once.
        from jungle.models import large_libraries  # noqa: F401
        from jungle.models.checkpoint import load_checkpoint
        from jungle.prediction.fill import fill_rows, needs_micro

        loaded = [load_checkpoint(path) for path in files]
    if cfg.metadata is not None and not any(m.model.metadata for m in loaded):
        raise UsageError(f"metadata={cfg.metadata}: no model of ckpt uses metadata: leave it out")
    if cfg.micro is not None and not any(map(needs_micro, loaded)):
        raise UsageError(f"micro={cfg.micro}: no model of ckpt uses small copies of clips: leave it out")
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
        fill_rows(cfg, loaded, requests, rows)
        rows.finish(requests)
    table = predictions.read(out / "predictions.parquet")
    if template is not None:
        priors = {c: sum(m.priors[c] for m in loaded) / len(loaded) for c in classes}
        write_submission(table, template, out / "submission.csv", priors)
        print_result(f"submission: {out / 'submission.csv'}")
    failed = predictions.select_failed(table)
    if cfg.report:
        _write_report(cfg, out, requests, table, loaded[0].model.task, loaded[0].clip_spec)
        print_result(f"report: {out / 'report.html'}")
    print_result(f"predictions: {out / 'predictions.csv'}")
    degraded = int((table["status"] == "degraded").sum())
    part = f", {degraded} of them from a part of their frames" if degraded else ""
    log.info(f"{len(table) - len(failed)} of {len(table)} clips predicted{part}")
    if len(failed):
        clip, reason = (show(failed[c][0]) for c in ("clip", "reason"))
        raise SomeFailed(
            f"{len(failed)} of {len(table)} clips could not be read and have no prediction: "
            f"{out / 'failures.csv'} says why; the first: {clip}: {reason}"
        )


def _check_devices(cfg: PredictConfig) -> None:
    """Refuse GPUs that this machine does not have, before clips are searched for.

    Raises:
        UsageError: what is missing.
    """
    from jungle.video.workers.device_selection import require_gpu

    device = resolve_device(cfg.device)
    if cfg.decoder.device in ("gpu", "cuda"):
        require_gpu(cfg.decoder.name or "auto", device)


def _write_report(
    cfg: PredictConfig,
    out: Path,
    requests: Sequence[ClipRequest],
    table: pl.DataFrame,
    task: str,
    spec: ClipSpec,
) -> None:
    failed = predictions.select_failed(table)
    # A table cannot hold a name that is not UTF-8: its strip is left out, its row is not.
    paths = [r.path if r.path and r.path.isprintable() else None for r in requests]
    clips = pl.DataFrame(
        {"clip": [r.clip for r in requests], "path": paths}, schema={"clip": pl.String, "path": pl.String}
    )
    with log_time("report"):
        write_report(
            out,
            title="What is in the clips",
            clips=clips,
            predictions={"predict": table},
            metrics={},
            classes=predictions.get_classes(table),
            task=task,
            history=None,
            failures=list(failed.select("clip", "reason").iter_rows()),
            config_summary=cfg.model_dump(mode="json"),
            clip_spec=spec,
            roots=[cfg.videos] if isinstance(cfg.videos, str) else cfg.videos or [],
            whole_paths=cfg.report_paths,
        )
