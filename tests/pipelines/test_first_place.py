"""What `experiment=primatrix/first_place` is made of, as docs/primatrix.md says it, row by row."""

from collections import Counter
from functools import cache
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters

from jungle.config import TrainConfig
from jungle.config.folder import config_dir
from jungle.pipelines import recipe_files
from jungle.pipelines.stages import Job, compose_recipe

FILE = config_dir() / "experiment" / "primatrix" / "first_place.yaml"

# The first weight that each network trains, and the last one that it does not: behind what theirs unlocked.
FIRST_TRAINED = {
    "resnet50.tv_in1k": ("layer3.0.", "layer2.3."),
    "resnet152.tv_in1k": ("layer3.0.", "layer2.7."),
    "inception_v3.tf_in1k": ("Mixed_6c.", "Mixed_6b."),
    "legacy_xception.tf_in1k": ("block4.", "block3."),
    "inception_resnet_v2.tf_in1k": ("repeat_1.0.", "mixed_6a."),
}


@cache
def jobs(tiny: bool) -> list[Job]:
    return compose_recipe(
        recipe_files.read_recipe(FILE), "primatrix/first_place", [], tiny=tiny, configs=config_dir()
    )[0]


def configs(tiny: bool = False) -> dict[str, TrainConfig]:
    return {job.stage.name: job.config for job in jobs(tiny) if job.config is not None}


def test_eight_members_of_five_networks_see_single_frames() -> None:
    found = configs()
    assert Counter(c.model.backbone for c in found.values()) == {
        "resnet50.tv_in1k": 1, "legacy_xception.tf_in1k": 2, "inception_v3.tf_in1k": 1,
        "inception_resnet_v2.tf_in1k": 3, "resnet152.tv_in1k": 1,
    }  # fmt: skip
    (stack,) = (job for job in jobs(False) if job.stage.verb == "ensemble_stack")
    assert set(stack.stage.members) == set(found)
    assert len({c.fingerprint() for c in found.values()}) == 8
    for name, c in found.items():
        assert (c.frames.kind, c.frames.count, c.frames.first_s) == ("random", 1, 8)
        assert (c.frames.eval_kind, c.frames.eval_count) == ("early_bias", 32)
        assert (c.model.size, c.augment.flip, c.sampler, c.head.name) == ((404, 720), 0.5, "mixed", "linear")
        assert (c.trainer.gradient_clip_val, c.callbacks.patience) == (None, None)
        steps = [(0, c.optim.name, c.optim.lr), *((s.epoch, s.name, s.lr) for s in c.optim.stages or ())]
        assert steps == [(0, "adamw", 1e-4), (1, "sgd", 1e-4), (3, "adamw", 5e-5)]
        assert (c.optim.weight_decay, c.optim.head_l1, c.optim.schedule) == (0, 1e-5, "constant")
        assert (c.frames.weights is None) == (name == "resnet50")
        assert (c.data.pseudo is not None) == (name == "inception_resnet_v2_extra")


@pytest.mark.parametrize("name", FIRST_TRAINED)
def test_what_is_locked_stays_locked(name: str) -> None:
    with torch.device("meta"):
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
    layers: Any = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    count = max(map(int, layers.values())) + 1
    plans = {tuple(c.model.unfreeze.items()) for c in configs().values() if c.model.backbone == name}
    ((start, part),) = {plan[1:] for plan in plans if plan[0] == (0, "head")}.pop()
    assert (start, len(plans)) == (1, 1)
    first = count - int(part.removeprefix("last_"))
    trained, locked = FIRST_TRAINED[name]
    assert {n for n, layer in layers.items() if int(layer) == first and not n.startswith(trained)} == set()
    assert any(n.startswith(locked) for n, layer in layers.items() if int(layer) == first - 1)


def test_a_small_scale_has_one_of_each_kind() -> None:
    small = configs(tiny=True)
    assert list(small) == ["resnet50", "xception", "inception_resnet_v2_extra"]
    assert small["xception"].frames.weights is not None
    assert small["inception_resnet_v2_extra"].data.pseudo is not None
    assert all(c.frames.count == 1 and c.head.name == "linear" for c in small.values())
    asked = {job.stage.name: job.stage.members for job in jobs(True) if job.config is None}
    assert asked == {"agreed": ["resnet50", "xception"], "stack": list(small)}
