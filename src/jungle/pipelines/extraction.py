"""Features of several frozen backbones for `jungle extract`: each clip is decoded once for all of them."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path

from jungle.config import TrainConfig
from jungle.console import log, log_time, print_result
from jungle.data.clips import Clips
from jungle.features import extract
from jungle.features.reader import FeatureReader
from jungle.features.spec import Extraction
from jungle.features.wanted import Wanted
from jungle.models.backbones.backbone import Backbone
from jungle.models.backbones.concat import backbones_of, make_backbone
from jungle.pipelines.preparation import Preparations
from jungle.prediction import metadata
from jungle.training import build, datamodules
from jungle.training import clips as training_clips
from jungle.training.hardware import check_hardware, resolve_hardware
from jungle.wording import tally


def extract_all(
    configs: Sequence[TrainConfig], preparations: Preparations | None, steps: Collection[str]
) -> None:
    """Fill the feature stores of all configs, and the metadata of a recipe.

    Args:
        configs: one per backbone, all of the same clips.
        preparations: where a recipe notes the rates that are measured; None outside a recipe.
        steps: `features`, `metadata` or both.

    Raises:
        UsageError: the devices are not there.
        UserError: weights are not available, or more than `max_failed_fraction` of the clips are unreadable.
    """
    check_hardware(configs[0])
    backbones: list[Backbone] = []
    if "features" in steps:  # before the clips: their weights may not be available
        backbones = [make_backbone(build.make_backbone_spec(cfg)) for cfg in configs]
    clips, _ = training_clips.load(configs[0])
    contents, wanted = datamodules.find_contents(clips)
    for clip, content in zip(clips.table["clip"], contents, strict=True):
        if isinstance(content, OSError):
            log.warning(f"{clip}: {content}")
    if preparations is not None:
        preparations.begin(wanted)
        if preparations.indexed is not None and "metadata" in steps:
            workers = resolve_hardware(preparations.indexed).workers
            with preparations.measured("metadata"):
                metadata.read_training_metadata(preparations.indexed, clips, workers)
    if "features" in steps:
        _extract_features(configs, backbones, clips, wanted, preparations)


def _extract_features(
    configs: Sequence[TrainConfig],
    backbones: Sequence[Backbone],
    clips: Clips,
    wanted: Sequence[Wanted],
    preparations: Preparations | None,
) -> None:
    """Fill the stores of all backbones, and print where they are."""
    plans, parts = _plan_stores(configs, backbones, clips)
    if len(plans) > 1:
        log.info(f"features of {len(plans)} backbones, each clip decoded once for all")
    if preparations is not None:
        preparations.into([plan.open().folder for plan in plans])
    with log_time("features"), preparations.measured("features") if preparations else nullcontext():
        extract.extract(plans, wanted, resolve_hardware(configs[0]).devices, parts)
    for plan in plans:
        store = plan.open()
        read = len(wanted) - len(FeatureReader([store], dict(enumerate(w.content for w in wanted))).unread)
        unreadable = len(clips) - read
        note = f", {tally(unreadable, 'clips')} cannot be read" if unreadable else ""
        print_result(f"features: {store.folder} ({read} of {len(clips)} clips{note})")


def _plan_stores(
    configs: Sequence[TrainConfig], backbones: Sequence[Backbone], clips: Clips
) -> tuple[list[Extraction], list[Backbone]]:
    """Return one extraction per store, and the backbone of each; joined backbones are taken apart."""
    plans: dict[Path, Extraction] = {}
    parts: list[Backbone] = []
    for cfg, backbone in zip(configs, backbones, strict=True):
        weights_hash = backbone.weights_hash()
        spec = datamodules.resolve_clip_specs(cfg, None, clips, backbone, weights_hash)[1]
        shares = datamodules.plan_extractions(cfg, backbone, spec, weights_hash)
        for plan, part in zip(shares, backbones_of(backbone), strict=True):
            folder = plan.open().folder
            if folder not in plans:
                plans[folder] = plan
                parts.append(part)
    return list(plans.values()), parts
