"""Optimizers that change with the epoch, the penalty on the last layer, and the head that has them."""

from pathlib import Path
from typing import Any, NamedTuple

import polars
import pytest
import pytorch_lightning as pl
import torch

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.errors import UsageError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.heads import make_head
from jungle.models.module import ClipClassifier
from jungle.models.training_plan import Training
from jungle.training import build
from jungle.training.callbacks import StepSeed
from tests.models.test_module import CLASSES, batch

SMALL = BackboneSpec("resnet18", pretrained=False, size=(32, 32))
LINEAR = {"name": "linear", "dropout": 0.0, "zero": True}
STAGES = {1: ("sgd", 1e-2), 3: ("adamw", 1e-3)}
PLAN = {"lr": 1e-3, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "stages": STAGES,
        "norm_stats": "keep"}  # fmt: skip
"""Adam, SGD, and Adam again."""
UNFREEZE = {0: "head", 1: "last_1", 4: "last_2"}


TWO = "{epoch: 2, name: lion, lr: 0.1}"


@pytest.fixture
def clips() -> Clips:
    names = [f"{i}.mp4" for i in range(6)]
    seen = {name: [int(i % 3 == n) for i in range(6)] for n, name in enumerate(CLASSES)}
    return Clips(polars.DataFrame({"clip": names, "path": names, "split": ["train"] * 6, **seen}), CLASSES)


class Seen(pl.Callback):
    """Notes what takes each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str, float]] = []
        self.steps_of_adam: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Note the optimizer, its rate, and how many steps its state has seen."""
        used = trainer.optimizers[0]
        self.steps.append((trainer.current_epoch, type(used).__name__, used.param_groups[0]["lr"]))
        counts = {int(s["step"]) for s in used.state.values() if "step" in s}
        self.steps_of_adam.append(max(counts, default=0))


def model(**changes: Any) -> ClipClassifier:
    torch.manual_seed(0)
    training = Training(**{**PLAN, "unfreeze": UNFREEZE, **changes})
    return ClipClassifier(Backbone(SMALL), LINEAR, CLASSES, "multilabel", "finetune", training=training)


def fit(made: ClipClassifier, epochs: int, ckpt: Path | None = None, callbacks: Any = ()) -> Seen:
    seen = Seen()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[StepSeed(0), seen, *callbacks],
    )  # fmt: skip
    two: Any = [batch(), batch()]
    batches = torch.utils.data.DataLoader(two, batch_size=None)
    trainer.fit(made, batches, ckpt_path=ckpt, weights_only=False)
    return seen


class Whole(NamedTuple):
    """A run of five epochs."""

    model: ClipClassifier
    seen: Seen
    folder: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("stages")
    made = model()
    return Whole(made, fit(made, 5, callbacks=[Keep(folder)]), folder)


def test_each_stage_has_its_optimizer_and_a_state_of_its_own(whole: Whole) -> None:
    made, seen = whole.model, whole.seen
    before = model().backbone.state_dict()
    adam, sgd = ("LightningAdamW", 1e-3), ("LightningSGD", 1e-2)
    plain = [(e, name.removeprefix("Lightning"), lr) for e, name, lr in seen.steps]
    wanted = [adam, sgd, sgd, adam, adam]
    assert plain == [(e, n.removeprefix("Lightning"), r) for e, (n, r) in enumerate(wanted) for _ in range(2)]
    # The second Adam begins from nothing: its first step is a first one.
    assert seen.steps_of_adam == [1, 2, 0, 0, 0, 0, 1, 2, 3, 4]
    moved = {k for k, v in made.backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert any(k.startswith("model.layer4.1.conv") for k in moved)
    # What is trained only from epoch 4 on is in the optimizer that was built at epoch 3.
    assert any(k.startswith("model.layer4.0.conv") for k in moved)
    assert not any(k.startswith(("model.conv1", "model.layer1", "model.layer3")) for k in moved)


class Keep(pl.Callback):
    """Keeps a checkpoint at the end of each epoch, as `jungle.training.checkpointing` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save it."""
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


@pytest.mark.parametrize("last", [0, 3])
def test_a_run_that_goes_on_equals_one_that_was_never_stopped(whole: Whole, last: int) -> None:
    again = model()
    fit(again, 5, whole.folder / f"{last}.ckpt")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_penalty_is_on_the_weights_of_the_last_layer_alone() -> None:
    bare: Any
    made: Any
    bare, made = model(head_l1=0.0), model(head_l1=0.25)
    for m in (bare, made):
        torch.nn.init.constant_(m.head.classify[-1].weight, -0.5)
        m.log = lambda *_, **__: None
        m.eval()  # the same statistics for both
    values = [m.training_step(batch(), 0) for m in (bare, made)]
    weights = made.head.classify[-1].weight.numel()
    assert float(values[1].detach() - values[0].detach()) == pytest.approx(0.25 * 0.5 * weights, rel=1e-4)
    values[1].backward()
    values[0].backward()
    slope = made.head.classify[-1].weight.grad - bare.head.classify[-1].weight.grad
    torch.testing.assert_close(slope, torch.full_like(slope, -0.25), rtol=0, atol=1e-6)
    torch.testing.assert_close(made.head.classify[-1].bias.grad, bare.head.classify[-1].bias.grad)


def test_a_linear_head_starts_at_the_class_shares_and_is_the_mean_of_its_frames() -> None:
    torch.manual_seed(0)
    x, mask, times = torch.randn(3, 4, 12), torch.ones(3, 4, dtype=torch.bool), torch.zeros(3, 4)
    mask[1, 2:] = False
    made: Any = make_head(LINEAR, 12, 5).eval()
    torch.nn.init.constant_(made.classify[-1].bias, 0.3)
    assert torch.equal(made(x, mask, times).logits_BC, torch.full((3, 5), made.classify[-1].bias[0].item()))
    free = make_head({**LINEAR, "zero": False}, 12, 5).eval()
    alone = torch.stack([free(x[:, t : t + 1], mask[:, :1], times[:, :1]).logits_BC for t in range(4)], 1)
    torch.testing.assert_close(free(x, mask, times).logits_BC[0], alone[0].mean(0))
    torch.testing.assert_close(free(x, mask, times).logits_BC[1], alone[1, :2].mean(0))


@pytest.mark.parametrize(("args", "says"), [
    (["optim.stages=[{epoch: 1, name: sgd, lr: 1e-3}]"], "add optim.schedule=constant"),
    (["optim=primatrix_first", "optim.warmup=0.1"], "stages have one rate each"),
    (["optim=primatrix_first", "optim.lr=auto"], "give optim.lr a number"),
    (["optim=primatrix_first", "optim.stages=[{epoch: 0, name: sgd, lr: 1e-3}]"], r"optim.stages.0.epoch=0"),
    (["optim=primatrix_first", f"optim.stages=[{TWO},{TWO}]"], r"epochs \[2, 2\]: each begins after"),
])  # fmt: skip
def test_stages_that_cannot_be_are_refused(args: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        overrides.compose("train", args, config_dir())


def test_a_config_says_which_stages_and_a_command_other_ones(clips: Clips) -> None:
    args = ["model=finetune", "model.backbone=test_efficientnet", "model.pretrained=false", "model.size=32"]
    for more, wanted in (
        ([], {1: ("sgd", 1e-4), 3: ("adamw", 5e-5)}), ([f"optim.stages=[{TWO}]"], {2: ("lion", 0.1)}),
    ):  # fmt: skip
        cfg = overrides.compose("train", [*args, "optim=primatrix_first", *more], config_dir())
        made = build.build_model(cfg, Backbone(build.make_backbone_spec(cfg)), clips, "exclusive", {})
        plan = made.training_plan
        assert (plan.optimizer, plan.lr, plan.weight_decay, plan.head_l1) == ("adamw", 1e-4, 0.0, 1e-5)
        assert plan.stages == wanted
