"""`jungle ensemble pseudo`: the agreement rule, the order of disagreement, and that no label is read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.predictions import ClipPrediction
from jungle.ensemble.agreement import compute_disagreement, vote
from jungle.ensemble.unlabelled import load_unlabelled
from jungle.errors import UsageError
from tests.data.loading import load_csv

CLASSES = ("blank", "hog", "lion")
SURE, HALF, OTHER = (0.02, 0.03, 0.95), (0.25, 0.25, 0.5), (0.9, 0.05, 0.05)
TEST = [f"t{i}.mp4" for i in range(4)]
# What three members say of the test clips: all sure, one unsure, one of another mind, all unsure.
SAID = [[SURE, SURE, SURE, HALF], [SURE, HALF, OTHER, HALF], [SURE, SURE, SURE, HALF]]


def answers(names: list[str], said: list, failed: tuple[str, ...] = ()) -> pl.DataFrame:
    rows = [
        ClipPrediction("failed" if n in failed else "ok", probs=p) for n, p in zip(names, said, strict=True)
    ]
    return predictions.make_table(names, rows, CLASSES)


def clips(lion: int) -> Clips:
    names = ["train.mp4", "val.mp4", *TEST, "u0.mp4", "u1.mp4"]
    table = pl.DataFrame(
        {
            "clip": names,
            "path": [f"/clips/{n}" for n in names],
            "split": ["train", "val", *["test"] * 4, *["unlabelled"] * 2],
            "site": [f"site{i}" for i in range(8)],
            "blank": [0] * 6 + [None] * 2,
            "hog": [1 - lion] * 6 + [None] * 2,
            "lion": [lion] * 6 + [None] * 2,
        }
    )
    return Clips(table, CLASSES)


def run(folder: Path, said: list, lion: int = 1, failed: tuple[str, ...] = ()) -> str:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"model: {{backbone: {folder.name}}}\n")
    clips(lion).write(folder / "clips.parquet")
    predictions.write(answers(["val.mp4"], [SURE]), folder / "predictions_val.parquet")
    # In another order than the clips: rows are matched by name.
    predictions.write(answers(TEST, said, failed)[::-1], folder / "predictions_test.parquet")
    return str(folder)


def runs(root: Path, lion: int = 1, **options) -> str:
    return ",".join(run(root / f"m{i}", said, lion, **options) for i, said in enumerate(SAID))


def pseudo(*args: str) -> int:
    return main(["ensemble", "pseudo", *args])


def test_what_all_are_sure_of_is_taken_and_the_rest_is_asked(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert pseudo(f"members=[{runs(tmp_path)}]", f"out={out}") == 0
    soft = pl.read_parquet(out / "pseudo.parquet")
    assert soft.columns == ["clip", *CLASSES]
    assert soft["clip"].to_list() == ["t0.mp4"]
    np.testing.assert_allclose(soft.select(CLASSES).to_numpy(), [SURE], rtol=1e-6)
    asked = pl.read_csv(out / "to_label.csv")
    assert asked["filepath"].to_list() == ["t2.mp4", "t1.mp4", "t3.mp4"]
    assert asked["disagreement"].is_sorted(descending=True)
    assert asked["disagreement"][2] == 0
    first = asked.row(0, named=True)
    assert first["site"] == "site4"
    assert first["path"] == "/clips/t2.mp4"
    assert first["label"] in (None, "")
    assert [first[f"m{i}: answer"] for i in range(3)] == ["lion", "blank", "lion"]
    assert first["m1: probability"] == pytest.approx(0.9)
    said = capsys.readouterr()
    assert "1 of 4 test clips taken (25.0 %): 3 of 3 members" in said.err
    assert f"soft labels: {out / 'pseudo.parquet'}" in said.out


def test_fewer_may_be_enough_and_the_soft_label_is_the_mean_of_all(tmp_path: Path) -> None:
    members = f"members=[{runs(tmp_path)}]"
    assert pseudo(members, f"out={tmp_path / 'out'}", "agree=2", "worst=1") == 0
    soft = pl.read_parquet(tmp_path / "out" / "pseudo.parquet")
    assert soft["clip"].to_list() == TEST[:3]
    np.testing.assert_allclose(soft.select(CLASSES).to_numpy()[2], np.mean([SURE, OTHER, SURE], 0), rtol=1e-6)
    assert pl.read_csv(tmp_path / "out" / "to_label.csv")["filepath"].to_list() == ["t3.mp4"]
    assert pseudo(members, f"out={tmp_path / 'low'}", "threshold=0.5") == 0
    assert pl.read_parquet(tmp_path / "low" / "pseudo.parquet")["clip"].to_list() == [
        "t0.mp4",
        "t1.mp4",
        "t3.mp4",
    ]


def test_no_label_is_read(tmp_path: Path) -> None:
    made = []
    for lion in (0, 1):
        out = tmp_path / f"out{lion}"
        assert pseudo(f"members=[{runs(tmp_path / str(lion), lion)}]", f"out={out}") == 0
        made.append([(out / name).read_bytes() for name in ("pseudo.parquet", "to_label.csv")])
    assert made[0] == made[1]


def test_the_list_filled_in_is_a_table_of_labels(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pseudo(f"members=[{runs(tmp_path)}]", f"out={out}") == 0
    empty = load_csv(out / "to_label.csv", tmp_path, classes=CLASSES)
    assert not empty.labelled().any()
    lines = (out / "to_label.csv").read_text().splitlines()
    lines[1] = lines[1].replace('t2.mp4,""', "t2.mp4,hog", 1)
    (out / "to_label.csv").write_text("\n".join(lines) + "\n")
    filled = load_csv(out / "to_label.csv", tmp_path, classes=CLASSES)
    assert filled.where(filled.labelled()).table.select("clip", "site", "hog").rows() == [
        ("t2.mp4", "site4", 1)
    ]


def test_labels_of_people_are_not_written_over(tmp_path: Path, capsys) -> None:
    args = [f"members=[{runs(tmp_path)}]", f"out={tmp_path / 'out'}"]
    assert pseudo(*args) == 0
    assert pseudo(*args) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert pseudo(*args, "overwrite=true") == 0


def test_unlabelled_clips_are_predicted_first(tmp_path: Path, capsys) -> None:
    members = runs(tmp_path)
    assert pseudo(f"members=[{members}]", "split=unlabelled", f"out={tmp_path / 'out'}") == 2
    assert "predict.py ckpt=<run>" in capsys.readouterr().err
    for i, p in enumerate((SURE, HALF)):
        # A folder is predicted whole: labelled clips are among them.
        predictions.write(
            answers(["val.mp4", "u1.mp4", "u0.mp4"], [SURE, SURE, p]), tmp_path / f"p{i}/predictions.parquet"
        )
    folders = f"members=[{tmp_path}/p*]"
    assert pseudo(folders, "split=unlabelled", f"out={tmp_path / 'out'}") == 2
    assert "clips=<a training run>" in capsys.readouterr().err
    assert pseudo(folders, "split=unlabelled", f"clips={tmp_path / 'm0'}", f"out={tmp_path / 'out'}") == 0
    assert pl.read_parquet(tmp_path / "out" / "pseudo.parquet")["clip"].to_list() == ["u1.mp4"]
    assert pl.read_csv(tmp_path / "out" / "to_label.csv")["filepath"].to_list() == ["u0.mp4"]


@pytest.mark.parametrize(("split", "fix"), [("unlabelled", "an empty label"), ("test", "the column split")])
def test_a_run_without_such_clips_says_how_to_have_some(split: str, fix: str, tmp_path: Path, capsys) -> None:
    for i in range(2):
        predictions.write(answers(["val.mp4"], [SURE]), tmp_path / f"p{i}/predictions.parquet")
    table = clips(1).table.filter(pl.col("split") != split)
    Clips(table, clips(1).classes).write(tmp_path / "clips.parquet")
    given = [f"members=[{tmp_path}/p*]", f"clips={tmp_path / 'clips.parquet'}", f"split={split}"]
    assert pseudo(*given, f"out={tmp_path / 'out'}") == 2
    said = capsys.readouterr().err
    assert f"has no {split} clips: " in said
    assert fix in said


def test_a_clip_that_a_member_could_not_read_is_left_out(tmp_path: Path) -> None:
    paths = runs(tmp_path, failed=("t0.mp4",)).split(",")
    unlabelled = load_unlabelled(paths, "test")
    assert unlabelled.clips["clip"].to_list() == TEST[1:]
    assert unlabelled.left_out == 1
    np.testing.assert_allclose(unlabelled.probs_MNC[1, 1], OTHER, rtol=1e-6)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["members=[{0}]"], "give two or more, because this compares models"),
        (["members=[{0},{1},{2}]", "agree=1"], "more than half of the 3 members"),
        (["members=[{0},{1}]", "agree=3"], "at most all"),
        (["members=[{0},{1}]", "threshold=1.5"], "threshold"),
        (["members=[{0},{1}]", "split=val"], "test, unlabelled"),
        (["members=[{0},nowhere]"], "nowhere"),
        (["members=[{0},{1}]", "clips=nowhere"], "clips=nowhere"),
    ],
)
def test_what_does_not_go_together_is_one_line(args: list[str], said: str, tmp_path: Path, capsys) -> None:
    paths = runs(tmp_path).split(",")
    assert pseudo(*(a.format(*paths) for a in args), f"out={tmp_path / 'out'}") == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    odd = tmp_path / "odd" / "predictions.parquet"
    predictions.write(answers(TEST, SAID[0]).rename({"hog": "boar"}), odd)
    with pytest.raises(UsageError, match="'odd' and 'm0' differ in the classes boar, hog"):
        load_unlabelled([run(tmp_path / "m0", SAID[0]), str(odd.parent)], "test")


def test_votes_count_where_they_are_sure() -> None:
    probs = np.array([[[0.9, 0.1]], [[0.8, 0.2]], [[0.2, 0.8]]])
    for threshold, least, taken in ((0.8, 2, True), (0.8, 3, False), (0.85, 2, False)):
        top, got = vote(probs, threshold, least)
        assert got.tolist() == [taken]
        assert top.tolist() == [0]


def test_disagreement_is_of_opinions_not_of_doubt() -> None:
    unsure = np.full((3, 1, 2), 0.5)
    apart = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    near = np.array([[[0.9, 0.1]], [[0.7, 0.3]]])
    assert compute_disagreement(unsure, True)[0] == pytest.approx(0, abs=1e-12)
    assert compute_disagreement(apart, True)[0] == pytest.approx(np.log(2))
    assert compute_disagreement(apart, False)[0] == pytest.approx(2 * np.log(2))
    assert 0 < compute_disagreement(near, True)[0] < np.log(2)
