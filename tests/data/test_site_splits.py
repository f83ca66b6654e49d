"""How many sites validation and test are cut from: enough that their scores say something of other sites."""

import logging
import random

import numpy as np
import polars as pl
import pytest

from jungle.data.clips import Clips
from jungle.data.site_splits import choose_sites, compute_least_sites
from jungle.data.splits import assign_splits
from jungle.wording import count

CLASSES = ("blank", "hog", "leopard")


def survey(sizes: list[int], seed: int = 0) -> Clips:
    """Clips at sites of these sizes, each with a class by chance."""
    draw = random.Random(seed)
    site = [f"s{i:02d}" for i, n in enumerate(sizes) for _ in range(n)]
    truth = [draw.choices(range(3), (5, 3, 2))[0] for _ in site]
    names = [f"{i}.mp4" for i in range(len(site))]
    labels = {c: [int(t == k) for t in truth] for k, c in enumerate(CLASSES)}
    return Clips(pl.DataFrame({"clip": names, "path": names, "site": site, **labels}), CLASSES)


def sites_in(clips: Clips, split: str) -> int:
    return clips.of(split).table["site"].n_unique()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "sizes",
    [
        [27, 20, 15, 14, 12, 10, 9, 8, 7, 6, 5, 4],  # 137 clips at 12 sites, the largest a fifth of them
        [10] * 10,
        [200, *[5] * 30],
        [100, 90, 80, *[4] * 9],
        [1] * 10,
        [300, *[1] * 300],
    ],
)
def test_of_ten_sites_or_more_three_are_in_validation(sizes: list[int], seed: int, caplog) -> None:
    split = assign_splits(survey(sizes, seed), seed=seed)
    assert sites_in(split, "val") >= 3
    assert not set(split.of("val").table["site"]) & set(split.of("train").table["site"])
    everywhere = split.counts().filter(pl.col("all") > 20)
    assert (everywhere["val"] > 0).all()
    assert (everywhere["train"] > 0).all()
    share = len(split.of("val")) / len(split)
    assert 0.1 <= share <= 0.31 or "of the clips, not 20%" in caplog.text


def test_the_share_is_as_near_as_sites_allow() -> None:
    for seed in range(4):
        split = assign_splits(survey([27, 20, 15, 14, 12, 10, 9, 8, 7, 6, 5, 4], seed), seed=seed)
        assert 0.16 < len(split.of("val")) / 137 < 0.25


@pytest.mark.parametrize(("sites", "least"), [(2, 1), (4, 1), (5, 2), (7, 2), (9, 2), (10, 3)])
def test_of_five_sites_two(sites: int, least: int) -> None:
    assert sites_in(assign_splits(survey([20] * sites)), "val") >= least


def test_test_and_validation_each_have_three_of_twelve() -> None:
    for seed in range(4):
        split = assign_splits(survey([12] * 12, seed), test_fraction=0.2, seed=seed)
        assert sites_in(split, "test") >= 3
        assert sites_in(split, "val") >= 3
        assert sites_in(split, "train") >= 4


def test_a_site_that_is_all_but_all_clips_is_said(caplog) -> None:
    split = assign_splits(survey([900, 5, 5, 5, 5]))
    assert "s00" in set(split.of("train").table["site"])
    assert "of the clips, not 20% (data.val_fraction)" in caplog.text


def test_two_of_five_sites_that_would_be_most_of_the_clips_are_not_taken_and_that_is_said(caplog) -> None:
    split = assign_splits(survey([100, 100, 100, 100, 100]), val_fraction=0.1)
    assert sites_in(split, "val") == 1
    assert "val has 1 site of 5" in caplog.text
    assert "data.val_fraction=0.1" in caplog.text


def test_sites_that_each_hold_the_last_of_a_class_stay_in_training(caplog) -> None:
    clips = survey([4] * 11)
    own = [f"c{i}" for i in range(9)]  # nine sites with a class of their own, two that may go
    table = clips.table.with_columns(
        (pl.col("site") == f"s{i:02d}").cast(pl.Int8).alias(c) for i, c in enumerate(own)
    )
    split = assign_splits(Clips(table, (*CLASSES, *own)))
    assert set(split.of("val").table["site"]) <= {"s09", "s10"}
    assert "val has 2 sites of 11 (every other site holds the last of some class)" in caplog.text


def test_nothing_is_said_of_an_even_cut(caplog) -> None:
    caplog.set_level(logging.WARNING)
    assign_splits(survey([10] * 20))
    assert not caplog.records


def test_many_classes_and_sites_are_quick() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (400, 300))
    counts[0] = 2000
    names = [f"{i:03d}" for i in range(400)]
    out, _ = choose_sites(counts, counts.sum(1), 0.2, names, 0, least=compute_least_sites(400, 400))
    assert out.sum() >= 3


def test_a_number_and_its_noun() -> None:
    assert [count(n, "clip") for n in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
    assert [count(n, "class") for n in (1, 2)] == ["1 class", "2 classes"]
    assert count(2, "copy", "copies") == "2 copies"
