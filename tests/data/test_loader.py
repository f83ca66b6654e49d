import numpy as np
import pytest
import torch

from jungle.data.loader import ClipLoader, Sample, pad_clips
from jungle.errors import UserError


def reader(broken: set[int]):
    def read(numbers, epoch, draws):
        for n in map(int, numbers):
            if n in broken:
                yield n, "broken"
            else:
                t = 1 + n % 3
                yield n, Sample(np.full((t, 4), n, np.float16), np.arange(t, dtype=np.float32))

    return read


def loader(n: int = 10, broken: set[int] | None = None, **options) -> ClipLoader:
    targets = np.zeros((n, 2), np.float32)
    options = {"batch_size": 3, **options}
    return ClipLoader(
        reader(broken or set()), "x_BTD", np.arange(n), targets, np.ones(n, np.float32), **options
    )


def numbers(made: ClipLoader) -> list[int]:
    return [int(n) for batch in made for n in batch["number_B"]]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_evaluation_sees_each_clip_once_over_all_devices(world: int) -> None:
    seen = [n for rank in range(world) for n in numbers(loader(rank=rank, world=world))]
    assert sorted(seen) == list(range(10))


@pytest.mark.parametrize("world", [2, 3])
def test_training_gives_every_device_as_many_batches(world: int) -> None:
    batches = [list(loader(train=True, rank=r, world=world, broken={2, 5})) for r in range(world)]
    assert len({len(b) for b in batches}) == 1
    assert len(batches[0]) == len(loader(train=True, rank=0, world=world))
    seen = {int(n) for b in batches for batch in b for n in batch["number_B"]}
    assert not seen & {2, 5}


def test_the_order_changes_by_epoch_and_is_the_same_again() -> None:
    first = numbers(loader(train=True))
    assert sorted(first) == list(range(10))
    assert first == numbers(loader(train=True))
    assert first != numbers(loader(train=True, epoch_now=lambda: 1))
    assert first != numbers(loader(train=True, seed=1))


def test_padding_is_masked_and_values_are_the_clips_own() -> None:
    for batch in loader():
        for i, n in enumerate(batch["number_B"].tolist()):
            assert batch["mask_BT"][i].sum() == 1 + n % 3
            assert (batch["x_BTD"][i][batch["mask_BT"][i]] == n).all()
            assert (batch["x_BTD"][i][~batch["mask_BT"][i]] == 0).all()


def test_real_frames_are_where_the_mask_is() -> None:
    for batch in loader():
        frames = batch["x_BTD"].flatten(0, 1)[batch["real_N"]]
        assert torch.equal(frames, batch["x_BTD"][batch["mask_BT"]])


def test_a_broken_clip_is_named_and_left_out() -> None:
    made = loader(broken={4})
    assert sorted(numbers(made)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert made.failures == {4: "broken"}


def test_too_many_broken_clips_stop_the_run() -> None:
    with pytest.raises(UserError, match="max_failed_fraction"):
        numbers(loader(broken={1, 2, 3, 4}, max_failed_fraction=0.2))


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(UserError, match="no training clip"):
        numbers(loader(train=True, broken=set(range(10))))


def test_clips_from_a_gpu_and_from_the_cpu_are_one_batch() -> None:
    values = [np.full((2, 3), 1, np.uint8), torch.full((4, 3), 2, dtype=torch.uint8)]
    batch = pad_clips(values, 5)
    assert batch.shape == (2, 5, 3)
    assert (batch.sum((1, 2)) == torch.tensor([6, 24])).all()
    assert (batch[0, :2] == 1).all()
    assert (batch[1, :4] == 2).all()
    assert torch.equal(pad_clips([v if isinstance(v, np.ndarray) else v.numpy() for v in values], 5), batch)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("broken", [set(), {4}, {2, 7, 9}])
def test_an_epoch_that_was_cut_off_goes_on_with_the_next_batch(start: int, broken: set[int]) -> None:
    whole = loader(train=True, broken=broken)
    batches = whole.__iter__()
    taken = [next(batches)["number_B"].tolist() for _ in range(start)]
    known = dict(whole.failures)
    left = [b["number_B"].tolist() for b in batches]
    went_on = loader(train=True, broken=broken, start_now=lambda: start, failures=known)
    assert [b["number_B"].tolist() for b in went_on] == left
    assert len(taken) + len(left) == len(whole)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_batches_for_a_gpu_lie_in_pinned_memory() -> None:
    assert all(b["x_BTD"].is_pinned() for b in loader(pin=True))
    assert not any(b["x_BTD"].is_pinned() for b in loader())


def test_in_evaluation_a_clip_that_failed_once_is_not_asked_for_again() -> None:
    made = loader(broken={4})
    assert 4 not in numbers(made)
    made.read = reader(set())  # it could be read now; but the epoch before was judged without it
    assert 4 not in numbers(made)


@pytest.mark.parametrize("world", [1, 3])
def test_no_two_draws_of_a_clip_are_the_same_and_a_cut_epoch_counts_on(world: int) -> None:
    def drawn(rank: int, skip: int = 0) -> list[tuple[int, int]]:
        asked: list[tuple[int, int]] = []

        def read(numbers, epoch, draws):
            for n, draw in zip(map(int, numbers), draws, strict=True):
                asked.append((n, draw))
                yield n, "broken" if n == 4 else Sample(np.zeros((1, 4), np.float16), np.zeros(1, np.float32))

        made = loader(n=10, train=True, rank=rank, world=world, batch_size=2)
        made.read, made.draw = read, lambda numbers, rng: rng.permutation(numbers.repeat(3))
        made.start_now = lambda: skip
        if skip:
            made.failures[4] = "broken"
        list(made)
        return [pair for pair in asked if pair[0] != 4]

    ranks = [drawn(r) for r in range(world)]
    every = [pair for rank in ranks for pair in rank]
    assert len(set(every)) == len(every) == 10 * 3
    assert drawn(0, skip=2) == ranks[0][4:]
    evaluated: list[int] = []

    def judge(numbers, epoch, draws):
        evaluated.extend(draws)
        yield from reader(set())(numbers, epoch, draws)

    made = loader(rank=world - 1, world=world)
    made.read = judge
    list(made)
    assert set(evaluated) == {0}
