"""Folders of species: each clip in the folder of each class that counts, safe names, and calls that go on."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from jungle.errors import UsageError, UserError
from jungle.export import ExportSettings, Results, folders
from jungle.export.folders import make_safe
from jungle.postprocessing.seen import find_seen
from tests.export.folder import CASES, CLASSES, Case, with_facts


def export(
    root: Path,
    cases: tuple[Case, ...] = CASES,
    links: str = "auto",
    threshold: float = 0.5,
    classes: tuple[str, ...] = CLASSES,
    task: str = "exclusive",
) -> Path:
    for case in cases:
        path = root / "clips" / case.clip
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"content of {case.clip}")
    table = with_facts(cases, root, classes)
    seen = find_seen(table, classes, task=task, threshold=threshold)
    settings = ExportSettings(formats=(), out=root / "out", links=links)  # type: ignore[arg-type]
    (out,) = folders.write(Results(table, classes, task, seen), settings)
    return out


def tree(out: Path) -> dict[str, list[str]]:
    return {f.name: sorted(p.name for p in f.iterdir()) for f in sorted(out.iterdir()) if f.is_dir()}


EXPECTED = {
    "_failed": ["south_bad.mp4"],
    "_unsure": ["south_d.mp4"],
    "blank": ["north_b.mp4", "north_c.mp4"],
    "hog": ["south_a.mp4"],
    "lion": ["north_a.mp4"],
}


@pytest.mark.parametrize("links", ["auto", "symbolic", "hard", "copy"])
def test_every_clip_is_in_the_folder_of_what_it_shows(tmp_path: Path, links: str) -> None:
    out = export(tmp_path, links=links)
    assert tree(out) == EXPECTED
    source, placed = tmp_path / "clips" / "north" / "a.mp4", out / "lion" / "north_a.mp4"
    assert placed.read_text() == "content of north/a.mp4"
    assert placed.is_symlink() == (links in ("auto", "symbolic"))
    assert os.path.samefile(placed, source) == (links != "copy")
    listed = pl.read_csv(out / "clips.csv")
    assert listed.filter(folder="lion").row(0) == ("north/a.mp4", "lion", "north_a.mp4", str(source))
    made = {p: p.lstat().st_ino for p in out.rglob("*.mp4")}
    assert tree(export(tmp_path, links=links)) == EXPECTED
    assert {p: p.lstat().st_ino for p in out.rglob("*.mp4")} == made  # nothing was made twice


def test_a_clip_with_several_species_is_in_several_folders(tmp_path: Path) -> None:
    case = Case("a.mp4", "north", "2024-05-01 10:00:00", (0.1, 0.7, 0.8))
    assert tree(export(tmp_path, (case,), task="multilabel")) == {"hog": ["a.mp4"], "lion": ["a.mp4"]}


def refuse(number: int):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disk_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse(errno.EOPNOTSUPP))
    out = export(tmp_path)
    assert tree(out) == EXPECTED
    assert not (out / "lion" / "north_a.mp4").is_symlink()
    assert (out / "lion" / "north_a.mp4").stat().st_nlink == 1
    with pytest.raises(UserError, match="links=symbolic: this disk does not take them"):
        export(tmp_path, (replace(CASES[0], clip="new.mp4"),), links="symbolic")


def test_a_full_disk_is_not_taken_for_one_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "symlink", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        export(tmp_path)


def test_a_stopped_export_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = folders._place, []

    def stop(*given: object) -> str:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(folders, "_place", stop)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path)
    monkeypatch.setattr(folders, "_place", real)
    assert tree(export(tmp_path)) == EXPECTED


@pytest.mark.parametrize("links", ["symbolic", "hard", "copy"])
def test_other_answers_move_the_clips(tmp_path: Path, links: str) -> None:
    out = export(tmp_path, links=links)
    mine = out / "lion" / "mine.txt"
    mine.write_text("notes")
    export(tmp_path, links=links, threshold=0.85)
    assert tree(out) == {
        "_failed": ["south_bad.mp4"],
        "_unsure": ["north_a.mp4", "north_b.mp4", "south_a.mp4", "south_d.mp4"],
        "blank": ["north_c.mp4"],
        "lion": ["mine.txt"],  # what the user put there stays
    }
    assert all((tmp_path / "clips" / case.clip).exists() for case in CASES)


def test_a_copy_that_was_changed_stays(tmp_path: Path) -> None:
    out = export(tmp_path, links="copy")
    (out / "lion" / "north_a.mp4").write_text("cut by the user")
    export(tmp_path, links="copy", threshold=0.85)
    assert (out / "lion" / "north_a.mp4").read_text() == "cut by the user"


def test_clips_that_lie_there_themselves_are_never_removed(tmp_path: Path) -> None:
    """The folders of an earlier export are predicted, and exported to the same place."""
    clip = tmp_path / "out" / "by_species" / "lion" / "lion_a.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_text("the only one")
    case = Case("lion/a.mp4", "north", "2024-05-01 10:00:00", (0.1, 0.1, 0.8))
    table = with_facts((case,)).with_columns(path=pl.lit(str(clip)))
    seen = find_seen(table, CLASSES, task="exclusive", threshold=0.5)
    with pytest.raises(UserError, match="is there and is not the clip"):
        folders.write(
            Results(table, CLASSES, "exclusive", seen), ExportSettings(formats=(), out=tmp_path / "out")
        )
    none = find_seen(table, CLASSES, task="exclusive", threshold=0.9)
    folders.write(
        Results(table, CLASSES, "exclusive", none), ExportSettings(formats=(), out=tmp_path / "out")
    )
    assert clip.read_text() == "the only one"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b/c.mp4", "a_b_c.mp4"),
        ("../../etc/passwd", "_._.__etc_passwd"),
        ("..", "_"),
        (".hidden.mp4", "_hidden.mp4"),
        ("what? *.mp4", "what_ _.mp4"),
        ("con.mp4", "con.mp4_"),
        ("C:\\clips\\a.mp4", "C__clips_a.mp4"),
        ("a\nb\x1b[2J.mp4", "a_b_[2J.mp4"),
        ("lion. ", "lion"),
        ("Löwe", "Löwe"),
    ],
)
def test_safe_names(text: str, name: str) -> None:
    safe = make_safe(text)
    assert "/" not in safe
    assert safe not in ("", ".", "..")
    if text != "../../etc/passwd":
        assert safe == name


def test_nothing_leaves_the_folder(tmp_path: Path) -> None:
    classes = ("../../up", "/abs", "..", "a/b")
    cases = (
        Case("x/../../../y.mp4".replace("../", "up/"), "north", "2024-05-01 10:00:00", (0.9, 0.8, 0.7, 0.6)),
    )
    before = set(tmp_path.rglob("*"))
    out = export(tmp_path, cases, classes=classes, task="multilabel")
    assert len(tree(out)) == 4
    made = set(tmp_path.rglob("*")) - before - set((tmp_path / "clips").rglob("*"))
    assert all(p.is_relative_to(out) for p in made if p not in (tmp_path / "out", tmp_path / "clips"))


@pytest.mark.parametrize("name", ["by_species", "by_species/lion"])
def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "out" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link or a file, where a folder is to be"):
        export(tmp_path)
    assert list(elsewhere.iterdir()) == []


def test_clips_whose_safe_names_are_one_are_numbered(tmp_path: Path) -> None:
    names = ("a/b.mp4", "a_b.mp4", "A_B.mp4", f"{'x' * 200}/{'y' * 120}.mp4", f"{'x' * 200}/{'y' * 121}.mp4")
    cases = tuple(Case(n, "north", "2024-05-01 10:00:00", (0.1, 0.1, 0.8)) for n in names)
    found = tree(export(tmp_path, cases))["lion"]
    assert {"a_b.mp4", "a_b (2).mp4", "A_B (3).mp4"} <= set(found)
    assert len({n.casefold() for n in found}) == 5
    assert all(len(os.fsencode(n)) <= 255 and n.endswith(".mp4") for n in found)


def test_a_class_of_the_name_of_our_own_folder(tmp_path: Path) -> None:
    classes = ("_unsure", "clips.csv", "hog")
    cases = (
        Case("a.mp4", "north", "2024-05-01 10:00:00", (0.9, 0.05, 0.05)),
        Case("b.mp4", "north", "2024-05-01 10:00:00", (0.05, 0.9, 0.05)),
        Case("c.mp4", "north", "2024-05-01 10:00:00", (0.4, 0.3, 0.3)),
    )
    out = export(tmp_path, cases, classes=classes)
    assert tree(out) == {"_unsure": ["c.mp4"], "_unsure (2)": ["a.mp4"], "clips (2).csv": ["b.mp4"]}


def test_clips_that_are_not_on_disk_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    export(tmp_path)
    (tmp_path / "clips" / "north" / "a.mp4").unlink()
    table = with_facts(CASES, tmp_path)
    seen = find_seen(table, CLASSES, task="exclusive", threshold=0.5)
    settings = ExportSettings(formats=(), out=tmp_path / "other")
    with caplog.at_level("WARNING", "jungle"):
        folders.write(Results(table, CLASSES, "exclusive", seen), settings)
    assert "1 clip is not on disk and in no folder, as north/a.mp4" in caplog.text
    nowhere = Results(with_facts(CASES), CLASSES, "exclusive", seen)
    with pytest.raises(UsageError, match="none of the 6 clips is on disk, as north/"):
        folders.write(nowhere, settings)
