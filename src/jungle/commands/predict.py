"""`jungle predict`: from checkpoints and videos to a table of what is in every clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from jungle import runs
from jungle.config import PredictConfig, parse_config
from jungle.console import log, log_time, print_result
from jungle.data import predictions
from jungle.data.content_key import compute_content_key
from jungle.devices import resolve_device
from jungle.errors import SomeFailed
from jungle.export.submission import Template, read_template, write_submission
from jungle.models.archives import check_checkpoint
from jungle.names import show
from jungle.prediction.requests import ClipRequest, find_requests
from jungle.prediction.writer import check_clips, check_out
from jungle.report import write_report
from jungle.video import ClipSpec

if TYPE_CHECKING:
    from jungle.prediction.run import Models


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
    requests = [] if cfg.watch else find_requests(cfg, template)
    if cfg.out is not None and not (cfg.overwrite or cfg.watch):
        check_clips(cfg.out, [r.clip for r in requests])
    from jungle.prediction import (
        run,
    )  # here, since it imports torch: what is refused above is refused at once

    models = run.load_models(cfg, files, keys)
    if template is not None:
        template.check_classes(models.classes)
    if cfg.dry_run:
        print_result(f"dry run: {run.estimate(cfg, models, requests)}")
        return
    if cfg.watch:
        for requests in run.follow(cfg, models):
            _write_results(cfg, models, requests, None)
    run.predict(cfg, models, requests)
    table = _write_results(cfg, models, requests, template)
    failed = predictions.select_failed(table)
    if len(failed):
        clip, reason = (show(failed[c][0]) for c in ("clip", "reason"))
        raise SomeFailed(
            f"{len(failed)} of {len(table)} clips could not be read and have no prediction: "
            f"{models.out / 'failures.csv'} says why; the first: {clip}: {reason}"
        )


def _write_results(
    cfg: PredictConfig, models: "Models", requests: Sequence[ClipRequest], template: Template | None
) -> pl.DataFrame:
    """Write what is made of the tables; return the predictions."""
    out = models.out
    table = predictions.read(out / "predictions.parquet")
    if template is not None:
        write_submission(table, template, out / "submission.csv", models.priors)
        print_result(f"submission: {out / 'submission.csv'}")
    if cfg.report:
        first = models.loaded[0]
        _write_report(cfg, out, requests, table, first.model.task, first.clip_spec)
        print_result(f"report: {out / 'report.html'}")
    print_result(f"predictions: {out / 'predictions.csv'}")
    failed = len(predictions.select_failed(table))
    degraded = int((table["status"] == "degraded").sum())
    part = f", {degraded} of them from a part of their frames" if degraded else ""
    log.info(f"{len(table) - failed} of {len(table)} clips predicted{part}")
    return table


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
