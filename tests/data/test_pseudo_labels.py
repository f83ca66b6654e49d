"""Soft labels: who may have them, what of a stranger's table is refused, and that they reach the loss."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data import predictions, pseudo_labels
from jungle.data.clips import Clips
from jungle.data.datamodule import ClipData
from jungle.data.loader import Sample
from jungle.data.predictions import ClipPrediction
from jungle.data.samplers import Mix
from jungle.errors import UserError
from jungle.models.losses import loss

CLASSES = ("blank", "lion")
SPLITS = ["train"] * 22 + ["val"] * 4 + ["test"] * 6 + ["unlabelled"] * 8


def clips(test_label: int = 0) -> Clips:
    split = pl.Series(SPLITS)
    lion = [None if s == "unlabelled" else test_label if s == "test" else i % 2 for i, s in enumerate(SPLITS)]
    table = pl.DataFrame({"clip": [f"c{i:02d}.mp4" for i in range(len(SPLITS))], "split": split})
    table = table.with_columns(pl.col("clip").alias("path"), pl.Series("lion", lion, dtype=pl.Int8))
    return Clips(table.with_columns((1 - pl.col("lion")).alias("blank")), CLASSES)


def table(names: list[str], lion: float = 0.75, **columns: list) -> pl.DataFrame:
    return pl.DataFrame(
        {"clip": names, "blank": [1 - lion] * len(names), "lion": [lion] * len(names), **columns}
    )


FREE = [f"c{i}.mp4" for i in range(26, 40)]


def read(made: pl.DataFrame, tmp_path: Path, task: str = "multilabel", **options) -> pseudo_labels.SoftLabels:
    file = tmp_path / "pseudo.parquet"
    made.write_parquet(file)
    return pseudo_labels.read(file, clips(), task, **options)


def data(soft: pseudo_labels.SoftLabels | None, share: float = 0.3125, test_label: int = 0) -> ClipData:
    def read_clips(numbers, epoch, draws):
        for n in map(int, numbers):
            yield n, Sample(np.full((1, 4), n, np.float16), np.zeros(1, np.float32))

    more = None if soft is None else (soft, share)
    table = clips(test_label)
    return ClipData(table, read_train=read_clips, read_eval=read_clips, key="x_BTD", batch_size=16, soft=more)


def test_unlabelled_and_test_clips_take_soft_labels_in_any_order(tmp_path: Path) -> None:
    made = table(["c39.mp4", "c26.mp4"], weight=[0.5, 2.0])
    for file in (tmp_path / "p.csv", tmp_path / "p.parquet"):
        made.write_csv(file) if file.suffix == ".csv" else made.write_parquet(file)
        soft = pseudo_labels.read(file, clips(), "exclusive", weight=3.0)
        assert soft.numbers.tolist() == [39, 26]
        assert soft.probs_PC.tolist() == [[0.25, 0.75]] * 2
        assert soft.weight_P.tolist() == [1.5, 6.0]


def test_a_predictions_table_is_one_without_its_failures(tmp_path: Path) -> None:
    read = ClipPrediction(probs=np.array([0.1, 0.9]), times=np.array([0.5]))
    rows = [read, ClipPrediction("failed", "broken", np.array([0.5, 0.5]))]
    for name in ("p.parquet", "p.csv"):
        predictions.write(predictions.make_table(["c30.mp4", "c31.mp4"], rows, CLASSES), tmp_path / name)
        soft = pseudo_labels.read(tmp_path / name, clips(), "exclusive")
        assert soft.numbers.tolist() == [30]
        np.testing.assert_allclose(soft.probs_PC, [[0.1, 0.9]], rtol=1e-5)


def test_labels_of_people_win(tmp_path: Path) -> None:
    assert read(table(["c00.mp4", "c27.mp4"]), tmp_path).numbers.tolist() == [27]
    with pytest.raises(UserError, match="None of its 2 clips"):
        read(table(["c00.mp4", "c01.mp4"]), tmp_path)


def test_val_clips_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 clip is of the val split.*c23\.mp4"):
        read(table(["c23.mp4", "c27.mp4"]), tmp_path)


HOSTILE = {
    "no clip": (table(FREE).drop("clip"), "No column clip"),
    "unknown class": (table(FREE).with_columns(lino=0.0), r"1 column names no class: lino.*Nearest: lion"),
    "a class less": (table(FREE).drop("blank"), "1 class has no column: blank"),
    "unknown clip": (table(["c27.mp4", "c99.mp4"]), r"1 clip is unknown: c99\.mp4"),
    "no name": (table(["c27.mp4"]).with_columns(clip=pl.lit(None, pl.String)), "1 clip is unknown"),
    "twice": (table(["c27.mp4"] * 2), r"more than one row: c27\.mp4"),
    "above 1": (table(FREE, lion=1.5), r"14 clips have a probability outside 0 to 1: c26\.mp4"),
    "nan": (table(FREE, lion=float("nan")), "14 clips have a probability"),
    "text": (table(["c27.mp4"]).with_columns(lion=pl.lit("yes")), "1 clip has a probability"),
    "empty": (table(["c27.mp4"]).with_columns(lion=pl.lit(None, pl.Float64)), "1 clip has a probability"),
    "list": (table(["c27.mp4"]).with_columns(lion=pl.lit([0.5])), "1 clip has a probability"),
    "truth": (table(["c27.mp4"]).with_columns(lion=pl.lit(True)), "1 clip has a probability"),
    "date": (table(["c27.mp4"]).with_columns(lion=pl.date(1970, 1, 1)), "1 clip has a probability"),
    "number for a status": (table(["c99.mp4"], status=[1]), "1 clip is unknown"),
    "number for a name": (table(["c27.mp4"]).with_columns(clip=pl.lit(27)), "1 clip is unknown: 27"),
    "weight": (table(["c27.mp4"], weight=[-1.0]), "1 clip has a weight"),
    "no rows": (table([]), "None of its 0 clips"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_table_is_one_message(name: str, tmp_path: Path) -> None:
    made, said = HOSTILE[name]
    with pytest.raises(UserError, match=said):
        read(made, tmp_path)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    made = table(["c23.mp4", "c99.mp4", "c27.mp4"], lion=-1).with_columns(lino=0.0)
    with pytest.raises(UserError, match="4 kinds of problems"):
        read(made, tmp_path)


def test_exclusive_probabilities_add_up(tmp_path: Path) -> None:
    off = table(["c27.mp4"]).with_columns(blank=pl.lit(0.75))
    assert len(read(off, tmp_path)) == 1
    with pytest.raises(UserError, match="do not add up to 1"):
        read(off, tmp_path, "exclusive")
    clipped = table(["c27.mp4", "c28.mp4"]).with_columns(lion=pl.lit(0.95), blank=pl.Series([0.01, 0.05]))
    soft = read(clipped, tmp_path, "exclusive")  # as calibration=clip leaves them
    np.testing.assert_allclose(soft.probs_PC, [[0.01 / 0.96, 0.95 / 0.96], [0.05, 0.95]], rtol=1e-6)
    assert read(clipped, tmp_path).probs_PC[0].tolist() == pytest.approx([0.01, 0.95])


def test_a_part_of_the_data_set_leaves_the_others_out(tmp_path: Path) -> None:
    assert read(table(["c27.mp4", "c99.mp4"]), tmp_path, partial=True).numbers.tolist() == [27]


def test_what_a_test_clips_label_says_changes_nothing(tmp_path: Path) -> None:
    table(FREE).write_parquet(tmp_path / "p.parquet")
    seen = []
    for label in (0, 1):
        soft = pseudo_labels.read(tmp_path / "p.parquet", clips(label), "exclusive")
        batches = list(data(soft, test_label=label).loader("train", train=True))
        seen.append(
            [(b["number_B"].tolist(), b["targets_BC"].tolist(), b["weight_B"].tolist()) for b in batches]
        )
    assert seen[0] == seen[1]


def test_soft_targets_reach_the_batch_and_the_loss(tmp_path: Path) -> None:
    made = data(read(table(FREE, lion=0.8), tmp_path, weight=0.5))
    for batch in made.loader("train", train=True):
        soft = batch["number_B"] >= 26
        assert soft.any()
        assert torch.equal(batch["targets_BC"][soft], torch.tensor([0.2, 0.8]).expand(int(soft.sum()), 2))
        assert set(batch["weight_B"][soft].tolist()) == {0.5}
        assert set(batch["targets_BC"][~soft].unique().tolist()) == {0.0, 1.0}
        assert set(batch["weight_B"][~soft].tolist()) == {1.0}
    evaluated = [b for split in ("val", "test") for b in made.loader(split)]
    assert {v for b in evaluated for v in b["targets_BC"].unique().tolist()} == {0.0, 1.0}


@pytest.mark.parametrize("task", ["multilabel", "exclusive"])
def test_a_soft_target_is_what_the_loss_is_least_at(task: str) -> None:
    target = torch.tensor([[0.2, 0.8]])
    logits = (torch.logit(target) if task == "multilabel" else target.log()).requires_grad_()
    loss(logits, target, torch.ones(1), task).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("size", "share", "soft"),
    [(64, 0.3125, {20}), (48, 0.3333, {16}), (48, 0.25, {12}), (16, 0.3125, {5}), (8, 0.3125, {2, 3})],
)
@pytest.mark.parametrize("world", [1, 3])
def test_every_batch_has_its_share_and_an_epoch_is_a_pass_over_the_labelled(
    size: int, share: float, soft: set[int], world: int
) -> None:
    labelled, others = np.arange(960), np.arange(1000, 1100)
    mix = Mix(others, share)
    orders = [mix(labelled[r::world], np.random.default_rng(0), r, world) for r in range(world)]
    assert len({len(o) for o in orders}) == 1
    for order in orders:
        whole = order[: len(order) // size * size].reshape(-1, size)
        assert set((whole >= 1000).sum(1).tolist()) == soft
    every = np.concatenate(orders)
    assert sorted(every[every < 1000]) == labelled.tolist()
    often = np.bincount(every[every >= 1000] - 1000, minlength=100)
    assert np.ptp(often) <= 1
    assert (every >= 1000).mean() == pytest.approx(share, abs=0.005)


def test_an_epoch_that_was_cut_off_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    soft = read(table(FREE), tmp_path)

    def numbers(start: int, epoch: int = 0) -> list[list[int]]:
        loader = data(soft).loader("train", train=True)
        loader.start_now, loader.epoch_now = (lambda: start), (lambda: epoch)
        return [b["number_B"].tolist() for b in loader]

    whole = numbers(0)
    assert len(whole) == 2  # 22 labelled clips and 9 or 10 others
    assert numbers(1) == whole[1:]
    assert numbers(0, epoch=1) != whole


def test_a_clip_that_cannot_be_read_is_not_drawn(tmp_path: Path) -> None:
    made = data(read(table(FREE), tmp_path))
    made.left_out.add(26)
    assert 26 not in made.soft_numbers
    assert all(26 not in b["number_B"].tolist() for b in made.loader("train", train=True))


def test_without_soft_labels_nothing_changes() -> None:
    numbers = [n for b in data(None).loader("train", train=True) for n in b["number_B"].tolist()]
    assert sorted(numbers) == list(range(22))


def test_names_and_classes_of_another_case_are_found_and_said(tmp_path: Path, caplog) -> None:
    made = table(FREE)
    there = made["clip"].to_list()
    other = made.with_columns(clip=pl.col("clip").str.to_uppercase()).rename({"lion": "LION"})
    soft = read(other, tmp_path)
    assert soft.numbers.tolist() == read(made, tmp_path).numbers.tolist()
    assert f"{len(there)} names differ from the clip's by case, accents or suffix" in caplog.text
    assert "column 'LION' is the class 'lion'" in caplog.text
