"""The end of a training run: the best checkpoint's predictions, their scores, the failures, the report."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError
from jungle.files import write_json
from jungle.metrics.class_intervals import compute_details
from jungle.metrics.scores import compute_scores
from jungle.models.checkpoint import store_answers
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier
from jungle.models.tensors import load_archive
from jungle.parquet import read_parquet, write_parquet
from jungle.postprocessing.labelled import AUTO_CLIPS, AUTO_SITES, is_enough, match_labels
from jungle.report import evaluation, write_report
from jungle.training.loggers import run_logger
from jungle.training.loggers.pictures import draw_clips
from jungle.training.loggers.results import Results
from jungle.video import ClipSpec
from jungle.wording import count


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run whose training has ended.

    Attributes:
        cfg: its settings.
        folder: where its results go.
        clips: all clips, with labels and splits.
        data: the data module that reads them.
        spec: how clips become frames in evaluation.
        model: gets the weights of the best checkpoint.
    """

    cfg: TrainConfig
    folder: Path
    clips: Clips
    data: ClipData
    spec: ClipSpec
    model: ClipClassifier


def evaluate(run: TrainedRun, trainer: Trainer) -> None:
    """Write predictions, `metrics.json`, `failures.csv` and `report.html` of the best checkpoint.

    They go into the run's folder as `predictions_{val,test}.parquet` and, with `frame_answers=true`,
    `frames_{val,test}.parquet`, which has a list per class over the frames of each readable clip. Every
    device predicts its share of the clips; the first one joins the shares by clip.
    """
    folder, clips, model = run.folder, run.clips, run.model
    best = folder / "checkpoints" / "best.ckpt"
    chosen = best if best.is_file() else folder / "checkpoints" / "last.ckpt"
    try:
        saved = load_archive(chosen)
    except UserError as e:
        raise UserError(f"{chosen}: {e}") from None
    model.on_load_checkpoint(saved)
    model.load_state_dict(saved["state_dict"])
    scores: dict[str, float] = {}
    tables: dict[str, pl.DataFrame] = {}
    for split in ("val", "test"):
        if not (clips.splits() == split).any():
            continue
        with log_time(f"predicting the {split} clips"):
            table = _predict(run, trainer, split)
        if table is None:
            continue
        predictions.write(table, folder / f"predictions_{split}.parquet")
        tables[split] = table
        found = score(table, clips, model.task)
        scores.update({f"{split}/{k}": v for k, v in found.items()})
        if unreadable := int(found.get("unreadable", 0)):
            log.warning(f"{split}: {describe_unscored(unreadable)}")
    if not trainer.is_global_zero:
        return
    details = {f"{s}/{k}": v for s, table in tables.items() for k, v in _detail(table, run, s).items()}
    write_json(folder / "metrics.json", scores | details)
    predictions.write_failures(_list_failures(run), folder)
    if "val" in tables:
        _calibrate(run, tables["val"], chosen)
    shown = {k: v for k, v in scores.items() if "/class/" not in k}
    for split in tables:
        log.info(", ".join(_format_score(k, v) for k, v in shown.items() if k.startswith(f"{split}/")))
    if trainer.logger is not None:
        epoch = saved.get("epoch")
        _log_results(run, trainer.logger, tables, scores, epoch if isinstance(epoch, int) else None)
    if run.cfg.report:
        _write_report(run, tables, scores)


def _detail(table: pl.DataFrame, run: TrainedRun, split: str) -> dict[str, float]:
    """Return intervals, precision and recall of classes, and the scores of each site of a split."""
    try:
        found = match_labels(table, run.clips.of(split), run.clips.classes, "labels")
    except UserError:  # no clip of the split has a label and was read
        return {}
    return compute_details(found.probs_NC, found.targets_NC, found.sites, found.classes, run.model.task)


def _calibrate(run: TrainedRun, table: pl.DataFrame, checkpoint: Path) -> None:
    """Store a calibration in the checkpoint, where validation is large enough, and say what was done."""
    wanted = run.cfg.calibrate
    if wanted is False:
        return
    try:
        labelled = match_labels(table, run.clips.of("val"), run.model.classes, "validation")
        if wanted == "auto" and not is_enough(labelled):
            log.info(
                f"not calibrated: validation has {labelled.describe()}, fewer than {AUTO_CLIPS} clips of "
                f"{AUTO_SITES} sites; calibrate=true does it nevertheless, see docs/answers.md"
            )
            return
        from jungle.postprocessing.calibration import fit_calibration  # here: scikit-learn takes two seconds

        fitted = fit_calibration(labelled, run.model.task)
    except UserError as e:
        log.warning(f"not calibrated: {e}")
        return
    store_answers(checkpoint, {"calibration": fitted.to_dict()})
    before, after = fitted.before["ece"].value, fitted.after["ece"].value
    log.info(f"{fitted.describe()}; calibration error {before:.3f}, then {after:.3f} on sites held out")


def _list_failures(run: TrainedRun) -> list[tuple[str, str]]:
    """Return the name of each unreadable clip, and why."""
    return [(run.clips.table["clip"][n], reason) for n, reason in sorted(run.data.failures.items())]


def _format_score(name: str, value: float) -> str:
    counted = name.endswith(("/clips", "/unreadable"))
    return f"{name} {value:.0f}" if counted else f"{name} {value:.4f}"


def _predict(run: TrainedRun, trainer: Trainer, split: str) -> pl.DataFrame | None:
    """Predict a split over all devices; return the whole table on the first, None on the others."""
    folder, clips, data, model = run.folder, run.clips, run.data, run.model
    each_frame = run.cfg.frame_answers
    rank, world = trainer.global_rank, trainer.world_size
    loader = data.loader(split, labelled=False, rank=rank, world=world)
    device = str(trainer.strategy.root_device)
    dtype = "bfloat16" if "bf16" in str(trainer.precision) and not model.is_frozen else "float32"
    names = clips.table["clip"]
    rows = list(predict_batches(model, loader, device, dtype, each_frame))
    own = [names[row.number] for row in rows]
    share = predictions.make_table(own, rows, model.classes)
    part = folder / f".{split}-{rank}.parquet"
    if each_frame:
        alone = folder / f"frames_{split}.parquet" if world == 1 else part.with_suffix(".frames.parquet")
        write_parquet(_tabulate_frames(own, rows, model.classes), alone)
    if world > 1:
        # A clip that was read in part has no reason.
        damaged = {**dict.fromkeys(data.damaged), **data.failures}
        lost = pl.DataFrame(
            {"number": list(damaged), "reason": list(damaged.values())},
            schema={"number": pl.Int64, "reason": pl.String},
        )
        write_parquet(share, part)
        write_parquet(lost, part.with_suffix(".failures.parquet"))
        trainer.strategy.barrier()
        if rank != 0:
            return None
        parts = [folder / f".{split}-{r}.parquet" for r in range(world)]
        share = pl.concat([read_parquet(p) for p in parts]).unique("clip", keep="first", maintain_order=True)
        if each_frame:
            frames = [p.with_suffix(".frames.parquet") for p in parts]
            whole = pl.concat([read_parquet(f) for f in frames])
            whole = whole.unique("clip", keep="first", maintain_order=True)
            write_parquet(whole, folder / f"frames_{split}.parquet")
            for f in frames:
                f.unlink()
        for p in parts:
            failed = read_parquet(p.with_suffix(".failures.parquet"))
            data.damaged |= set(failed["number"])
            data.failures.update(dict(failed.drop_nulls().iter_rows()))
            p.unlink()
            p.with_suffix(".failures.parquet").unlink()
    return complete(share, clips, split, data.failures)


def _tabulate_frames(clips: list[str], rows: list[ClipPrediction], classes: tuple[str, ...]) -> pl.DataFrame:
    frames = [row.frames for row in rows if row.frames is not None]
    lists = {c: [probs_TC[:, i].tolist() for probs_TC in frames] for i, c in enumerate(classes)}
    types = {"clip": pl.String, **dict.fromkeys(classes, pl.List(pl.Float32))}
    return pl.DataFrame({"clip": clips, **lists}, schema=types)


def complete(done: pl.DataFrame, clips: Clips, split: str, failures: dict[int, str]) -> pl.DataFrame:
    """Return one row per clip of the split, in its order; clips that are not in `done` have failed."""
    wanted = [
        (i, c) for i, (c, s) in enumerate(zip(clips.table["clip"], clips.splits(), strict=True)) if s == split
    ]
    have = set(done["clip"])
    lacking = [(i, c) for i, c in wanted if c not in have]
    failed = [ClipPrediction.failure(failures.get(i, "not predicted")) for i, _ in lacking]
    table = predictions.make_table([c for _, c in lacking], failed, predictions.get_classes(done))
    whole = pl.concat([done, table]) if failed else done
    order = pl.DataFrame({"clip": [c for _, c in wanted]}, schema={"clip": pl.String})
    return predictions.check(order.join(whole, on="clip", how="left", maintain_order="left"))


def score(table: pl.DataFrame, clips: Clips, task: str) -> dict[str, float]:
    """Return every score of the readable clips whose labels are known.

    A clip that could not be read is not a mistake of the model, and no score counts it. `clips` is the number
    of clips that are scored, `unreadable` that of labelled clips that are not.

    Raises:
        UserError: the table is of other classes than the clips.
    """
    joined = (
        table.select("clip", "status")
        .with_row_index("row")
        .join(clips.table.select("clip").with_row_index("number"), on="clip", how="inner")
    )
    targets = clips.targets()[joined["number"].to_numpy()]
    probs = predictions.get_probabilities(table, clips.classes)[joined["row"].to_numpy()]
    known = np.isfinite(targets).any(1)
    if not known.any():
        return {}
    read = (joined["status"] != predictions.FAILED).to_numpy()
    scored = known & read
    found = compute_scores(probs[scored], targets[scored], clips.classes, task)
    return {**found, "unreadable": float((known & ~read).sum())}


def describe_unscored(clips: int) -> str:
    """Return the sentence about labelled clips that no score counts."""
    return (
        "1 clip could not be read and is not scored"
        if clips == 1
        else (f"{clips} clips could not be read and are not scored")
    )


def _log_results(
    run: TrainedRun,
    logger: Logger,
    tables: dict[str, pl.DataFrame],
    scores: dict[str, float],
    epoch: int | None,
) -> None:
    """Log scores, predictions and pictures of the best checkpoint."""
    cfg, labels, classes = run.cfg, run.clips.table, run.clips.classes
    if len(classes) == 1:
        tables, labels, classes = evaluation.add_complement(tables, labels, classes[0])
        assert labels is not None
    judged = {s: evaluation.match_labels(table, labels, classes) for s, table in tables.items()}
    judged = {s: found for s, found in judged.items() if len(found)}
    shown = []
    with log_time("logging the results"):
        if cfg.logger.clips and "val" in judged:
            shown = draw_clips(
                judged["val"],
                table=tables["val"],
                clips=labels,
                classes=classes,
                spec=run.spec,
                most=cfg.logger.clips,
            )
        best = run.folder / "checkpoints" / "best.ckpt"
        results = Results(classes, scores, judged, shown, epoch, best if best.is_file() else None)
        run_logger.log_results(logger, cfg, results)


def _write_report(run: TrainedRun, tables: dict[str, pl.DataFrame], scores: dict[str, float]) -> None:
    cfg, clips = run.cfg, run.clips
    readable = len(clips) - len(run.data.failures)
    history = run.folder / "history.json"
    with log_time("report"):
        write_report(
            run.folder,
            title=f"Training: {count(len(clips.classes), 'class')}, {count(readable, 'clip')}",
            about=f"{cfg.model.backbone}, {cfg.model.mode}, {cfg.head.name} head",
            clips=clips.table,
            predictions=tables,
            metrics=scores,
            classes=clips.classes,
            task=run.model.task,
            history=json.loads(history.read_text()) if history.is_file() else None,
            failures=_list_failures(run),
            config_summary=cfg.model_dump(mode="json"),
            clip_spec=run.spec,
            roots=cfg.data.roots,
            whole_paths=cfg.report_paths,
        )
