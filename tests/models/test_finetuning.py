"""Which weights and statistics of a backbone move in which mode, and how fast."""

import copy
from typing import get_args

import pytest
import torch

from jungle.config.optim import Optim
from jungle.errors import UserError
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.losses import loss
from jungle.models.module import ClipClassifier
from jungle.models.optimizer import check_groups, make_optimizer, make_schedule, parameter_groups
from jungle.models.plateau import Plateau
from jungle.models.training_plan import Training
from jungle.models.unfreezing import largest, part_at, set_trained
from tests.models.test_module import CLASSES, HEAD, batch

SMALL = BackboneSpec("resnet18", pretrained=False, size=(32, 32))  # nine layers: the stem and eight blocks


def model(**training: object) -> ClipClassifier:
    torch.manual_seed(0)
    return ClipClassifier(
        Backbone(SMALL), HEAD, CLASSES, "multilabel", "finetune", training=Training(**training)
    )


def moved(made: ClipClassifier) -> set[str]:
    """Train one step; return what of the backbone is another than before."""
    before = {k: v.clone() for k, v in made.backbone.state_dict().items()}
    made.train()
    optimizer = torch.optim.SGD(made.parameters(), 0.1)
    value = loss(made(batch()).logits_BC, batch()["targets_BC"], batch()["weight_B"], made.task)
    value.backward()
    optimizer.step()
    return {k for k, v in made.backbone.state_dict().items() if not torch.equal(v, before[k])}


def test_head_alone_leaves_the_whole_backbone() -> None:
    assert moved(model(unfreeze={0: "head"})) == set()


def test_the_last_layers_move_with_their_statistics() -> None:
    names = moved(model(unfreeze={0: "last_2"}))
    assert {n.rsplit(".", 2)[0] for n in names} == {
        "model.layer4.0",
        "model.layer4.1",
        "model.layer4.0.downsample",
    }
    assert "model.layer4.1.bn2.running_mean" in names


def test_statistics_that_are_kept_stay_while_weights_move() -> None:
    names = moved(model(norm_stats="keep"))
    assert "model.bn1.weight" in names
    assert not any("running" in n for n in names)


def test_a_plan_trains_each_part_in_its_turn() -> None:
    plan = {0: "head", 2: "last_3", 5: "all"}
    assert [part_at(plan, e) for e in (0, 1, 2, 4, 5, 9)] == [
        "head",
        "head",
        "last_3",
        "last_3",
        "all",
        "all",
    ]
    assert largest(plan, Backbone(SMALL)) == "all"
    made = model(unfreeze={0: "head", 1: "last_1"})
    waiting = [n for n, p in made.backbone.named_parameters() if p.requires_grad]
    assert waiting  # the optimizer sees what will be trained later
    made.on_train_epoch_start()  # epoch 0
    assert not any(p.requires_grad for p in made.backbone.parameters())
    assert not made.backbone.training


def test_more_layers_than_there_are_is_all() -> None:
    backbone = Backbone(SMALL)
    set_trained(backbone, "last_99")
    assert all(p.requires_grad for p in backbone.model.parameters())


def test_layers_further_from_the_head_learn_slower() -> None:
    made = model()
    groups = parameter_groups(
        made.backbone, made.head, lr=1.0, backbone_lr=0.1, weight_decay=0.2, layer_decay=0.5
    )
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    named = dict(made.backbone.model.named_parameters())
    assert rate[id(named["layer4.1.conv2.weight"])] == pytest.approx(0.1)
    assert rate[id(named["layer4.0.conv1.weight"])] == pytest.approx(0.05)
    assert rate[id(named["conv1.weight"])] == pytest.approx(0.1 * 0.5**8)
    assert all(rate[id(p)] == 1.0 for p in made.head.parameters())
    assert len(rate) == len(list(made.parameters()))
    assert all(g["weight_decay"] == (0.2 if p.ndim > 1 else 0) for g in groups for p in g["params"])


@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_what_a_model_exempts_from_decay_is_not_decayed(layer_decay: float) -> None:
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    groups = parameter_groups(backbone, torch.nn.Linear(2, 2), 1.0, 0.5, 0.2, layer_decay)
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    named = dict(backbone.model.named_parameters())
    exempt = {n for n, p in named.items() if decay[id(p)] == 0 and p.ndim > 1}
    assert exempt == {"pos_embed", "cls_token"}
    assert decay[id(named["blocks.0.attn.qkv.weight"])] == 0.2
    if layer_decay == 1:
        rates = {id(p): g["lr"] for g in groups for p in g["params"]}
        assert {rates[id(p)] for p in named.values()} == {0.5}


@pytest.mark.parametrize("name", get_args(Optim.model_fields["name"].annotation))
def test_every_optimizer_moves_the_weights(name: str) -> None:
    layer = torch.nn.Linear(4, 4)
    optimizer = make_optimizer(name, [{"params": list(layer.parameters()), "lr": 0.01}], 0.01)
    before = layer.weight.clone()
    for _ in range(2):  # some only look around at first
        layer(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", get_args(Optim.model_fields["name"].annotation))
def test_a_run_resumes_with_its_own_groups_and_with_no_others(name: str) -> None:
    made = model()
    groups = made.parameter_groups()
    saved = {"optimizer_states": [make_optimizer(name, groups, 0.01).state_dict()]}
    check_groups(saved, made.parameter_groups())
    halves = [{**g, "params": g["params"][::2]} for g in groups], [{**g, "weight_decay": 0.5} for g in groups]
    for others in (groups[:1], *halves):
        with pytest.raises(UserError, match="resume=never"):
            check_groups(saved, others)


@pytest.mark.parametrize("name", ["cosine", "onecycle", "constant"])
def test_schedules_warm_up_and_keep_the_ratio_of_the_groups(name: str) -> None:
    layers = [torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)]
    optimizer = torch.optim.SGD([{"params": layers[i].parameters(), "lr": r} for i, r in enumerate((1, 0.1))])
    schedule = make_schedule(name, optimizer, 20, 0.25, "val/log_loss", "min")["scheduler"]
    rates = []
    for _ in range(20):
        rates.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert all(b == pytest.approx(0.1 * a) for a, b in rates)
    first = [a for a, _ in rates]
    assert first[0] < 0.3
    assert max(first) == pytest.approx(1, abs=0.02)
    assert (first[-1] < 0.05) == (name != "constant")


@pytest.mark.parametrize("total", [1, 2, 3])
def test_onecycle_fits_the_shortest_run(total: int) -> None:
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), 1.0)
    schedule = make_schedule("onecycle", optimizer, total, 0.0, "val/log_loss", "min")["scheduler"]
    for _ in range(total):
        optimizer.step()
        schedule.step()


def test_a_plateau_is_the_one_asked_for() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    described = make_schedule("plateau", optimizer, 20, 0.0, "val/log_loss", "min", Plateau(0.7, 1, 6e-4))
    rates = []
    for _ in range(7):
        described["scheduler"].step(1.0)
        rates.append(round(optimizer.param_groups[0]["lr"], 6))
    assert rates == [1e-3, 7e-4, 6e-4, 6e-4, 6e-4, 6e-4, 6e-4]


def test_a_plateau_halves_the_rate() -> None:
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), 1.0)
    described = make_schedule("plateau", optimizer, 20, 0.0, "val/accuracy", "max")
    assert described["monitor"] == "val/accuracy"
    rates = []
    for value in (0.5, 0.6, 0.6, 0.7, 0.6, 0.6, 0.6, 0.6):
        described["scheduler"].step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25]  # behind two epochs in a row without a better value


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_saving_memory_moves_batchnorm_as_without_it(name: str) -> None:
    states = []
    for save in (False, True):
        torch.manual_seed(0)
        backbone = Backbone(BackboneSpec(name, pretrained=False, size=(32, 32))).train()
        if save:
            backbone.save_memory()
        frames = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
        for _ in range(2):
            backbone(frames).square().mean().backward()
        copy.deepcopy(backbone)(frames)  # a copy counts for itself
        states.append(backbone.model.state_dict())
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    counts = {int(v) for k, v in states[1].items() if k.endswith("num_batches_tracked")}
    assert counts == {2}


def test_saving_memory_gives_the_same_gradient() -> None:
    grads = []
    for save in (False, True):
        backbone = Backbone(SMALL).eval()
        if save:
            backbone.save_memory()
        frames = torch.arange(2 * 32 * 32 * 3, dtype=torch.int64).remainder(251).to(torch.uint8)
        backbone(frames.view(2, 32, 32, 3)).square().sum().backward()
        grads.append(backbone.model.conv1.weight.grad)
    assert torch.allclose(grads[0], grads[1], rtol=1e-4)
