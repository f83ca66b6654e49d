import pytest
import torch

from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.losses import loss, prior_logits, probabilities
from jungle.models.module import ClipClassifier
from jungle.models.training_plan import Training

CLASSES = ("blank", "lion", "hog")
HEAD = {"name": "attention", "hidden": 8, "dropout": 0.1}


def model(mode: str, task: str = "multilabel") -> ClipClassifier:
    torch.manual_seed(0)
    backbone = Backbone(BackboneSpec("resnet18", pretrained=False, size=(32, 32)))
    return ClipClassifier(backbone, HEAD, CLASSES, task, mode, training=Training())


def batch(frames: int = 3) -> dict:
    torch.manual_seed(1)
    mask = torch.ones(2, frames, dtype=torch.bool)
    mask[1, 1:] = False
    return {
        "frames_BTHWC": torch.randint(0, 256, (2, frames, 32, 32, 3), dtype=torch.uint8),
        "mask_BT": mask,
        "times_BT": torch.arange(frames).float().expand(2, frames),
        "targets_BC": torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]),
        "weight_B": torch.ones(2),
    }


def step(made: ClipClassifier) -> None:
    made.train()
    optimizer = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], 0.1)
    answer = made(batch())
    loss(answer.logits_BC, batch()["targets_BC"], batch()["weight_B"], made.task).backward()
    optimizer.step()


def test_a_frozen_backbone_does_not_move() -> None:
    made = model("frozen")
    before = {k: v.clone() for k, v in made.backbone.state_dict().items()}
    step(made)
    made.train()  # Lightning calls this at every epoch
    assert not made.backbone.training
    assert all(torch.equal(v, before[k]) for k, v in made.backbone.state_dict().items())


def test_a_finetuned_backbone_moves_with_its_statistics() -> None:
    made = model("finetune")
    before = {k: v.clone() for k, v in made.backbone.state_dict().items()}
    step(made)
    moved = {k for k, v in made.backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert "model.conv1.weight" in moved
    assert "model.bn1.running_mean" in moved


def test_stored_features_and_frames_give_the_same_answer() -> None:
    made = model("frozen").eval()
    frames = batch()
    features = made.features(frames["frames_BTHWC"], frames["mask_BT"]).half()
    stored = {**frames, "x_BTD": features}
    assert torch.equal(made(stored).logits_BC, made(frames).logits_BC)


def test_where_real_frames_are_may_be_told() -> None:
    made, frames = model("finetune").eval(), batch()
    told = {**frames, "real_N": torch.tensor([0, 1, 2, 3])}  # of the second clip one
    assert torch.equal(made(told).logits_BC, made(frames).logits_BC)
    assert not torch.equal(
        made({**told, "real_N": torch.tensor([0, 1, 2, 4])}).logits_BC, made(told).logits_BC
    )


def test_the_head_computes_in_32_bits_where_the_backbone_does_not() -> None:
    made, frames = model("finetune").eval(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        x_BTD = made.features(frames["frames_BTHWC"], frames["mask_BT"])
        logits_BC = made(frames).logits_BC
    assert logits_BC.dtype == torch.float32
    assert torch.equal(logits_BC, made.head(x_BTD, frames["mask_BT"], frames["times_BT"]).logits_BC)
    assert not torch.equal(x_BTD, made.features(frames["frames_BTHWC"], frames["mask_BT"]))


def test_training_starts_at_the_priors() -> None:
    made = model("frozen").eval()
    targets = torch.tensor([[1.0, 0, 0]] * 6 + [[0, 1.0, 0]] * 3 + [[float("nan")] * 3])
    made.start_from_priors(targets)
    made.head.classify[-1].weight.data.zero_()
    probs = probabilities(made(batch()).logits_BC, "multilabel")
    torch.testing.assert_close(probs[0], torch.tensor([2 / 3, 1 / 3, 1e-4]), atol=1e-5, rtol=1e-4)


def test_unknown_targets_cost_nothing() -> None:
    logits, nan = torch.randn(2, 3), float("nan")
    known = loss(logits[:, :2], torch.tensor([[1.0, 0], [0, 1.0]]), torch.ones(2), "multilabel")
    targets = torch.tensor([[1.0, 0, nan], [0, 1.0, nan]])
    torch.testing.assert_close(loss(logits, targets, torch.ones(2), "multilabel"), known)


def test_weights_scale_a_clips_share() -> None:
    logits, targets = torch.randn(2, 3), torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    for task in ("multilabel", "exclusive"):
        only_first = loss(logits, targets, torch.tensor([1.0, 0.0]), task)
        torch.testing.assert_close(only_first, loss(logits[:1], targets[:1], torch.ones(1), task))


def test_exclusive_probabilities_sum_to_one() -> None:
    probs = probabilities(torch.randn(4, 3), "exclusive")
    torch.testing.assert_close(probs.sum(1), torch.ones(4))
    assert prior_logits(torch.eye(3), "exclusive").softmax(0) == pytest.approx([1 / 3] * 3)


def test_no_decay_on_norms_and_biases() -> None:
    made = model("finetune")
    made.training_plan = Training(schedule="constant", warmup=0.0, weight_decay=0.1)
    for bare, decayed in zip(*[iter(made.configure_optimizers().param_groups)] * 2, strict=True):
        assert all(p.ndim > 1 for p in decayed["params"])
        assert bare["weight_decay"] == 0
        assert decayed["weight_decay"] == 0.1


def test_the_training_loss_shown_is_the_mean_of_the_epoch_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    made, shown = model("frozen"), []
    monkeypatch.setattr(made, "log", lambda name, value, **_: shown.append(float(value)))
    made.train()
    values = [float(made.training_step(batch(frames), 0).detach()) for frames in (2, 3, 4)]
    assert len(set(values)) == 3
    assert shown == pytest.approx([sum(values[: i + 1]) / (i + 1) for i in range(3)])
    made.on_train_epoch_start()
    value = float(made.training_step(batch(), 0).detach())
    assert shown[-1] == pytest.approx(value)
