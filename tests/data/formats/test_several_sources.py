"""Several tables of labels, and several folders of clips, read as one."""

import logging
from pathlib import Path

import pytest

from jungle.data.formats import LabelSource, load_labels
from jungle.data.validation_report import Problems
from jungle.errors import UserError


def read(tmp_path: Path, tables: dict[str, str], kind: str = "csv", **settings):
    paths = []
    for name, text in tables.items():
        paths.append(tmp_path / name)
        paths[-1].parent.mkdir(exist_ok=True, parents=True)
        paths[-1].write_text(text)
    return load_labels(kind, LabelSource(**{"root": tmp_path, "labels": paths, **settings}))


def rows(clips) -> dict:
    return {r["clip"]: tuple(r[c] for c in clips.classes) for r in clips.table.iter_rows(named=True)}


def test_the_last_table_that_answers_for_a_clip_counts_and_changes_are_told(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    clips = read(
        tmp_path,
        {
            "old.csv": "filepath,label,site\na.mp4,hog,s1\nb.mp4,deer,s1\nc.mp4,deer,s2\n"
            "d.mp4,,s2\ne.mp4,hog,s2\n",
            "corrections.csv": "filepath,label,split\na.mp4,deer,\nb.mp4,deer,\nc.mp4,,\nd.mp4,fox,\n"
            "f.mp4,fox,val\n",
        },
    )
    assert clips.classes == ("deer", "fox", "hog")
    assert rows(clips) == {
        "a.mp4": (1, 0, 0),
        "b.mp4": (1, 0, 0),
        "c.mp4": (1, 0, 0),  # no label there: the earlier one stays
        "d.mp4": (0, 1, 0),
        "e.mp4": (0, 0, 1),
        "f.mp4": (0, 1, 0),
    }
    assert clips.table["site"].to_list() == ["s1", "s1", "s2", "s2", "s2", None]
    assert clips.table["split"].to_list() == [None] * 5 + ["val"]
    assert (
        "corrections.csv: 1 answer changed (a.mp4: hog, now deer), 1 clip is new, "
        "1 clip is labelled as before, 1 clip had no label before, "
        "1 clip has no label there, so the earlier one stays"
    ) in caplog.text


def test_the_order_of_tables_decides(tmp_path) -> None:
    one, other = "filepath,label\na.mp4,hog\nb.mp4,deer\n", "filepath,label\na.mp4,deer\n"
    assert rows(read(tmp_path, {"one.csv": one, "two.csv": other}))["a.mp4"] == (1, 0)
    assert rows(read(tmp_path, {"two.csv": other, "one.csv": one}))["a.mp4"] == (0, 1)


def test_a_later_table_withdraws_a_label_by_its_split(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    clips = read(
        tmp_path,
        {
            "old.csv": "filepath,label\na.mp4,hog\nb.mp4,deer\n",
            "new.csv": "filepath,label,split\na.mp4,,unlabelled\nb.mp4,deer,train\n",
        },
    )
    assert rows(clips)["a.mp4"] == (None, None)
    assert clips.table["split"].to_list() == ["unlabelled", "train"]
    assert "new.csv: 1 answer changed (a.mp4: hog, now no class)" in caplog.text


def test_a_wide_table_leaves_classes_that_it_has_no_column_for_unknown(tmp_path, caplog) -> None:
    clips = read(
        tmp_path,
        {
            "old.csv": "filepath,hog,deer\na.mp4,1,0\nb.mp4,0,1\n",
            "new.csv": "filepath,deer,fox\nb.mp4,0,1\n",
        },
    )
    assert clips.classes == ("hog", "deer", "fox")
    assert rows(clips) == {"a.mp4": (1, 0, None), "b.mp4": (None, 0, 1)}
    assert "new.csv: no columns of hog: they are unknown for its 1 labelled clip" in caplog.text


def test_faults_of_rows_name_their_table(tmp_path) -> None:
    with pytest.raises(UserError) as e:
        read(
            tmp_path,
            {
                "old.csv": "filepath,label,split\na.mp4,hog,trian\n",
                "new.csv": "filepath,label\n../b.mp4,deer\na.mp4,hog\n",
            },
        )
    assert "old.csv: 1 row has an unknown split in column 'split': trian (line 2)" in str(e.value)
    assert "new.csv: 1 row whose filepath leads out of the root: ../b.mp4 (line 2)" in str(e.value)


def test_places_of_clips_name_their_table(tmp_path) -> None:
    problems = Problems()
    for name, text in (
        ("a.csv", "filepath,label\nx.mp4,hog\n"),
        ("b.csv", "filepath,label\ny.mp4,deer\nx.mp4,hog\n"),
    ):
        (tmp_path / name).write_text(text)
    source = LabelSource(root=tmp_path, labels=[tmp_path / "a.csv", tmp_path / "b.csv"])
    load_labels("csv", source, problems)
    assert problems.at("x.mp4") == "x.mp4 (a.csv, line 2; b.csv, line 3)"
    assert problems.class_at("deer") == "deer (b.csv, line 2)"


def test_a_clip_named_in_another_case_is_one_clip(tmp_path, caplog) -> None:
    (tmp_path / "Lion.mp4").touch()
    clips = read(
        tmp_path,
        {
            "old.csv": "filepath,label\nLion.mp4,hog\nx.mp4,deer\n",
            "new.csv": "filepath,label\nLION.MP4,deer\n",
        },
    )
    assert rows(clips) == {"Lion.mp4": (1, 0), "x.mp4": (1, 0)}
    assert "taken as one clip: LION.MP4 = Lion.mp4" in caplog.text


def test_names_are_relative_to_the_root_that_has_the_file(tmp_path) -> None:
    for name in ("one/a.mp4", "two/sub/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    clips = read(
        tmp_path,
        {
            "labels.csv": "filepath,label\na.mp4,hog\nsub\\b.mp4,deer\n"
            f"{tmp_path}/two/c.mp4,deer\nlost.mp4,hog\n"
        },
        root=[tmp_path / "one", tmp_path / "two"],
    )
    assert dict(clips.table.select("clip", "path").iter_rows()) == {
        "a.mp4": f"{tmp_path}/one/a.mp4",
        "sub/b.mp4": f"{tmp_path}/two/sub/b.mp4",
        "c.mp4": f"{tmp_path}/two/c.mp4",
        "lost.mp4": f"{tmp_path}/one/lost.mp4",
    }


@pytest.mark.parametrize("row", ["a.mp4,hog\n", "{}/one/a.mp4,hog\n{}/two/a.mp4,deer\n"])
def test_a_name_that_two_roots_have_is_refused(tmp_path, row) -> None:
    for name in ("one/a.mp4", "two/a.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(UserError) as e:
        read(
            tmp_path,
            {"labels.csv": "filepath,label\n" + row.replace("{}", str(tmp_path))},
            root=[tmp_path / "one", tmp_path / "two"],
        )
    assert (
        "1 clip is in several folders of data.root: a.mp4 (one and two). Rename one, or give the folder "
        f"above these, with names from it: data.root={tmp_path}"
    ) in str(e.value)


def test_links_of_two_roots_to_one_file_are_one_clip(tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a.mp4").touch()
    (tmp_path / "two" / "a.mp4").symlink_to(tmp_path / "one" / "a.mp4")
    table = {"labels.csv": "filepath,label\na.mp4,hog\n"}
    assert len(read(tmp_path, table, root=[tmp_path / "one", tmp_path / "two"])) == 1


def test_folders_of_several_roots(tmp_path) -> None:
    for name in ("one/hog/a.mp4", "one/blank/b.mp4", "two/deer/c.mp4", "two/unlabelled/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    clips = read(tmp_path, {}, "folders", labels=None, root=[tmp_path / "one", tmp_path / "two"])
    assert clips.classes == ("blank", "deer", "hog")
    assert rows(clips) == {
        "blank/b.mp4": (1, 0, 0),
        "hog/a.mp4": (0, 0, 1),
        "deer/c.mp4": (0, 1, 0),
        "unlabelled/d.mp4": (None, None, None),
    }
    (tmp_path / "two" / "hog").mkdir()
    (tmp_path / "two" / "hog" / "a.mp4").touch()
    with pytest.raises(UserError, match=r"several folders of data.root: hog/a.mp4"):
        read(tmp_path, {}, "folders", labels=None, root=[tmp_path / "one", tmp_path / "two"])


def test_a_root_of_several_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(UserError, match=r"data\.root=.*/gone"):
        read(tmp_path, {"l.csv": "filepath,label\na.mp4,hog\n"}, root=[tmp_path, tmp_path.parent / "gone"])
