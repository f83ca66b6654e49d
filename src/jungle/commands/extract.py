"""`jungle extract`: what frozen backbones see in every clip, from one decoding for all of them."""

from jungle import streams
from jungle.config import TrainConfig
from jungle.config.compose import compose, expand_variants
from jungle.config.folder import config_dir
from jungle.console import log_time, speak
from jungle.errors import UsageError
from jungle.pipelines import preflight, recipe, recipe_files
from jungle.pipelines.preparation import Preparations

USAGE = """usage: jungle extract [key=value ...]

Fill the feature stores that training with frozen backbones reads, each clip decoded once for all of them.
Settings are those of jungle train; where one has several values, each of them (and each combination):

  jungle extract model=resnet152_frozen,nasnet_frozen data=csv data.root=clips data.labels=labels.csv
  jungle extract experiment=primatrix/third_place      all frozen backbones of a recipe,
                                                       and the index of its clips' files if it wants one

jungle train --help lists the settings."""


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
    configs, preparations, steps = _compose_configs(argv)
    for cfg in configs:
        preflight.check(cfg)
    with log_time("imports"):
        from jungle.models import large_libraries  # noqa: F401
        from jungle.pipelines import extraction  # here, since it imports torch and timm
    extraction.extract_all(configs, preparations, steps)
    return 0


def _compose_configs(argv: list[str]) -> tuple[list[TrainConfig], Preparations | None, tuple[str, ...]]:
    """Return the checked config of each backbone, the recipe's preparations and the steps to do."""
    preparations, steps = None, ("features",)
    if (file := recipe_files.find_recipe(argv, config_dir())) is not None:
        preparations, steps = recipe.find_preparations(argv, file, config_dir())
        found = preparations.frozen
    else:
        found = [compose("train", given, config_dir()) for given in expand_variants(argv)]
        if thawed := next((c for c in found if c.model.mode != "frozen"), None):
            raise UsageError(
                f"model.backbone={thawed.model.backbone} is fine-tuned: its features change during "
                "training and are not kept; give a frozen model"
            )
    for cfg in found[1:]:
        for name in ("format", "root", "labels", "limit"):
            if (a := getattr(cfg.data, name)) != (b := getattr(found[0].data, name)):
                raise UsageError(f"data.{name}={a} and {b}: one call reads one set of clips")
    return found, preparations, steps
