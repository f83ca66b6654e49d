"""From a config and its clips to the data module that reads them: stored features, or frames."""

import atexit
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jungle import system
from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.data.augment import Augmentation
from jungle.data.clip_reader import VideoReader
from jungle.data.clips import Clips
from jungle.data.content_key import Content, read_contents
from jungle.data.datamodule import ClipData
from jungle.data.frame_cache.cache import FrameCache
from jungle.data.pseudo_labels import SoftLabels
from jungle.devices import require_trainer
from jungle.errors import UserError
from jungle.features import extract
from jungle.features.reader import FeatureReader
from jungle.features.spec import Extraction, Wanted, compute_dtype, feature_specs
from jungle.features.store import FeatureStore
from jungle.models.backbones.concat import backbones_of
from jungle.names import show
from jungle.prediction import metadata
from jungle.system import keep_memory, share_of_cores
from jungle.training import build, frame_weights
from jungle.training import clips as training_clips
from jungle.video import ClipSpec
from jungle.video.workers import device_selection
from jungle.video.workers.device_selection import require_gpu
from jungle.wording import tally


def check_devices(cfg: TrainConfig) -> None:
    """Refuse devices that this machine has not, to train or to decode on, before anything is read.

    Raises:
        UsageError: what is missing.
    """
    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    require_trainer(cfg.trainer.accelerator, cfg.trainer.devices, have)
    devices = build.devices_of(cfg)
    if len(devices) > 1 and not have and cfg.trainer.accelerator == "auto" and system.get_rank() == 0:
        log.info(f"no GPU can be used here: training in {len(devices)} processes on the CPU")
    if cfg.decoder.device in ("gpu", "cuda"):
        require_gpu(cfg.decoder.name, devices[0])


@dataclass(frozen=True)
class Seen:
    """What a model sees of every clip, and through which backbone."""

    backbone: Any
    weights_hash: str
    """Of the backbone."""
    train_spec: ClipSpec
    eval_spec: ClipSpec
    """How clips become frames in training, and in evaluation."""
    facts_NF: np.ndarray | None
    """What is known of the clips besides, for a head that sees it; None = it sees none."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Facts, unreadable clips and soft labels of a run's clips, for its data module."""

    facts_NF: np.ndarray | None = None
    lost: Mapping[int, str] = field(default_factory=dict)
    """Clips that are not on disk, by number, and why."""
    soft: tuple[SoftLabels, float] | None = None
    """Soft labels, and their share of every batch."""


def seen(cfg: TrainConfig, folder: Path | None, clips: Clips, backbone: Any, weights_hash: str) -> Seen:
    """Return what the model of a config sees of its clips.

    Args:
        cfg: the run's settings.
        folder: keeps where a trial chose to decode; None = nothing is kept.
        clips: all clips.
        backbone: with its weights.
        weights_hash: of these.

    Raises:
        UsageError: as `settled`.
    """
    specs = settled(cfg, folder, clips, backbone, weights_hash)
    return Seen(backbone, weights_hash, *specs, metadata.of_training(cfg, clips, workers_of(cfg)))


def about(cfg: TrainConfig, clips: Clips, seen: Seen) -> dict[str, Any]:
    """Return what a checkpoint tells of itself beside the model: plain values."""
    told = training_clips.about(clips, seen.eval_spec, seen.weights_hash, seen.facts_NF)
    if cfg.model.mode == "frozen":
        told["feature_dtype"] = compute_dtype(build.devices_of(cfg)[0])
    return told


def data_of(
    cfg: TrainConfig,
    clips: Clips,
    seen: Seen,
    lost: Mapping[int, str],
    soft: SoftLabels | None = None,
    known: Sequence[Content | None] = (),
) -> ClipData:
    """Return the data module that reads the clips: stored features where the backbone is frozen, or frames.

    Args:
        cfg: the run's settings.
        clips: with their splits.
        seen: what the model sees of them.
        lost: clips that are not on disk, by number, and why.
        soft: soft labels to learn from, or None.
        known: what the clips' files hold, where that was found out before.
    """
    labels = Labels(seen.facts_NF, lost, None if soft is None else (soft, cfg.data.pseudo_share))
    if cfg.model.mode == "frozen":
        spec, weights_hash = seen.eval_spec, seen.weights_hash
        return stored_features(cfg, clips, seen.backbone, spec, weights_hash, known, labels=labels)[0]
    return videos(cfg, clips, seen.train_spec, seen.eval_spec, labels)


def settled(
    cfg: TrainConfig, folder: Path | None, clips: Clips, backbone: Any, weights_hash: str
) -> tuple[ClipSpec, ClipSpec]:
    """Return how clips become frames in training and in evaluation, and on which device, the same for both.

    Raises:
        UsageError: the GPU is asked to decode and cannot.
    """
    train_spec, eval_spec = build.clip_specs(cfg, backbone)
    device = build.devices_of(cfg)[0]

    def stored(made: ClipSpec) -> bool:
        shapes = feature_specs(backbone, made, weights_hash, compute_dtype(device))
        return all(FeatureStore.find_folder(cfg.paths.features, s["backbone"], s).is_dir() for s in shapes)

    eval_spec = device_selection.select_device(
        eval_spec,
        "cpu" if cfg.data.cache != "none" else cfg.decoder.device,  # where frames can be kept
        clips.table["path"].to_list(),
        device=device,
        workers=workers_of(cfg),
        timeout_s=cfg.data.timeout_s,
        stored=stored if cfg.model.mode == "frozen" else lambda _: False,
        folder=folder,
    )
    return device_selection.copy_device(train_spec, eval_spec), eval_spec


def workers_of(cfg: TrainConfig) -> int:
    """Return how many decoding processes each device has."""
    return share_of_cores(len(build.devices_of(cfg))) if cfg.data.workers is None else cfg.data.workers


def extractions(cfg: TrainConfig, backbone: Any, spec: ClipSpec, weights_hash: str) -> list[Extraction]:
    """Return how the features of each backbone of a config are made, and where they are kept."""
    dtype = compute_dtype(build.devices_of(cfg)[0])
    shapes = feature_specs(backbone, spec, weights_hash, dtype)
    return [
        Extraction(
            backbone=part.spec,
            clip=spec,
            store=cfg.paths.features,
            name=shape["backbone"],
            spec=shape,
            workers=workers_of(cfg),
            timeout_s=cfg.data.timeout_s,
            dtype=dtype,
            max_failed_fraction=cfg.max_failed_fraction,
        )
        for part, shape in zip(backbones_of(backbone), shapes, strict=True)
    ]


def with_contents(
    clips: Clips, known: Sequence[Content | None] = ()
) -> tuple[list[Content | OSError], list[Wanted]]:
    """Return what each clip's file holds, or why it cannot be read, and the clips (`Wanted`) that can.

    Args:
        clips: the clips.
        known: what their files hold, where that was found out before; None for those where it was not.
    """
    names, paths = clips.table["clip"].to_list(), clips.table["path"].to_list()
    before = list(known) or [None] * len(paths)
    lacking = iter(read_contents([p for p, c in zip(paths, before, strict=True) if c is None]))
    found = [next(lacking) if c is None else c for c in before]
    rows = zip(found, names, paths, strict=True)
    return found, [Wanted(content, c, p) for content, c, p in rows if isinstance(content, Content)]


def stored_features(
    cfg: TrainConfig,
    clips: Clips,
    backbone: Any,
    spec: ClipSpec,
    weights_hash: str,
    known: Sequence[Content | None] = (),
    *,
    labels: Labels | None = None,
) -> tuple[ClipData, str]:
    """Fill the feature stores with what they lack; return the data module that reads them, and the dtype.

    `known`: what the clips' files hold, as `with_contents` takes it.
    """
    devices = build.devices_of(cfg)
    plans, parts = extractions(cfg, backbone, spec, weights_hash), backbones_of(backbone)
    found, wanted = with_contents(clips, known)
    if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        # Started by torchrun, SLURM or Lightning: this process is one of several, and does its own share.
        rank, world = int(os.environ.get("RANK", os.environ["LOCAL_RANK"])), int(os.environ["WORLD_SIZE"])
        device = devices[int(os.environ["LOCAL_RANK"]) % len(devices)]
        extract.extract(plans, wanted[rank::world], [device], parts)
        for plan in plans:
            extract.wait_for(plan, wanted)
    else:
        with log_time("features"):
            extract.extract(plans, wanted, devices, parts)
    there = {i: c for i, c in enumerate(found) if isinstance(c, Content)}
    reader = FeatureReader([plan.open() for plan in plans], there)
    lost = reader.unread | {i: str(c) for i, c in enumerate(found) if isinstance(c, OSError)}
    labels = labels or Labels()
    data = ClipData(
        clips,
        read_train=reader,
        read_eval=reader,
        key="x_BTD",
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        max_failed_fraction=cfg.max_failed_fraction,
        sampler=cfg.sampler,
        facts=labels.facts_NF,
        failures={**lost, **labels.lost},
        damaged=reader.damaged,
        soft=labels.soft,
    )
    return data, plans[0].dtype


def videos(
    cfg: TrainConfig, clips: Clips, train_spec: ClipSpec, eval_spec: ClipSpec, labels: Labels | None = None
) -> ClipData:
    """Return the data module that decodes clips as training goes."""
    devices = build.devices_of(cfg)
    device = devices[int(os.environ.get("LOCAL_RANK", 0)) % len(devices)]  # this process's own
    if device == "cpu":
        keep_memory()
    paths = clips.table["path"].to_list()
    how: Any = (workers_of(cfg), cfg.data.timeout_s, cfg.seed, 2 * cfg.batch_size, device)
    augment = Augmentation(**cfg.augment.picture())
    if augment and train_spec.device == "cuda":
        log.info("augment: training clips are decoded on the CPU, where they are augmented")
        train_spec = replace(train_spec, device="cpu")
    cache = _frame_cache(cfg, clips)
    transform, likely = augment if augment else None, frame_weights.likely_of(cfg, clips)
    train = VideoReader(paths, train_spec, *how, transform=transform, cache=cache, likely=likely)
    same = train_spec == eval_spec and not augment and likely is None
    evaluate = train if same else VideoReader(paths, eval_spec, *how, cache=cache)
    epoch_end = None
    if cfg.frames.val_count is not None:
        fewer = replace(eval_spec, frames=replace(eval_spec.frames, count=cfg.frames.val_count))
        epoch_end = VideoReader(paths, fewer, *how, cache=cache)
    labels = labels or Labels()
    return ClipData(
        clips,
        read_train=train,
        read_eval=evaluate,
        key="frames_BTHWC",
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        max_failed_fraction=cfg.max_failed_fraction,
        sampler=cfg.sampler,
        read_epoch_end=epoch_end,
        facts=labels.facts_NF,
        failures=labels.lost,
        soft=labels.soft,
    )


def _frame_cache(cfg: TrainConfig, clips: Clips) -> FrameCache | None:
    """Open the cache of decoded clips, if one is asked for; it ends with the process, or in `close`."""
    if cfg.data.cache == "none":
        return None

    # A cache in memory is gone when the test clips are read for the first and last time.
    again = ("train", "val") if cfg.data.cache == "ram" else ("train", "val", "test")
    if cfg.data.pseudo is not None:
        again = ("train", "val", "test", "unlabelled")
    paths = clips.table["path"].filter(clips.splits().is_in(again)).to_list()
    cache = FrameCache.open(cfg.data.cache, cfg.paths.cache, cfg.data.cache_gb, paths)
    atexit.register(cache.close)
    return cache


def close(data: ClipData) -> None:
    """End the processes that decode for a data module, and leave its frame cache."""
    for reader in (data.read_train, data.read_eval, data.read_epoch_end):
        if isinstance(reader, VideoReader):
            reader.close()
    cache = getattr(data.read_train, "cache", None)
    if cache is not None:
        cache.close()


def check_left(clips: Clips, data: ClipData, most: float, said: Collection[int] = ()) -> None:
    """Say how many clips are left out; stop where they are too many, or leave none to train or validate on.

    Args:
        clips: all clips.
        data: the data module that tried to read them.
        most: the fraction of them that may be left out.
        said: numbers of those that were said to be left out before: the clips that are not on disk.

    Raises:
        UserError: with the first reasons.
    """
    left_out, names = data.left_out, clips.table["clip"]

    def told(numbers: Collection[int], total: int) -> str:
        first = "; ".join(f"{show(names[n])}: {data.failures[n]}" for n in sorted(numbers)[:3])
        are = "is" if len(numbers) == 1 else "are"
        return f"{len(numbers)} of {tally(total, 'clips')} cannot be read and {are} left out ({first})"

    if len(left_out) > most * len(clips):
        raise UserError(
            f"{told(left_out, len(clips))}. Is the disk well? max_failed_fraction={most} is what is let pass"
        )
    if unread := left_out - set(said):
        log.warning(told(unread, len(clips) - len(said)))
    for split in ("train", "val"):
        if not len(data.numbers(split, labelled=True)):
            raise UserError(f"no labelled {split} clip is left that can be read; their reasons stand above")
    if data.has_soft_labels and not len(data.soft_numbers):
        raise UserError("no clip of data.pseudo is left that can be read; their reasons stand above")
