"""From a config and its clips to the data module that reads them: stored features, or frames."""

import atexit
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.data.augment import Augmentation
from jungle.data.batch import ValuesKey
from jungle.data.clip_reader import VideoReader
from jungle.data.clips import Clips
from jungle.data.content_key import Content, read_contents
from jungle.data.datamodule import ClipData
from jungle.data.frame_cache.cache import FrameCache
from jungle.data.loader import Read
from jungle.data.pseudo_labels import SoftLabels
from jungle.errors import UserError
from jungle.features import extract
from jungle.features.reader import FeatureReader
from jungle.features.spec import Extraction, make_feature_specs
from jungle.features.store import FeatureStore
from jungle.features.wanted import Wanted
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.concat import backbones_of
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.names import show
from jungle.prediction import metadata
from jungle.system import keep_memory
from jungle.training import build, frame_weights
from jungle.training import clips as training_clips
from jungle.training.hardware import resolve_hardware
from jungle.video import ClipSpec
from jungle.video.types import Likely
from jungle.video.workers import device_selection
from jungle.wording import tally


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """What a model sees of every clip, and through which backbone.

    Attributes:
        backbone: with its weights.
        weights_hash: of the backbone.
        train_spec: how clips become frames in training.
        eval_spec: how clips become frames in evaluation.
        facts_NF: metadata of the clips, for a head that takes them; None for other heads.
    """

    backbone: Backbone
    weights_hash: str
    train_spec: ClipSpec
    eval_spec: ClipSpec
    facts_NF: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ClipExtras:
    """What a data module gets in addition to the clips' table.

    Attributes:
        facts_NF: metadata of the clips, for a head that takes them.
        missing: clips that are not on disk, by number, and why.
        soft: soft labels to learn from.
        contents: what the clips' files hold, where that is known; None for those where it is not.
    """

    facts_NF: np.ndarray | None = None
    missing: Mapping[int, str] = field(default_factory=dict)
    soft: SoftLabels | None = None
    contents: Sequence[Content | None] = ()


def resolve_model_inputs(
    cfg: TrainConfig, folder: Path | None, clips: Clips, backbone: Backbone, weights_hash: str
) -> ModelInputs:
    """Return what the model of a config sees of its clips.

    Args:
        cfg: the run's settings.
        folder: keeps where a trial chose to decode; None = nothing is kept.
        clips: all clips.
        backbone: with its weights.
        weights_hash: of the backbone.

    Raises:
        UsageError: the GPU is asked to decode and cannot.
    """
    train_spec, eval_spec = resolve_clip_specs(cfg, folder, clips, backbone, weights_hash)
    facts_NF = metadata.read_training_metadata(cfg, clips, resolve_hardware(cfg).workers)
    return ModelInputs(backbone, weights_hash, train_spec, eval_spec, facts_NF)


def resolve_clip_specs(
    cfg: TrainConfig, folder: Path | None, clips: Clips, backbone: Backbone, weights_hash: str
) -> tuple[ClipSpec, ClipSpec]:
    """Return how clips become frames in training and in evaluation, both on the same device.

    Raises:
        UsageError: the GPU is asked to decode and cannot.
    """
    hardware = resolve_hardware(cfg)
    train_spec, eval_spec = build.make_clip_specs(cfg, backbone)

    def has_features(spec: ClipSpec) -> bool:
        shapes = make_feature_specs(backbone, spec, weights_hash, hardware.feature_dtype)
        return all(FeatureStore.find_folder(cfg.paths.features, s["backbone"], s).is_dir() for s in shapes)

    eval_spec = device_selection.select_device(
        eval_spec,
        "cpu" if cfg.data.cache != "none" else cfg.decoder.device,  # where frames can be kept
        clips.table["path"].to_list(),
        device=hardware.device,
        workers=hardware.workers,
        timeout_s=cfg.data.timeout_s,
        stored=has_features if cfg.model.mode == "frozen" else lambda _: False,
        folder=folder,
    )
    return device_selection.copy_device(train_spec, eval_spec), eval_spec


def make_checkpoint_metadata(cfg: TrainConfig, clips: Clips, inputs: ModelInputs) -> CheckpointMetadata:
    """Return what a checkpoint says of its training: frames, priors, backbone weights."""
    found = training_clips.describe_clips(clips, inputs.eval_spec, inputs.weights_hash, inputs.facts_NF)
    if cfg.model.mode == "frozen":
        found["feature_dtype"] = resolve_hardware(cfg).feature_dtype
    return found


def build_datamodule(cfg: TrainConfig, clips: Clips, inputs: ModelInputs, extras: ClipExtras) -> ClipData:
    """Return the data module that reads the clips: stored features where the backbone is frozen, or frames.

    Args:
        cfg: the run's settings.
        clips: with their splits.
        inputs: what the model sees of them.
        extras: what else is known of them; its `facts_NF` are those of `inputs`.
    """
    extras = replace(extras, facts_NF=inputs.facts_NF)
    if cfg.model.mode == "frozen":
        backbone, weights_hash = inputs.backbone, inputs.weights_hash
        return build_feature_datamodule(cfg, clips, backbone, inputs.eval_spec, weights_hash, extras)
    return build_video_datamodule(cfg, clips, inputs.train_spec, inputs.eval_spec, extras)


def plan_extractions(
    cfg: TrainConfig, backbone: Backbone, spec: ClipSpec, weights_hash: str
) -> list[Extraction]:
    """Return how the features of each backbone of a config are computed, and where they are kept."""
    hardware = resolve_hardware(cfg)
    shapes = make_feature_specs(backbone, spec, weights_hash, hardware.feature_dtype)
    return [
        Extraction(
            backbone=part.spec,
            clip=spec,
            store=cfg.paths.features,
            name=shape["backbone"],
            spec=shape,
            workers=hardware.workers,
            timeout_s=cfg.data.timeout_s,
            dtype=hardware.feature_dtype,
            max_failed_fraction=cfg.max_failed_fraction,
        )
        for part, shape in zip(backbones_of(backbone), shapes, strict=True)
    ]


def find_contents(
    clips: Clips, known: Sequence[Content | None] = ()
) -> tuple[list[Content | OSError], list[Wanted]]:
    """Return what each clip's file holds, or why it cannot be read, and the clips (`Wanted`) that can be.

    Args:
        clips: the clips.
        known: what their files hold, as `ClipExtras.contents`.
    """
    names, paths = clips.table["clip"].to_list(), clips.table["path"].to_list()
    before = list(known) or [None] * len(paths)
    lacking = iter(read_contents([p for p, c in zip(paths, before, strict=True) if c is None]))
    found = [next(lacking) if c is None else c for c in before]
    rows = zip(found, names, paths, strict=True)
    return found, [Wanted(content, c, p) for content, c, p in rows if isinstance(content, Content)]


def build_feature_datamodule(
    cfg: TrainConfig,
    clips: Clips,
    backbone: Backbone,
    spec: ClipSpec,
    weights_hash: str,
    extras: ClipExtras | None = None,
) -> ClipData:
    """Compute the features that the stores lack; return the data module that reads them."""
    extras, devices = extras or ClipExtras(), resolve_hardware(cfg).devices
    plans, parts = plan_extractions(cfg, backbone, spec, weights_hash), backbones_of(backbone)
    found, wanted = find_contents(clips, extras.contents)
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
    readable = {i: c for i, c in enumerate(found) if isinstance(c, Content)}
    reader = FeatureReader([plan.open() for plan in plans], readable)
    unreadable = reader.unread | {i: str(c) for i, c in enumerate(found) if isinstance(c, OSError)}
    return _make_data(
        cfg,
        clips,
        replace(extras, missing={**unreadable, **extras.missing}),
        key="x_BTD",
        read_train=reader,
        read_eval=reader,
        damaged=reader.damaged,
    )


def build_video_datamodule(
    cfg: TrainConfig,
    clips: Clips,
    train_spec: ClipSpec,
    eval_spec: ClipSpec,
    extras: ClipExtras | None = None,
) -> ClipData:
    """Return the data module that decodes clips during training."""
    hardware, cache = resolve_hardware(cfg), _open_frame_cache(cfg, clips)
    paths, device = clips.table["path"].to_list(), hardware.own_device(int(os.environ.get("LOCAL_RANK", 0)))
    if device == "cpu":
        keep_memory()

    def make_reader(
        spec: ClipSpec, augment: Augmentation | None = None, likely: Sequence[Likely] | None = None
    ) -> VideoReader:
        return VideoReader(
            paths,
            spec,
            hardware.workers,
            cfg.data.timeout_s,
            seed=cfg.seed,
            ahead=2 * cfg.batch_size,
            device=device,
            transform=augment,
            cache=cache,
            likely=likely,
        )

    augment = Augmentation(**cfg.augment.picture())
    if augment and train_spec.device == "cuda":
        log.info("augment: training clips are decoded on the CPU, where they are augmented")
        train_spec = replace(train_spec, device="cpu")
    likely = frame_weights.load_frame_weights(cfg, clips)
    train = make_reader(train_spec, augment or None, likely)
    same = train_spec == eval_spec and not augment and likely is None
    epoch_end = None
    if cfg.frames.val_count is not None:
        fewer = replace(eval_spec.frames, count=cfg.frames.val_count)
        epoch_end = make_reader(replace(eval_spec, frames=fewer))
    return _make_data(
        cfg,
        clips,
        extras or ClipExtras(),
        key="frames_BTHWC",
        read_train=train,
        read_eval=train if same else make_reader(eval_spec),
        read_epoch_end=epoch_end,
    )


def _make_data(
    cfg: TrainConfig,
    clips: Clips,
    extras: ClipExtras,
    *,
    key: ValuesKey,
    read_train: Read,
    read_eval: Read,
    read_epoch_end: Read | None = None,
    damaged: Collection[int] = (),
) -> ClipData:
    return ClipData(
        clips,
        read_train=read_train,
        read_eval=read_eval,
        key=key,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        max_failed_fraction=cfg.max_failed_fraction,
        sampler=cfg.sampler,
        read_epoch_end=read_epoch_end,
        facts=extras.facts_NF,
        failures=extras.missing,
        damaged=damaged,
        soft=None if extras.soft is None else (extras.soft, cfg.data.pseudo_share),
    )


def _open_frame_cache(cfg: TrainConfig, clips: Clips) -> FrameCache | None:
    """Open the cache of decoded clips, if the config wants one; `close_datamodule` or the exit closes it."""
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


def close_datamodule(data: ClipData) -> None:
    """Stop the decoding processes of a data module, and close its frame cache."""
    for reader in (data.read_train, data.read_eval, data.read_epoch_end):
        if isinstance(reader, VideoReader):
            reader.close()
    cache = getattr(data.read_train, "cache", None)
    if cache is not None:
        cache.close()


def check_left_out(clips: Clips, data: ClipData, most: float, said: Collection[int] = ()) -> None:
    """Log how many clips are left out; stop where there are too many, or none to train or validate on.

    Args:
        clips: all clips.
        data: the data module that tried to read them.
        most: the fraction of them that may be left out.
        said: numbers of those that were reported before: the clips that are not on disk.

    Raises:
        UserError: with the first reasons.
    """
    left_out, names = data.left_out, clips.table["clip"]

    def describe(numbers: Collection[int], total: int) -> str:
        first = "; ".join(f"{show(names[n])}: {data.failures[n]}" for n in sorted(numbers)[:3])
        are = "is" if len(numbers) == 1 else "are"
        return f"{len(numbers)} of {tally(total, 'clips')} cannot be read and {are} left out ({first})"

    if len(left_out) > most * len(clips):
        raise UserError(
            f"{describe(left_out, len(clips))}: check the disk, or raise max_failed_fraction={most}"
        )
    if unread := left_out - set(said):
        log.warning(describe(unread, len(clips) - len(said)))
    for split in ("train", "val"):
        if not len(data.numbers(split, labelled=True)):
            raise UserError(f"no labelled {split} clip is left that can be read; their reasons stand above")
    if data.has_soft_labels and not len(data.soft_numbers):
        raise UserError("no clip of data.pseudo is left that can be read; their reasons stand above")
