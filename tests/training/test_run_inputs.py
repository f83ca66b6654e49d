"""A run is resumed only where what it learns from is what it was: labels, splits, sites, clips, files."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from jungle.config import TrainConfig
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.training.run_inputs import Comparison, RunInputs, gather_current
from tests.conftest import ROOT, SMALL_BACKBONE, Command, survey_args, write_video

LABELS = {"a/0.mp4": "hog", "a/1.mp4": "blank", "b/0.mp4": "lion", "b/1.mp4": "blank", "c/0.mp4": "hog"}


def config(*args: str) -> TrainConfig:
    from jungle.config.compose import compose

    return compose("train", list(args), ROOT / "configs")


def write_labels(root: Path, labels: dict[str, str], heading: str = "filepath,label,site") -> None:
    lines = [f"{clip},{label},{clip.split('/')[0]}" for clip, label in labels.items()]
    (root / "labels.csv").write_text("\n".join([heading, *lines]) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for i, clip in enumerate(LABELS):
        write_video(root / clip, None, i, frames=3)
    write_labels(root, LABELS)
    return root


@pytest.fixture
def cfg(data: Path) -> TrainConfig:
    return config(
        "data=csv", f"data.root={data}", f"data.labels={data / 'labels.csv'}", "data.val_fraction=0.4"
    )


def change_label(root: Path) -> None:
    write_labels(root, {**LABELS, "b/1.mp4": "hog"})


def rename_class(root: Path) -> None:
    write_labels(root, {c: {"hog": "boar"}.get(v, v) for c, v in LABELS.items()})


def take_label_away(root: Path) -> None:
    write_labels(root, {**LABELS, "b/1.mp4": ""})


def remove_row(root: Path) -> None:
    write_labels(root, {c: v for c, v in LABELS.items() if c != "b/1.mp4"})


def add_row(root: Path) -> None:
    write_video(root / "c/9.mp4", None, 9, frames=3)
    write_labels(root, {**LABELS, "c/9.mp4": "blank"})


def sort_rows(root: Path) -> None:
    write_labels(root, dict(reversed(LABELS.items())))


def move_sites(root: Path) -> None:
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(text.replace("b/1.mp4,blank,b", "b/1.mp4,blank,c"))


def replace_clip(root: Path) -> None:
    write_video(root / "b/1.mp4", None, 77, frames=3)


def replace_clip_backdated(root: Path) -> None:
    """As a copy does that keeps times; even the size is the same."""
    before, old = (root / "b/1.mp4").read_bytes(), (root / "b/1.mp4").stat()
    changed = bytearray(before)
    changed[len(before) // 2] ^= 1
    (root / "b/1.mp4").write_bytes(changed)
    os.utime(root / "b/1.mp4", ns=(old.st_atime_ns, old.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_label, "labels of clips changed: 1 (b/1.mp4: blank, now hog)"),
        (rename_class, "classes differ (hog gone; boar new)"),
        (take_label_away, "labels of clips changed: 1 (b/1.mp4: blank, now none)"),
        (remove_row, "clips were removed: 1 (b/1.mp4)"),
        (add_row, "clips were added: 1 (c/9.mp4)"),
        (sort_rows, "clips stand in another order"),
        (move_sites, "sites of clips changed: 1 (b/1.mp4)"),
        (replace_clip, "files of clips were replaced: 1 (b/1.mp4)"),
        (replace_clip_backdated, "files of clips were replaced: 1 (b/1.mp4)"),
    ],
)
def test_what_changed_is_said(
    cfg: TrainConfig, data: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    run = tmp_path / "run"
    before = gather_current(cfg)
    before.save(run)
    assert Comparison(cfg).changes_in(run) == []
    change(data)
    assert said in Comparison(cfg).changes_in(run)
    assert gather_current(cfg).digest != before.digest


def test_small_copies_whose_sizes_are_seen_are_inputs(cfg: TrainConfig, data: Path, tmp_path: Path) -> None:
    run, copies = tmp_path / "run", tmp_path / "copies"
    copies.mkdir()
    for clip in LABELS:
        (copies / Path(clip).name).write_bytes(b"small")
    words = ["data=csv", f"data.root={data}", f"data.labels={data / 'labels.csv'}", "data.val_fraction=0.4"]
    seeing = config(*words, "data.metadata=index", f"data.micro={copies}")
    gather_current(seeing).save(run)
    assert Comparison(seeing).changes_in(run) == []
    (copies / "1.mp4").write_bytes(b"other")  # of the same size
    assert Comparison(seeing).changes_in(run) == []
    (copies / "1.mp4").write_bytes(b"larger")
    assert Comparison(seeing).changes_in(run) == ["the folder of data.micro has other content"]


def test_a_damaged_clip_that_was_written_since_is_another(
    cfg: TrainConfig, data: Path, tmp_path: Path
) -> None:
    run, clip = tmp_path / "run", data / "b/1.mp4"
    before = gather_current(cfg)
    before.save(run)
    number = before.clips.table["clip"].to_list().index("b/1.mp4")
    before.note_damaged(run, {number})
    assert Comparison(cfg).changes_in(run) == []
    os.utime(clip, (1, 1))
    said = ["files of clips that could not be read in full were written since: 1 (b/1.mp4)"]
    assert Comparison(cfg).changes_in(run) == said
    again = gather_current(cfg, RunInputs.load(run))
    assert again.files is not None
    assert again.files["damaged"].sum() == 0  # not yet known of the file as it is now
    again.save(run)
    again.note_damaged(run, {number})
    resumed = gather_current(cfg, RunInputs.load(run))
    resumed.note_damaged(run, {number + 1})  # what was noted before it was resumed stays
    kept = gather_current(cfg, RunInputs.load(run)).files
    assert kept is not None
    assert kept["damaged"].to_list() == [number <= n <= number + 1 for n in range(len(kept))]
    resumed.save(run)
    kept = gather_current(cfg, RunInputs.load(run)).files
    assert kept is not None
    assert kept["damaged"].to_list() == [n == number for n in range(len(kept))]
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data, elsewhere)
    os.utime(elsewhere / "b/1.mp4", (2, 2))
    moved = config(
        "data=csv",
        f"data.root={elsewhere}",
        f"data.labels={elsewhere / 'labels.csv'}",
        "data.val_fraction=0.4",
    )
    assert Comparison(moved).changes_in(run) == []  # a copy has its own time, and need not be repaired


def test_a_run_of_an_earlier_version_does_not_tell_what_was_damaged(
    cfg: TrainConfig, data: Path, tmp_path: Path
) -> None:
    before = gather_current(cfg)
    before.save(tmp_path)
    assert before.files is not None
    before.files.drop("damaged").write_parquet(tmp_path / "clip_files.parquet")
    os.utime(data / "b/1.mp4", (1, 1))
    assert Comparison(cfg).changes_in(tmp_path) == []


def test_touching_or_moving_files_changes_nothing(cfg: TrainConfig, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = gather_current(cfg)
    before.save(run)
    for clip in LABELS:
        os.utime(data / clip, (1, 1))
    (data / "labels.csv").write_text((data / "labels.csv").read_text() + "\n\n")
    assert Comparison(cfg).changes_in(run) == []
    assert gather_current(cfg).digest == before.digest
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data, elsewhere)
    moved = config(
        "data=csv",
        f"data.root={elsewhere}",
        f"data.labels={elsewhere / 'labels.csv'}",
        "data.val_fraction=0.4",
    )
    assert Comparison(moved).changes_in(run) == []


@pytest.mark.parametrize("setting", ["data.pseudo", "model.weights", "model.warm_start", "data.metadata"])
def test_a_file_that_a_setting_names(cfg: TrainConfig, tmp_path: Path, setting: str) -> None:
    file, run = tmp_path / "named.bin", tmp_path / "run"
    file.write_bytes(b"one")
    group, key = setting.split(".")
    named = cfg.model_copy(update={group: getattr(cfg, group).model_copy(update={key: file})})
    gather_current(named).save(run)
    assert Comparison(named).changes_in(run) == []
    file.write_bytes(b"two")
    assert Comparison(named).changes_in(run) == [f"{setting} has other content"]


def test_a_run_of_version_0_1_kept_its_clips_alone(cfg: TrainConfig, data: Path, tmp_path: Path) -> None:
    gather_current(cfg).clips.write(tmp_path / "clips.parquet")
    loaded = RunInputs.load(tmp_path)
    assert loaded is not None
    assert loaded.files is None
    replace_clip(data)
    assert Comparison(cfg).changes_in(tmp_path) == []
    change_label(data)
    assert "labels of clips changed: 1 (b/1.mp4: blank, now hog)" in Comparison(cfg).changes_in(tmp_path)


def test_a_change_of_any_table_of_several_is_noticed(data: Path, tmp_path: Path) -> None:
    tables = [data / name for name in ("labels.csv", "corrections.csv", "names.csv")]
    tables[1].write_text("filepath,label\na/0.mp4,lion\n")
    tables[2].write_text("old,new\nhog,boar\n")
    labels = f"data.labels=[{tables[0]},{tables[1]}]"
    cfg = config("data=csv", f"data.root={data}", labels, f"data.rename={tables[2]}", "data.val_fraction=0.4")
    gather_current(cfg).save(tmp_path)
    assert Comparison(cfg).changes_in(tmp_path) == []
    for table, text, said in (
        (
            tables[1],
            "filepath,label\na/0.mp4,blank\n",
            "labels of clips changed: 1 (a/0.mp4: lion, now blank)",
        ),
        (tables[2], "old,new\nhog,pig\n", "classes differ (boar gone; pig new)"),
    ):
        before = table.read_text()
        table.write_text(text)
        assert said in Comparison(cfg).changes_in(tmp_path)
        table.write_text(before)
    assert Comparison(cfg).changes_in(tmp_path) == []


def test_a_run_that_never_came_to_training_has_nothing_to_change(cfg: TrainConfig, tmp_path: Path) -> None:
    assert Comparison(cfg).changes_in(tmp_path) == []


def test_damaged_notes_are_no_reason_to_resume(cfg: TrainConfig, tmp_path: Path) -> None:
    gather_current(cfg).save(tmp_path)
    (tmp_path / "clip_files.parquet").write_bytes(b"PAR1 nothing PAR1")
    [said] = Comparison(cfg).changes_in(tmp_path)
    assert "damaged" in said


def unfinished(run: Path) -> None:
    """Make a run what a stop leaves."""
    known = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**known, "state": "running"}))


def latest(root: Path) -> Path:
    return (root / "train" / "latest").resolve()


def test_corrected_labels_are_learnt_in_a_new_run(survey: Path, command: Command, tmp_path: Path) -> None:
    labels, right = tmp_path / "labels.csv", (survey / "labels.csv").read_text()
    labels.write_text(right.replace(",hog,", ",boar,"))
    args = [a for a in survey_args(survey) if not a.startswith(("data.labels", "trainer.max"))]
    args += [f"data.labels={labels}", "trainer.max_epochs=1", *SMALL_BACKBONE]
    first = command("train", *args)
    assert first.returncode == 0, first.stderr[-2000:]
    old = latest(tmp_path / "runs")
    unfinished(old)
    kept = (old / "checkpoints/best.ckpt").read_bytes()
    labels.write_text(right)
    refused = command("train", f"resume={old}")
    assert refused.returncode == 2
    assert "classes differ (boar gone; hog new)" in refused.stderr
    second = command("train", *args)
    assert second.returncode == 0, second.stderr[-2000:]
    assert (
        f"{old.name} is not resumed, its inputs changed: classes differ (boar gone; hog new)" in second.stderr
    )
    new = latest(tmp_path / "runs")
    assert new != old
    assert (old / "checkpoints/best.ckpt").read_bytes() == kept
    saved = torch.load(new / "checkpoints/best.ckpt", weights_only=True)
    assert "hog" in saved["jungle"]["classes"]
    assert "boar" not in saved["jungle"]["classes"]
    assert "hog" in predictions.get_classes(predictions.read(new / "predictions_val.parquet"))
    unfinished(new)  # nothing changed since: it is resumed
    third = command("train", *args)
    assert third.returncode == 0, third.stderr[-2000:]
    assert f"going on with the unfinished run in {new}" in third.stderr


def test_a_folder_named_by_hand_refuses_other_labels(survey: Path, command: Command, tmp_path: Path) -> None:
    labels, right = tmp_path / "labels.csv", (survey / "labels.csv").read_text()
    labels.write_text(right)
    args = [a for a in survey_args(survey) if not a.startswith(("data.labels", "trainer.max"))]
    args += [f"data.labels={labels}", "trainer.max_epochs=1", *SMALL_BACKBONE, "hydra.run.dir=mine"]
    assert command("train", *args).returncode == 0
    labels.write_text(right.replace("hog_02.mp4,hog", "hog_02.mp4,lion"))
    for state in ("finished", "running"):
        if state == "running":
            unfinished(tmp_path / "mine")
        done = command("train", *args)
        assert done.returncode == 2, done.stderr[-2000:]
        assert "labels of clips changed: 1 (clips/hog_02.mp4: hog, now lion)" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_sweep_does_not_keep_trials_of_other_labels(survey: Path, command: Command, tmp_path: Path) -> None:
    labels, right = tmp_path / "labels.csv", (survey / "labels.csv").read_text()
    labels.write_text(right)
    args = [a for a in survey_args(survey) if not a.startswith(("data.labels", "trainer.max"))]
    args += [f"data.labels={labels}", "trainer.max_epochs=1", *SMALL_BACKBONE, "-m", "head=mean,max"]
    assert command("train", *args).returncode == 0
    [old] = (tmp_path / "runs/sweep").glob("2*")
    unfinished(old)
    labels.write_text(right.replace("hog_02.mp4,hog", "hog_02.mp4,lion"))
    again = command("train", *args)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "is not resumed, its inputs changed: labels of clips changed: 1" in again.stderr
    [new] = [f for f in (tmp_path / "runs/sweep").glob("2*") if f != old]
    table = Clips.read(new / "0/clips.parquet").table
    assert table.filter(pl.col("clip") == "clips/hog_02.mp4")["lion"].to_list() == [1]


@pytest.mark.parametrize("lost", ["clips.parquet", "clip_files.parquet", "inputs.json"])
def test_a_run_that_lacks_a_part_of_its_notes_is_not_resumed(
    cfg: TrainConfig, tmp_path: Path, lost: str
) -> None:
    gather_current(cfg).save(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    assert Comparison(cfg).changes_in(tmp_path) == []
    (tmp_path / lost).unlink()
    [said] = Comparison(cfg).changes_in(tmp_path)
    assert lost in said


def test_checkpoints_of_unknown_settings_are_not_taken_up(
    survey: Path, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine/checkpoints").mkdir(parents=True)
    (tmp_path / "mine/checkpoints/last.ckpt").write_bytes(b"of another run")
    (tmp_path / "mine/run.json").write_text("")
    done = command("train", *survey_args(survey), "hydra.run.dir=mine")
    assert done.returncode == 2, done.stderr[-2000:]
    assert "mine has checkpoints, but no run.json that says of which settings" in done.stderr
    assert (tmp_path / "mine/checkpoints/last.ckpt").read_bytes() == b"of another run"
