"""Classes renamed and merged by `data.rename`."""

import logging
from pathlib import Path

import pytest

from jungle.data.formats import LabelSource, load_labels
from jungle.errors import UserError

LONG = "filepath,label\na.mp4,hog\nb.mp4,wild boar\nc.mp4,deer\na.mp4,wild boar\nd.mp4,boar\ne.mp4,\n"


def read(tmp_path: Path, text: str, rename, **settings):
    (tmp_path / "labels.csv").write_text(text)
    return load_labels("csv", LabelSource(labels=tmp_path / "labels.csv", rename=rename, **settings))


def rows(clips) -> dict:
    return {r["clip"]: tuple(r[c] for c in clips.classes) for r in clips.table.iter_rows(named=True)}


def test_classes_are_renamed_and_merged_and_clips_counted(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    clips = read(tmp_path, LONG, {"hog": "boar", "wild boar": "boar", "deer": "antlers"})
    assert clips.classes == ("antlers", "boar")
    assert rows(clips) == {
        "a.mp4": (0, 1),
        "b.mp4": (0, 1),
        "c.mp4": (1, 0),
        "d.mp4": (0, 1),
        "e.mp4": (None, None),
    }
    assert (
        "data.rename: boar (1 clip), hog (1 clip) and wild boar (2 clips) are boar (3 clips)" in caplog.text
    )
    assert "data.rename: deer (1 clip) is antlers (1 clip)" in caplog.text


@pytest.mark.parametrize(
    ("hog", "pig", "boar"),
    [
        ("1", "", "1"),
        ("", "1", "1"),
        ("0", "", ""),
        ("", "", ""),
        ("0", "0", "0"),
        ("1", "0", "1"),
        ("1", "1", "1"),
    ],
)
def test_a_merged_class_is_unknown_where_none_is_seen_and_one_is_unknown(tmp_path, hog, pig, boar) -> None:
    text = f"filepath,hog,pig,deer\na.mp4,{hog},{pig},1\nb.mp4,0,1,0\n"
    clips = read(tmp_path, text, {"hog": "boar", "pig": "boar"})
    assert clips.classes == ("boar", "deer")
    assert rows(clips)["a.mp4"] == (int(boar) if boar else None, 1)


def test_pairs_apply_at_once(tmp_path) -> None:
    clips = read(tmp_path, "filepath,label\na.mp4,x\nb.mp4,y\n", {"x": "y", "y": "x"})
    assert rows(clips) == {"a.mp4": (0, 1), "b.mp4": (1, 0)}


def test_a_table_has_the_pairs(tmp_path) -> None:
    names = tmp_path / "names.csv"
    for text in (
        "old,new,note\nhog,boar,x\nwild boar,boar,y\n",
        "Old name;New name\nhog;boar\nwild boar;boar\n",
    ):
        names.write_text(text)
        assert read(tmp_path, LONG, names).classes == ("boar", "deer")
    names.write_text("hog,boar\nwild boar,boar\n")  # no header: its first line names a class
    assert read(tmp_path, LONG, names).classes == ("boar", "deer")
    assert read(tmp_path, LONG, names, classes=["deer", "boar"]).classes == ("deer", "boar")
    names.write_text("hgo,boar\nwild boar,boar\n")
    with pytest.raises(UserError, match=r"names.csv: its columns are hgo and boar.*write old,new above them"):
        read(tmp_path, LONG, names)
    names.write_text("a,b,c\nhog,boar,x\n")
    with pytest.raises(UserError, match=r"names.csv: its columns are a, b, c: name two of them old and new"):
        read(tmp_path, LONG, names)
    names.write_text("old,new\nhog,boar\nhog,pig\nwild boar,\n")
    with pytest.raises(UserError) as e:
        read(tmp_path, LONG, names)
    assert "1 pair of data.rename has an empty name: wild boar (line 4)" in str(e.value)
    assert "1 name that data.rename changes has two new ones: hog is boar and pig (line 3)" in str(e.value)


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (
            {"hgo": "boar"},
            "1 name that data.rename changes is no class of the labels: hgo. Correct or remove",
        ),
        ({"hgo": "boar"}, "Nearest: hog."),
        ({"hog": "Boar"}, "is written in another way than a class: boar = Boar"),
        (
            {"hog": "path"},
            "1 name that data.rename gives cannot be those of a class: path, which is a column",
        ),
        ({"hog": " "}, "1 pair of data.rename has an empty name: hog"),
        ({"hog": "a", "Hog": "b"}, "the class hog becomes a and b: keep one"),
    ],
)
def test_a_name_that_is_wrong_is_told_with_the_nearest(tmp_path, rename, said) -> None:
    with pytest.raises(UserError) as e:
        read(tmp_path, LONG, rename)
    assert said in str(e.value)


def test_an_old_name_in_another_case_is_found_and_told(tmp_path, caplog) -> None:
    assert read(tmp_path, LONG, {"Hog": "boar"}).classes == ("boar", "deer", "wild boar")
    assert "old names that the labels write in another way: Hog is hog" in caplog.text


def test_classes_of_the_settings_are_the_new_ones(tmp_path) -> None:
    clips = read(tmp_path, LONG, {"hog": "boar", "wild boar": "boar"}, classes=["deer", "boar"])
    assert clips.classes == ("deer", "boar")
    assert rows(clips)["a.mp4"] == (0, 1)
    wide = "filepath,hog,wild boar,deer,other\na.mp4,1,0,0,1\nb.mp4,0,0,1,0\n"
    clips = read(tmp_path, wide, {"hog": "boar", "wild boar": "boar"}, classes=["deer", "boar"])
    assert clips.classes == ("deer", "boar")
    assert rows(clips) == {"a.mp4": (0, 1), "b.mp4": (1, 0)}
    with pytest.raises(
        UserError, match=r"1 name that data.rename gives is not in data.classes: baor.*Nearest: boar"
    ):
        read(tmp_path, LONG, {"hog": "baor"}, classes=["deer", "boar", "hog", "wild boar"])
    with pytest.raises(UserError, match=r"data.rename changes is no class of the labels: pig"):
        read(tmp_path, LONG, {"hog": "boar", "wild boar": "boar", "pig": "boar"}, classes=["deer", "boar"])
    with pytest.raises(UserError, match=r"1 class of data.classes is in no label after data.rename: fox"):
        read(tmp_path, wide, {"hog": "boar", "x": "fox"}, classes=["deer", "boar", "wild boar", "fox"])


def test_folders_are_renamed_as_tables_are(tmp_path) -> None:
    for name in ("hog/a.mp4", "pig/b.mp4", "deer/c.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    rename = {"hog": "boar", "pig": "boar"}
    assert load_labels("folders", LabelSource(root=tmp_path, rename=rename)).classes == ("boar", "deer")
    clips = load_labels("folders", LabelSource(root=tmp_path, rename=rename, classes=["deer", "boar"]))
    assert rows(clips) == {"hog/a.mp4": (0, 1), "pig/b.mp4": (0, 1), "deer/c.mp4": (1, 0)}
