import pytest
import torch

from jungle.models.heads import POOLS, make_head

DIM, CLASSES = 10, 4


def head(name: str, hidden: int = 8):
    torch.manual_seed(0)
    return make_head({"name": name, "hidden": hidden, "dropout": 0.2}, DIM, CLASSES).eval()


@pytest.mark.parametrize("name", POOLS)
def test_padding_changes_nothing(name: str) -> None:
    x, mask = torch.randn(3, 5, DIM), torch.ones(3, 5, dtype=torch.bool)
    plain = head(name)(x, mask)
    padded_x = torch.cat([x, torch.full((3, 4, DIM), 99.0)], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    padded = head(name)(padded_x, padded_mask)
    torch.testing.assert_close(plain.logits_BC, padded.logits_BC)
    if plain.attention_BT is not None:
        assert padded.attention_BT is not None
        assert not padded.attention_BT[:, 5:].any()


@pytest.mark.parametrize("name", POOLS)
def test_the_order_of_frames_does_not_matter(name: str) -> None:
    x, mask = torch.randn(2, 6, DIM), torch.ones(2, 6, dtype=torch.bool)
    torch.testing.assert_close(head(name)(x, mask).logits_BC, head(name)(x.flip(1), mask).logits_BC)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("hidden", [0, 8])
def test_any_number_of_frames_and_a_gradient(name: str, hidden: int) -> None:
    made = head(name, hidden).train()
    for frames in (1, 2, 33):
        answer = made(torch.randn(2, frames, DIM), torch.ones(2, frames, dtype=torch.bool))
        assert answer.logits_BC.shape == (2, CLASSES)
        answer.logits_BC.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def test_attention_weights_sum_to_one_and_follow_the_score() -> None:
    made = head("attention")
    mask = torch.tensor([[True, True, True], [True, False, False]])
    attention = made(torch.randn(2, 3, DIM), mask).attention_BT
    torch.testing.assert_close(attention.sum(1), torch.ones(2))
    assert attention[1].tolist() == [1.0, 0.0, 0.0]


def test_max_and_mean_are_what_they_say() -> None:
    x, mask = torch.randn(2, 4, DIM), torch.tensor([[True] * 4, [True, True, False, False]])
    torch.testing.assert_close(POOLS["max"](DIM)(x, mask)[0][1], x[1, :2].amax(0))
    torch.testing.assert_close(POOLS["mean"](DIM)(x, mask)[0][1], x[1, :2].mean(0))
