import pytest
import torch

from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.mixup import mixed
from jungle.models.module import ClipClassifier
from jungle.models.training_plan import Training


def batch(key: str = "frames_BTHWC", clips: int = 6) -> dict:
    """Clip i is 40 i all over and has i + 1 frames, in place 0 as elsewhere."""
    mask = torch.arange(clips)[None] <= torch.arange(clips)[:, None]
    value = 40 * torch.arange(clips)
    made = {
        "mask_BT": mask,
        "times_BT": torch.zeros(clips, clips),
        "targets_BC": torch.eye(clips),
        "weight_B": torch.ones(clips),
    }
    if key == "frames_BTHWC":
        frames = value.view(-1, 1, 1, 1, 1).expand(-1, clips, 32, 32, 3)
        made[key] = (frames * mask[:, :, None, None, None]).to(torch.uint8)
    else:
        made[key] = (value.view(-1, 1, 1).expand(-1, clips, 4) * mask[:, :, None]).half()
    return made


@pytest.mark.parametrize("key", ["frames_BTHWC", "x_BTD"])
def test_mixup_blends_values_targets_and_weights_alike(key: str) -> None:
    torch.manual_seed(0)
    given = batch(key)
    made = mixed(given, mixup=1.0, cutmix=0.0)
    targets = made["targets_BC"]
    assert (targets.sum(1) - 1).abs().max() < 1e-6
    assert (targets.diagonal() >= 0.5).all()
    assert (targets.diagonal() < 0.999).any()
    assert made[key].dtype == given[key].dtype
    value = targets @ (40 * torch.arange(6.0))
    mask = given["mask_BT"]
    got = made[key].float().flatten(2).mean(2)
    assert (got - value[:, None])[mask].abs().max() < 0.51  # every frame, however short the other clip is
    assert not got[~mask].any()
    assert torch.equal(made["weight_B"], torch.ones(6))
    assert torch.equal(made["mask_BT"], mask)


def test_cutmix_pastes_a_rectangle_of_the_share_that_the_targets_say() -> None:
    torch.manual_seed(1)
    given = batch()
    made = mixed(given, mixup=0.0, cutmix=1.0)
    for i in range(6):
        j = int(made["targets_BC"][i].topk(2).indices[1])
        frame = made["frames_BTHWC"][i, 0, :, :, 0]
        kept = (frame == 40 * i).float().mean()
        torch.testing.assert_close(made["targets_BC"][i, i], kept)
        inside = (frame != 40 * i).nonzero()
        if len(inside):
            assert (frame[frame != 40 * i] == 40 * j).all()
            box = frame[
                inside[:, 0].min() : inside[:, 0].max() + 1, inside[:, 1].min() : inside[:, 1].max() + 1
            ]
            assert box.numel() == len(inside)
            real = made["frames_BTHWC"][i][given["mask_BT"][i]][..., 0]
            assert (real == frame).all()  # the same place in all frames
    assert (made["targets_BC"].diagonal() < 0.99).any()


def test_each_label_counts_as_much_as_its_clip() -> None:
    torch.manual_seed(0)
    given = batch("x_BTD")
    share_BC = mixed(given, 1.0, 0.0)["targets_BC"]  # of each clip, where all weigh the same
    torch.manual_seed(0)
    weight_B = torch.tensor([0.0, 1, 2, 0, 0.5, 3])
    made = mixed({**given, "weight_B": weight_B}, 1.0, 0.0)
    torch.testing.assert_close(made["weight_B"], share_BC @ weight_B)
    torch.testing.assert_close(made["targets_BC"] * made["weight_B"][:, None], share_BC * weight_B)
    assert not made["targets_BC"][1:, 0].any()  # what has no weight teaches no other clip


def test_an_unknown_label_of_no_weight_hides_no_known_one() -> None:
    given = batch("x_BTD", clips=2)
    given["targets_BC"] = torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])
    given["weight_B"] = torch.tensor([1.0, 0.0])
    for seed in range(4):
        torch.manual_seed(seed)
        assert mixed(given, 1.0, 0.0)["targets_BC"][0].tolist() == [1.0, 0.0]


def test_unknown_targets_stay_unknown_and_off_is_off() -> None:
    given = batch("x_BTD")
    given["targets_BC"][:, 0] = torch.nan
    assert mixed(given, 1.0, 0.0)["targets_BC"][:, 0].isnan().all()
    assert mixed(given, 0.0, 0.0) is given


def test_both_take_turns() -> None:
    torch.manual_seed(0)
    ways = set()
    for _ in range(12):
        made = mixed(batch(), 1.0, 1.0)["frames_BTHWC"]
        ways.add(bool(set(made.unique().tolist()) <= {40 * i for i in range(6)}))
    assert ways == {True, False}


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_the_module_mixes_in_training_only(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    head = {"name": "mean", "hidden": 0, "dropout": 0.0}
    classes = tuple("abcdef")
    losses = {}
    for name, plan in (("off", Training()), ("on", Training(**{option: 1.0}))):
        torch.manual_seed(0)
        model = ClipClassifier(backbone, head, classes, "exclusive", "finetune", training=plan)
        monkeypatch.setattr(model, "log", lambda *_, **__: None)
        torch.nn.init.normal_(model.head.classify[-1].weight, generator=torch.Generator().manual_seed(0))
        given = {**batch(), "number_B": torch.arange(6)}
        model.eval()
        model.on_validation_epoch_start()
        with torch.no_grad():
            model.validation_step(given, 0)
        losses[name] = float(model.training_step(given, 0).detach()), model.val_scores.compute()
    assert losses["on"][0] != losses["off"][0]
    assert losses["on"][1] == losses["off"][1]
