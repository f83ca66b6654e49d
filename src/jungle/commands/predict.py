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
from jungle.errors import SomeFailed, UsageError
from jungle.export import ExportSettings, check_settings, write_exports
from jungle.export.settings import describe_model
from jungle.export.submission import Template, read_template, write_submission
from jungle.models.archives import check_checkpoint
from jungle.models.description import Description, read_description
from jungle.names import show
from jungle.postprocessing import ModelFacts, Steps, apply_steps
from jungle.postprocessing.steps import describe_decisions, write_decisions
from jungle.prediction.requests import ClipRequest, find_requests
from jungle.prediction.writer import check_clips, check_out
from jungle.report import write_report
from jungle.system import share_of_cores
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
    about = [read_description(file) for file in files]
    has_answers = any(d.calibration or d.thresholds for d in about)
    if cfg.out is not None and not cfg.overwrite:
        check_out(cfg.out, None if has_answers else keys, cfg.decoder.name)
    _check_exports(cfg)
    if cfg.device.startswith("cuda") or cfg.decoder.device in ("gpu", "cuda"):
        _check_devices(cfg)
    requests = [] if cfg.watch else find_requests(cfg, template)
    if cfg.out is not None and not (cfg.overwrite or cfg.watch):
        check_clips(cfg.out, [r.clip for r in requests])
    # Here, since it imports torch: what is refused above is refused at once.
    from jungle.prediction import run

    models = run.load_models(cfg, files, keys)
    if template is not None:
        template.check_classes(models.classes)
    if cfg.dry_run:
        print_result(f"dry run: {run.estimate(cfg, models, requests)}")
        return
    if cfg.watch:
        for requests in run.follow(cfg, models):
            _write_results(cfg, models, requests, None, about)
    run.predict(cfg, models, requests)
    table = _write_results(cfg, models, requests, template, about)
    failed = predictions.select_failed(table)
    if len(failed):
        clip, reason = (show(failed[c][0]) for c in ("clip", "reason"))
        raise SomeFailed(
            f"{len(failed)} of {len(table)} clips could not be read and have no prediction: "
            f"{models.out / 'failures.csv'} says why; the first: {clip}: {reason}"
        )


def _write_results(
    cfg: PredictConfig,
    models: "Models",
    requests: Sequence[ClipRequest],
    template: Template | None,
    about: Sequence[Description],
) -> pl.DataFrame:
    """Write what is made of the tables; return the predictions."""
    out = models.out
    table = predictions.read(out / "predictions.parquet")
    if template is not None:
        write_submission(table, template, out / "submission.csv", models.priors)
        print_result(f"submission: {out / 'submission.csv'}")
    if len(about) == 1 and (about[0].calibration or about[0].thresholds):
        facts = ModelFacts(about[0].task, about[0].classes, about[0].calibration, about[0].thresholds)
        decisions = apply_steps(table, facts, Steps())
        write_decisions(decisions, out)
        log.info(describe_decisions(decisions))
        print_result(f"decisions: {out / 'decisions.csv'}")
    if cfg.export:
        for word, path in write_exports(out, table, _make_export_settings(cfg, out, models)):
            print_result(f"{word}: {path}")
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


def _make_export_settings(cfg: PredictConfig, out: Path, models: "Models | None") -> ExportSettings:
    """Return the settings of `export=`; others are those of `jungle export` unless it is told otherwise."""
    identities = [m.identity for m in models.loaded] if models else []
    return ExportSettings(
        formats=tuple(cfg.export),
        out=out,
        sites=cfg.sites,
        model=describe_model(identities),
        cache=cfg.paths.cache,
        workers=share_of_cores() if cfg.workers is None else cfg.workers,
        timeout_s=cfg.timeout_s,
    )


def _check_exports(cfg: PredictConfig) -> None:
    """Refuse formats that need settings which only `jungle export` takes.

    Raises:
        UsageError: with that command.
    """
    for word in cfg.export:
        try:
            check_settings(_make_export_settings(cfg.model_copy(update={"export": [word]}), Path(), None))
        except UsageError as e:
            raise UsageError(
                f"export={word}: it needs more settings ({e}); predict without it, then: "
                f"jungle export from=<out> formats={word} ..."
            ) from None


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
