"""`jungle extract`: what frozen backbones see in every clip, from one decoding for all of them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jungle import streams
from jungle.config import TrainConfig
from jungle.config.compose import compose, expand_variants
from jungle.config.folder import config_dir
from jungle.console import log, log_time, print_result, speak
from jungle.errors import UsageError
from jungle.pipelines import preflight, recipe, recipe_files
from jungle.pipelines.preparation import Preparations
from jungle.wording import tally

USAGE = """usage: jungle extract [key=value ...]

Fill the feature stores that training with frozen backbones reads, each clip decoded once for all of them.
Settings are those of jungle train; where one has several values, each of them (and each combination):

  jungle extract model=resnet152_frozen,nasnet_frozen data=csv data.root=clips data.labels=labels.csv
  jungle extract experiment=primatrix/third_place      all frozen backbones of a recipe,
                                                       and the index of its clips' files if it wants one"""


def main(argv: list[str]) -> int:
    """Fill the stores; what they hold already is not made again.

    Raises:
        UsageError: a setting is not valid, or asks for what is not frozen.
        UserError: more than `max_failed_fraction` of the clips cannot be read.
    """
    if {"-h", "--help"} & set(argv):
        streams.say(USAGE)
        return 0
    speak()
    configs, before, steps = _asked(argv)
    for cfg in configs:
        preflight.check(cfg)
    with log_time("imports"):
        from jungle.models.backbones.concat import make_backbone
        from jungle.prediction import metadata
        from jungle.training import build, datamodules
        from jungle.training import clips as training_clips

    datamodules.check_devices(configs[0])
    made: list[Any] = []
    if "features" in steps:  # before the clips: their weights may not be had
        made = [make_backbone(build.backbone_spec(cfg)) for cfg in configs]
    clips, _ = training_clips.load(configs[0])
    contents, wanted = datamodules.with_contents(clips)
    for clip, content in zip(clips.table["clip"], contents, strict=True):
        if isinstance(content, OSError):
            log.warning(f"{clip}: {content}")
    if before is not None:
        before.begin(wanted)
        if before.indexed is not None and "metadata" in steps:
            with before.measured("metadata"):
                metadata.of_training(before.indexed, clips, datamodules.workers_of(before.indexed))
    if "features" in steps:
        _features(configs, made, clips, wanted, before)
    return 0


def _features(
    configs: list[TrainConfig],
    made: list[Any],
    clips: Any,
    wanted: list[Any],
    before: Preparations | None,
) -> None:
    """Fill the stores of all backbones; say where they are."""
    from jungle.features import extract
    from jungle.features.reader import FeatureReader
    from jungle.training import build

    plans, backbones = _plans(configs, made, clips)
    if len(plans) > 1:
        log.info(f"features of {len(plans)} backbones, each clip decoded once for all")
    if before is not None:
        before.into([plan.open().folder for plan in plans])
    with log_time("features"), before.measured("features") if before else nullcontext():
        extract.extract(plans, wanted, build.devices_of(configs[0]), backbones)
    for plan in plans:
        store = plan.open()
        read = len(wanted) - len(FeatureReader([store], dict(enumerate(w.content for w in wanted))).unread)
        lost = len(clips) - read
        said = f", {tally(lost, 'clips')} cannot be read" if lost else ""
        print_result(f"features: {store.folder} ({read} of {len(clips)} clips{said})")


def _asked(argv: list[str]) -> tuple[list[TrainConfig], Preparations | None, tuple[str, ...]]:
    """Return the checked config of each backbone, what a recipe notes of it, and the steps asked for."""
    before, steps = None, ("features",)
    if (file := recipe_files.find_recipe(argv, config_dir())) is not None:
        before, steps = recipe.find_preparations(argv, file, config_dir())
        found = before.frozen
    else:
        found = [compose("train", given, config_dir()) for given in expand_variants(argv)]
        if thawed := next((c for c in found if c.model.mode != "frozen"), None):
            raise UsageError(
                f"model.backbone={thawed.model.backbone} is fine-tuned: what it sees changes as it learns, "
                "and is not kept. Give a frozen model"
            )
    for cfg in found[1:]:
        for name in ("format", "root", "labels", "limit"):
            if (a := getattr(cfg.data, name)) != (b := getattr(found[0].data, name)):
                raise UsageError(f"data.{name}={a} and {b}: one call reads one set of clips")
    return found, before, steps


def _plans(configs: list[TrainConfig], made: list[Any], clips: Any) -> tuple[list[Any], list[Any]]:
    """Return how the features of each backbone are made, each store once, and the backbones.

    Args:
        configs: of the backbones.
        made: the backbones, or joined ones.
        clips: to be seen.
    """
    from jungle.models.backbones.concat import backbones_of
    from jungle.training import datamodules

    plans: dict[Path, Any] = {}
    backbones = []
    for cfg, backbone in zip(configs, made, strict=True):
        weights_hash = backbone.weights_hash()
        _, spec = datamodules.settled(cfg, None, clips, backbone, weights_hash)
        shares = datamodules.extractions(cfg, backbone, spec, weights_hash)
        for plan, part in zip(shares, backbones_of(backbone), strict=True):
            folder = plan.open().folder
            if folder not in plans:
                plans[folder] = plan
                backbones.append(part)
    return list(plans.values()), backbones
