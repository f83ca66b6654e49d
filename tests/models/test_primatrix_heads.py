"""The third place's two models (Pri-matrix Factorization, 2017), held against their layers written out again.

`theirs` below is a second, plain forward of what its authors published: no masks, no modules, loops over
time. It shares nothing with `jungle.models.heads.primatrix` but the names of the weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jungle.data.metadata import FACTS, Metadata
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint
from jungle.models.heads import completed, make_head
from jungle.models.module import ClipClassifier
from jungle.video import ClipSpec, Frames

KEPT = Path(__file__).parent / "kept" / "primatrix_0.1.pt"
FACTS_28 = Metadata((0.0,) * len(FACTS), (1.0,) * len(FACTS), (404.0,), (720.0,), ())
"""One common width and one common height: 28 columns, as many as theirs had in the weights counted below."""
ATTENTION = {"name": "primatrix_attention", "score": "tanh", "hidden": 1024, "dropout": 0.25, "layout": 2}
GRU = {**ATTENTION, "name": "primatrix_gru", "score": "linear", "dropout": 0.3}
GRU |= {"units": 512, "mix_dropout": 0.15}
SMALL: dict[str, dict[str, Any]] = {
    "primatrix_attention": {**ATTENTION, "hidden": 8},
    "primatrix_gru": {**GRU, "hidden": 8, "units": 6},
}
SMALL |= {f"{n}_original": {**v, "name": f"{n}_original", "frames": 7} for n, v in SMALL.items()}


def sigmoid_gru(x_BTD: Tensor, w: Callable[[str], Tensor]) -> Tensor:
    """A gated recurrent unit with two biases, frame after frame; its state begins at 0."""
    state_BU = x_BTD.new_zeros(len(x_BTD), w("weight_hh_l0").shape[1])
    states = []
    for x_BD in x_BTD.unbind(1):
        given = x_BD @ w("weight_ih_l0").T + w("bias_ih_l0")
        kept = state_BU @ w("weight_hh_l0").T + w("bias_hh_l0")
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = given.chunk(3, 1), kept.chunk(3, 1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        state_BU = update * state_BU + (1 - update) * new
        states.append(state_BU)
    return torch.stack(states, 1)


def theirs(head: Any, x_BTD: Tensor, columns_BM: Tensor, original: bool, dim: int) -> Tensor:
    """Both models over clips that all have the same frames, without dropout: logits."""
    weights = dict(head.state_dict())
    training, eps = head.training, 1e-3 if original else 1e-5

    def w(name: str) -> Tensor:
        return weights[name]

    def norm(x: Tensor, name: str) -> Tensor:
        rows = x.flatten(0, -2)
        mean, var = rows.mean(0), rows.var(0, unbiased=False)
        if not training:
            mean, var = w(f"{name}.running_mean"), w(f"{name}.running_var")
        return (x - mean) / (var + eps).sqrt() * w(f"{name}.weight") + w(f"{name}.bias")

    def dense(x: Tensor, name: str, normed_by: str) -> Tensor:
        return norm(x @ w(f"{name}.weight").T + w(f"{name}.bias"), normed_by).relu()

    # What lies in the sequence of last layers differs by one dropout: theirs have it in the attention model.
    is_gru = head.mix is not None
    at = 1 if is_gru else 2
    normed_BTD = norm(x_BTD, "norm")
    seen = normed_BTD
    if is_gru:
        backwards = normed_BTD.flip(1)
        first = sigmoid_gru(backwards, lambda n: w(f"mix.first.{n}"))
        if original:  # `first` lies turned round, and is turned again before the second
            second = sigmoid_gru(first.flip(1), lambda n: w(f"mix.second.{n}"))
        else:
            second = sigmoid_gru(first, lambda n: w(f"mix.second.{n}")).flip(1)
            first = first.flip(1)
        seen = torch.cat([first, second, normed_BTD], 2)
    if is_gru:
        score = seen @ w("look.weigh.weight" if "look.weigh.weight" in weights else "look.score.weight")[0]
    elif original:
        score = (seen @ w("look.weigh.weight")[0] + w("look.bias_T")).tanh()
    else:
        score = (seen @ w("look.score.0.weight")[0] + w("look.score.0.bias")).tanh()
    share = score.exp() / score.exp().sum(1, keepdim=True)
    pooled = (seen * share.unsqueeze(2)).sum(1)
    moved = x_BTD.max(1).values - x_BTD.min(1).values
    assert moved.shape[1] == dim
    known = dense(columns_BM, "branch.dense.0", "branch.dense.1")
    known = dense(known, "branch.dense.4", "branch.dense.5")
    joined = norm(torch.cat([pooled, moved, known], 1), "classify.0")
    hidden = dense(joined, f"classify.{at}", f"classify.{at + 1}")
    hidden = dense(hidden, f"classify.{at + 4}", f"classify.{at + 5}")
    return hidden @ w(f"classify.{at + 8}.weight").T + w(f"classify.{at + 8}.bias")


def moved_head(values: dict[str, Any], dim: int) -> Any:
    """A head whose weights, biases and running statistics are all of their own, without dropout."""
    torch.manual_seed(1)
    head = make_head(values, dim, 3, FACTS_28)
    with torch.no_grad():
        for value in (*head.parameters(), *(b for n, b in head.named_buffers() if "running_mean" in n)):
            value.add_(torch.randn_like(value) * 0.3)
        for name, value in head.named_buffers():
            if "running_var" in name:
                value.copy_(torch.rand_like(value) + 0.5)
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return head


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_each_model_computes_what_theirs_does(name: str, training: bool) -> None:
    dim = 10
    head = moved_head(SMALL[name], dim).train(training)
    x_BTD, facts_BF = torch.randn(5, 7, dim) * 2 + 1, torch.randn(5, len(FACTS))
    mask_BT = torch.ones(5, 7, dtype=torch.bool)
    wanted = theirs(head, x_BTD, head.branch.measured(facts_BF), name.endswith("original"), dim)
    given = head(x_BTD, mask_BT, torch.zeros(5, 7), facts_BF).logits_BC
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in SMALL if n.endswith("original")])
def test_to_the_letter_a_short_clip_repeats_its_last_frame(name: str) -> None:
    head = moved_head(SMALL[name], 10).eval()
    x_BTD, facts_BF = torch.randn(2, 4, 10), torch.randn(2, len(FACTS))
    mask_BT = torch.tensor([[True] * 4, [True, True, False, False]])
    found = head(x_BTD, mask_BT, torch.zeros(2, 4), facts_BF)
    for i, frames in enumerate((4, 2)):
        long_TD = torch.cat([x_BTD[i, :frames], x_BTD[i, frames - 1].expand(7 - frames, -1)])
        facts = head.branch.measured(facts_BF[i : i + 1])
        wanted = theirs(head, long_TD.unsqueeze(0), facts, True, 10)
        torch.testing.assert_close(found.logits_BC[i : i + 1], wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.attention_BT[i].sum(), torch.tensor(1.0))
        assert not found.attention_BT[i, frames:].any()
    with pytest.raises(ValueError, match="places for 7 frames"):
        head(torch.randn(1, 8, 10), torch.ones(1, 8, dtype=torch.bool), torch.zeros(1, 8), facts_BF[:1])


@pytest.mark.parametrize(
    ("values", "dim", "weights"),
    [
        (GRU, 3840, 18_437_912),
        ({**GRU, "name": "primatrix_gru_original", "frames": 45}, 3840, 18_437_912),
        ({**ATTENTION, "name": "primatrix_attention_original", "frames": 45}, 3488, 8_399_269),
        (ATTENTION, 3488, 8_399_269 - 44),  # one bias of the score in place of 45
    ],
)
def test_each_model_has_as_many_weights_as_theirs(values: dict[str, Any], dim: int, weights: int) -> None:
    """Counted by hand from their layers, for 28 columns of metadata and 24 classes."""
    assert len(FACTS_28.columns) == 28
    with torch.device("meta"):
        head = make_head(values, dim, 24, FACTS_28)
    assert sum(p.numel() for p in head.parameters()) == weights


def dropped(head: nn.Module, x_BTD: Tensor, facts_BF: Tensor) -> list[tuple[float, tuple[int, ...]]]:
    """Rate and shape of each dropout, in the order in which they come."""
    seen: list[tuple[float, tuple[int, ...]]] = []
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda m, args, _: seen.append((m.p, tuple(args[0].shape))))
    head(x_BTD, torch.ones(x_BTD.shape[:2], dtype=torch.bool), torch.zeros(x_BTD.shape[:2]), facts_BF)
    return [(rate, shape) for rate, shape in seen if rate]


@pytest.mark.parametrize("end", ["", "_original"])
def test_dropout_stands_where_theirs_does(end: str) -> None:
    x_BTD, facts_BF = torch.randn(4, 7, 10), torch.randn(4, len(FACTS))
    attention = make_head(SMALL[f"primatrix_attention{end}"], 10, 3, FACTS_28)
    facts = (0.25, (4, 128))  # between the two layers of metadata
    wide, dense = (0.25, (4, 2 * 10 + 128)), (0.25, (4, 8))
    assert dropped(attention, x_BTD, facts_BF) == [facts, wide, dense, dense]
    gru = make_head(SMALL[f"primatrix_gru{end}"], 10, 3, FACTS_28)
    mixed = [(0.15, (4, 7, 10)), (0.15, (4, 7, 6)), (0.15, (4, 7, 6))]
    pooled = [(0.25, (4, 2 * 6 + 10)), (0.25, (4, 10))]
    after = [facts, facts, (0.3, (4, 8)), (0.3, (4, 8))]
    assert dropped(gru, x_BTD, facts_BF) == [*mixed, *pooled, *after]


def test_features_join_their_states_after_dropout() -> None:
    head: Any = make_head(SMALL["primatrix_gru"], 10, 3, FACTS_28)
    seen: list[Tensor] = []
    head.look.register_forward_hook(lambda m, args, _: seen.append(args[0]))
    head(torch.randn(8, 7, 10), torch.ones(8, 7, dtype=torch.bool), torch.zeros(8, 7), torch.randn(8, 12))
    zeros = (seen[0] == 0).float().mean((0, 1))
    assert (zeros > 0.02).all()  # states and features alike


def test_to_the_letter_weights_begin_as_in_keras() -> None:
    head: Any = make_head({**GRU, "name": "primatrix_gru_original", "frames": 45}, 300, 24, FACTS_28)
    assert head.look.score.weight.abs().max() <= 0.05
    bound = (6 / (300 + 3 * 512)) ** 0.5
    assert bound * 0.99 < head.mix.first.weight_ih_l0.abs().max() <= bound
    kept = head.mix.first.weight_hh_l0
    torch.testing.assert_close(kept.T @ kept, torch.eye(512), atol=1e-4, rtol=0)
    linear = [m for m in head.modules() if isinstance(m, nn.Linear) and m.bias is not None]
    assert not any(m.bias.any() for m in linear)
    assert {(m.momentum, m.eps) for m in head.modules() if isinstance(m, nn.BatchNorm1d)} == {(0.01, 1e-3)}
    attention: Any = make_head(
        {**ATTENTION, "name": "primatrix_attention_original", "frames": 45}, 3840, 24, FACTS_28
    )
    bound = (3 / 3840**0.5) ** 0.5
    assert bound * 0.99 < attention.look.weigh.weight.abs().max() <= bound


def about() -> dict[str, Any]:
    spec = ClipSpec(Frames(count=7), size=(32, 32))
    return {"clip": spec.to_dict(), "priors": {"a": 0.9, "b": 0.1}, "weights_hash": "w"}


@pytest.mark.parametrize(("name", "moves"), [("primatrix_gru", True), ("primatrix_gru_original", False)])
def test_only_to_the_letter_training_starts_at_one_half(name: str, moves: bool) -> None:
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    model = ClipClassifier(backbone, SMALL[name], ("a", "b"), "multilabel", "frozen", about())
    before = model.head.classify[-1].bias.clone()
    model.start_from_priors(torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]]))
    assert torch.equal(model.head.classify[-1].bias, before) != moves
    assert moves or not before.any()


@pytest.mark.parametrize(
    "kind", ["primatrix_attention tanh", "primatrix_attention linear", "primatrix_gru tanh"]
)
def test_a_checkpoint_of_version_0_1_answers_as_it_did(kind: str, tmp_path: Path) -> None:
    """`kept/primatrix_0.1.pt` holds heads that version 0.1 built, with what they said of some features."""
    kept = torch.load(KEPT, weights_only=True)[kind]
    assert "layout" not in kept["values"]
    assert completed(kept["values"])["layout"] == 1
    backbone = Backbone(BackboneSpec("test_vit", pretrained=False, size=(32, 32)))
    model = ClipClassifier(backbone, kept["values"], ("a", "b"), "multilabel", "frozen", about())
    model.head.load_state_dict(kept["state"])
    description = {**model.describe(), "head": kept["values"]}
    torch.save({"state_dict": model.state_dict(), "jungle": description}, tmp_path / "old.ckpt")
    loaded = load_checkpoint(tmp_path / "old.ckpt").model
    batch = {"x_BTD": kept["x_BTD"], "mask_BT": kept["mask_BT"], "times_BT": torch.zeros(4, 5)}
    torch.testing.assert_close(loaded(batch).logits_BC, kept["logits_BC"], atol=1e-6, rtol=1e-5)


def test_the_layers_of_version_0_1_are_no_setting() -> None:
    with pytest.raises(ValueError, match="unknown layout 3"):
        make_head({**ATTENTION, "layout": 3}, 10, 3)
