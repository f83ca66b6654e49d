"""What leaks is found, and what does not is not."""

import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data.clips import Clips
from jungle.ensemble.leakage import find_leaks
from jungle.ensemble.members import load_members
from tests.ensemble.ensemble_cases import CLASSES, answers, both, members, run_folder


def whats(paths, contents=None) -> list[str]:
    return [leak.what for leak in find_leaks(load_members(paths), contents)]


def folds(tmp_path, clips: Clips, dealt: dict[str, int], name: str = "net", only=(0, 1)) -> list:
    """Runs of two folds of the val clips of `clips`."""
    made = []
    for k in only:
        split = pl.Series(
            ["test" if c not in dealt else "val" if dealt[c] == k else "train" for c in clips.table["clip"]]
        )
        mine = clips.with_columns(split=split)
        probs = {s: answers(mine.of(s), 2.0, k) for s in ("val", "test")}
        settings = {"model": {"backbone": name}, "data": {"folds": 2, "fold": k}}
        made.append(run_folder(tmp_path / f"{name}{k}", mine, probs, settings=settings))
    return made


def by_site(clips: Clips) -> dict[str, int]:
    val = clips.of("val").table
    return dict(zip(val["clip"], (int(s[-2:]) % 2 for s in val["site"]), strict=True))


def test_clean_members_leak_nothing(tmp_path, capsys) -> None:
    members(tmp_path / "runs", {"a": 1.0, "b": 2.0})
    assert main(["ensemble", "check", f"members={tmp_path / 'runs'}"]) == 0
    assert "nothing leaks: 2 members, 2 runs" in capsys.readouterr().out
    clips = both(60)
    assert whats(folds(tmp_path, clips, by_site(clips))) == []


def test_a_site_on_both_sides_of_a_fold(tmp_path) -> None:
    clips = both(60)
    dealt = {c: i % 2 for i, c in enumerate(clips.of("val").table["clip"])}
    found = whats(folds(tmp_path, clips, dealt))
    assert len(found) == 2
    assert all("in train and in val: " in w for w in found)


def test_members_of_other_validation_clips_are_no_leak_but_cannot_be_joined(tmp_path, capsys) -> None:
    clips = both(60)
    paths = folds(tmp_path, clips, by_site(clips))
    alone = Clips(clips.table.filter(pl.col("clip").str.ends_with("1.mp4")), CLASSES)
    probs = {s: answers(alone.of(s), 1.0, 1) for s in ("val", "test")}
    paths.append(run_folder(tmp_path / "alone", alone, probs))
    given = f"members=[{','.join(map(str, paths))}]"
    assert main(["ensemble", "check", given]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "its validation clips differ from those of net" in said[-2]
    assert "the members' validation clips differ, so they cannot be combined: train all with" in said[-1]
    assert "leak" not in said[-1]
    assert "too good" not in said[-1]
    assert main(["ensemble", "report", given, f"out={tmp_path / 'page.html'}"]) == 2
    assert "or with the same data.folds and data.fold" in capsys.readouterr().err


def test_a_missing_fold_and_other_folds(tmp_path) -> None:
    clips = both(60)
    dealt = by_site(clips)
    paths = folds(tmp_path, clips, dealt)
    other = {c: 1 - k if c.endswith("1.mp4") else k for c, k in dealt.items()}
    moved = folds(tmp_path, Clips(clips.table.drop("site"), CLASSES), other, "second")
    assert "its folds differ from those of net" in whats([*paths, *moved])
    lost = min(dealt)
    few = folds(tmp_path, clips, dealt, "third")
    table = pl.read_parquet(few[dealt[lost]] / "predictions_val.parquet").filter(pl.col("clip") != lost)
    table.write_parquet(few[dealt[lost]] / "predictions_val.parquet")
    assert whats(few) == ["clips are in no validation fold: a fold is missing"]


@pytest.mark.parametrize("copy", [True, False])
def test_copies_are_looked_for_in_an_index(copy: bool, tmp_path, capsys) -> None:
    clips = both(40)
    train = clips.of("val").with_columns(split=pl.Series(["train"] * 40))
    renamed = train.with_columns(clip=pl.Series([f"t{i}.mp4" for i in range(40)]))
    moved = Clips(renamed.table.with_columns(site=pl.lit("x") + pl.col("site")), CLASSES)
    whole = Clips(pl.concat([clips.table, moved.table]), CLASSES)
    path = run_folder(tmp_path / "a", whole, {s: answers(whole.of(s), 1.0, 1) for s in ("val", "test")})
    names = whole.table["clip"].to_list()
    copies = ["t3.mp4" if copy and n in ("t3.mp4", "test_0007.mp4") else None for n in names]
    index = tmp_path / "index.parquet"
    pl.DataFrame({"clip": names, "hash": names, "copy_of": copies}).write_parquet(index)
    out = tmp_path / "leaks.csv"
    code = main(["ensemble", "check", f"members={path}", f"index={index}", f"out={out}"])
    assert code == (1 if copy else 0)
    found = pl.read_csv(out)
    assert len(found) == int(copy)
    if copy:
        assert found["example"].to_list() == ["t3.mp4 = test_0007.mp4"]
        assert "1 leak in 1 member" in capsys.readouterr().err


def test_a_member_trained_on_anothers_test_clips(tmp_path) -> None:
    (first,) = members(tmp_path, {"a": 1.0})
    clips = both()
    swapped = clips.with_columns(split=clips.splits().replace({"val": "val", "test": "train"}))
    second = run_folder(tmp_path / "b", swapped, {"val": answers(swapped.of("val"), 1.0, 1)})
    assert "it was trained on test clips of another member" in whats([first, second])
