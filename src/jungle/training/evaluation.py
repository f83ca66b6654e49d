"""The end of a training run: the best checkpoint's predictions, their scores, the failures, the report."""

import json
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
from jungle.metrics.scores import compute_scores
from jungle.models.archives import load_archive
from jungle.models.inference import predict_batches
from jungle.models.module import ClipClassifier
from jungle.parquet import read_parquet, write_parquet
from jungle.report import evaluation, write_report
from jungle.training.loggers import run_logger
from jungle.training.loggers.pictures import draw_clips
from jungle.training.loggers.results import Results
from jungle.video import ClipSpec
from jungle.wording import count


def finish(
    cfg: TrainConfig, folder: Path, trainer: Trainer, model: ClipClassifier, data: ClipData, clips: Clips
) -> None:
    """Write `predictions_{val,test}.parquet`, `metrics.json`, `failures.csv` and `report.html` into `folder`.

    And `frames_{val,test}.parquet`, if asked for: of each clip that was read, a list a class over its frames.

    Every device predicts its share of the clips; the first one joins them by clip.
    """
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
            table = _predict(folder, trainer, model, data, clips, split, cfg.frame_answers)
        if table is None:
            continue
        predictions.write(table, folder / f"predictions_{split}.parquet")
        tables[split] = table
        found = score(table, clips, model.task)
        scores.update({f"{split}/{k}": v for k, v in found.items()})
        if lost := int(found.get("unreadable", 0)):
            log.warning(f"{split}: {not_scored(lost)}")
    if not trainer.is_global_zero:
        return
    write_json(folder / "metrics.json", scores)
    predictions.write_failures(
        [(clips.table["clip"][n], reason) for n, reason in sorted(data.failures.items())], folder
    )
    shown = {k: v for k, v in scores.items() if "/class/" not in k}
    for split in tables:
        log.info(", ".join(_said(k, v) for k, v in shown.items() if k.startswith(f"{split}/")))
    if trainer.logger is not None:
        epoch = saved.get("epoch")
        _log(
            cfg, trainer.logger, clips, tables, scores, model, best, epoch if isinstance(epoch, int) else None
        )
    if cfg.report:
        _report(cfg, folder, clips, tables, scores, model, data)


def _said(name: str, value: float) -> str:
    counted = name.endswith(("/clips", "/unreadable"))
    return f"{name} {value:.0f}" if counted else f"{name} {value:.4f}"


def _predict(
    folder: Path,
    trainer: Trainer,
    model: ClipClassifier,
    data: ClipData,
    clips: Clips,
    split: str,
    each_frame: bool,
) -> pl.DataFrame | None:
    """Predict a split over all devices; return the whole table on the first, None on the others."""
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
        # Of a clip that was read in part, there is no reason.
        told = {**dict.fromkeys(data.damaged), **data.failures}
        lost = pl.DataFrame(
            {"number": list(told), "reason": list(told.values())},
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
    """Return one row for every clip of the split, in its order; those not in `done` have failed."""
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
    """Return every score of the clips that were read and whose labels are known.

    A clip that could not be read is no mistake of the model: it is in no score. `clips` counts those that
    are, `unreadable` those with a label that are not.

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


def not_scored(clips: int) -> str:
    """Return the sentence about labelled clips that no score counts."""
    return (
        "1 clip could not be read and is not scored"
        if clips == 1
        else (f"{clips} clips could not be read and are not scored")
    )


def _log(
    cfg: TrainConfig,
    logger: Logger,
    clips: Clips,
    tables: dict[str, pl.DataFrame],
    scores: dict[str, float],
    model: ClipClassifier,
    best: Path,
    epoch: int | None,
) -> None:
    """Tell the run's logger what its best checkpoint came to."""
    judged = {s: evaluation.match_labels(table, clips.table, clips.classes) for s, table in tables.items()}
    judged = {s: found for s, found in judged.items() if len(found)}
    shown = []
    with log_time("logging the results"):
        if cfg.logger.clips and "val" in judged:
            spec = ClipSpec.from_dict(model.about["clip"])
            shown = draw_clips(
                judged["val"],
                table=tables["val"],
                clips=clips.table,
                classes=clips.classes,
                spec=spec,
                most=cfg.logger.clips,
            )
        results = Results(clips.classes, scores, judged, shown, epoch, best if best.is_file() else None)
        run_logger.log_results(logger, cfg, results)


def _report(
    cfg: TrainConfig,
    folder: Path,
    clips: Clips,
    tables: dict[str, pl.DataFrame],
    scores: dict[str, float],
    model: ClipClassifier,
    data: ClipData,
) -> None:
    history = folder / "history.json"
    with log_time("report"):
        write_report(
            folder,
            title=f"Training: {count(len(clips.classes), 'class')}, {count(len(clips.table), 'clip')}",
            about=f"{cfg.model.backbone}, {cfg.model.mode}, {cfg.head.name} head",
            clips=clips.table,
            predictions=tables,
            metrics=scores,
            classes=clips.classes,
            task=model.task,
            history=json.loads(history.read_text()) if history.is_file() else None,
            failures=[(clips.table["clip"][n], r) for n, r in sorted(data.failures.items())],
            config_summary=cfg.model_dump(mode="json"),
            clip_spec=ClipSpec.from_dict(model.about["clip"]),
            roots=[cfg.data.root],
            whole_paths=cfg.report_paths,
        )
