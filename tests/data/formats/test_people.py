"""What people and their programs write in tables of labels: nothing silently lost, doubled or renamed."""

import os
import unicodedata

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.formats import find_clips
from jungle.data.splits import assign_splits
from jungle.data.validation import check
from jungle.data.validation_report import Problems
from jungle.errors import UserError
from jungle.training import clips as training_clips
from tests.data.loading import load_csv, load_folders

CLASSES = ("leopard", "hog", "blank")
ROWS = [
    (f"cam{i % 3 + 1}/IMG_{k}{i}.MP4", c, f"cam{i % 3 + 1}") for k, c in enumerate(CLASSES) for i in range(6)
]


def nfd(text):
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def root(tmp_path):
    for name, *_ in ROWS:
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / name).touch()
    return tmp_path / "clips"


def load(root, text, **options):
    """The clips of a table as training takes them: read, cut and checked."""
    path = root.parent / "labels.csv"
    path.write_text(text, encoding="utf-8")
    problems = Problems()
    clips = load_csv(path, root, problems=problems, **options)
    return check(
        assign_splits(clips), problems=problems, where=path.name, classes=options.get("classes")
    ).clips


def table(row, head="filepath;label;site", more=""):
    return head + "\n" + "".join(row(i, *r) + "\n" for i, r in enumerate(ROWS)) + more


def counts(clips):
    return {c: int((clips.table[c] == 1).sum()) for c in clips.classes}


@pytest.mark.parametrize("word", ["NA", "N/A", "#N/A", "#NV", "NaN", "null", "None", "<NA>"])
def test_a_program_s_word_for_nothing_is_an_empty_cell_and_said(root, caplog, word):
    clips = load(
        root, table(lambda i, f, c, s: f"{f};{word if i % 3 == 2 else c};{word if i % 6 == 1 else s}")
    )
    assert counts(clips) == {"blank": 4, "hog": 4, "leopard": 4}
    assert clips.table["site"].null_count() == 3
    assert int(clips.labelled().sum()) == 12
    assert f"column 'label': 6 cells are read as empty: '{word}' (lines 4, 7, 10 and 3 more)" in caplog.text
    assert "column 'site': 3 cells" in caplog.text


@pytest.mark.parametrize("word", ["none", "-", "?", ".", "[]", "nil"])
def test_a_person_s_mark_is_asked_as_a_label_and_empty_as_a_site(root, word):
    with pytest.raises(UserError, match=r"may mean no label, no animal, or a class: '.*' \(line 3\)\. Leave"):
        load(root, table(lambda i, f, c, s: f"{f};{word if i == 1 else c};{s}"))
    assert (
        load(root, table(lambda i, f, c, s: f"{f};{c};{word if i == 1 else s}")).table["site"].null_count()
        == 1
    )


def test_a_class_that_is_called_like_nothing_is_named(root):
    text = table(lambda i, f, c, s: f"{f};{'None' if c == 'blank' else c};{s}")
    assert counts(load(root, text, classes=["None", "leopard", "hog"])) == {"None": 6, "leopard": 6, "hog": 6}
    wide = "filepath;nan;lion\n" + "".join(f"{f};{i % 2};{1 - i % 2}\n" for i, (f, *_) in enumerate(ROWS))
    with pytest.raises(UserError, match="1 column of 0 and 1 has a heading that stands for nothing: nan"):
        load(root, wide)
    assert load(root, wide, classes=["nan", "lion"]).classes == ("nan", "lion")


def test_accents_are_one_however_they_are_composed(root):
    names = ("écureuil", nfd("écureuil"))
    text = table(lambda i, f, c, s: f"{f};{names[i % 2] if c == 'hog' else c};{s}")
    assert counts(load(root, text)) == {"blank": 6, "leopard": 6, "écureuil": 6}
    assert load(root, text, classes=[names[1], "leopard", "blank"]).classes == (
        "écureuil",
        "leopard",
        "blank",
    )
    wide = f"filepath;{names[1]};blank\n" + "".join(
        f"{f};{i % 2};{1 - i % 2}\n" for i, (f, *_) in enumerate(ROWS)
    )
    assert load(root, wide, classes=["écureuil", "blank"]).classes == ("écureuil", "blank")


@pytest.mark.parametrize(
    "other", ["Leopard", "LEOPARD", "leopаrd", "leopard?", "léopard", "leopard (2)", "2 leopard"]
)
def test_spellings_of_one_class_are_asked_with_their_lines(root, other):
    text = table(lambda i, f, c, s: f"{f};{other if i == 2 else c};{s}")
    with pytest.raises(UserError, match=r"1 class is written in several ways: .*line 4\)"):
        load(root, text)
    assert counts(load(root, table(lambda i, f, c, s: f"{f};{c}\u200b ;{s}\u00a0"))) == dict.fromkeys(
        sorted(CLASSES), 6
    )


def test_spellings_of_one_site_are_one_site_and_said(root, caplog):
    sites = {"cam1": ("Ridge", "ridge"), "cam2": ("Rivière", nfd("Rivière")), "cam3": ("Cam_3", "cam 03 ")}
    clips = load(root, table(lambda i, f, c, s: f"{f};{c};{sites[s][i % 2]}"))
    assert sorted(clips.table["site"].unique()) == ["Cam_3", "Ridge", "Rivière"]
    assert (
        "2 sites are written in several ways and taken as one: Cam_3 = cam 03, Ridge = ridge" in caplog.text
    )
    both = {"s": ("S1-12", "S11-2")}
    clips = load(root, table(lambda i, f, c, s: f"{f};{c};{both['s'][i % 2]}"))
    assert sorted(clips.table["site"].unique()) == ["S1-12", "S11-2"]


def test_case_and_blank_are_one_round_with_lines(root):
    text = table(
        lambda i, f, c, s: f"{f};{c.upper() if i % 2 else c};{s}", more="cam1/IMG_00.MP4;Blank;cam1\n"
    )
    with pytest.raises(UserError) as error:
        load(root, text)
    assert (
        "3 classes are written in several ways: BLANK (lines 15, 17 and 19) = Blank (line 20) = blank"
        in str(error.value)
    )
    assert (
        "1 clip is BLANK and something else at once: cam1/IMG_00.MP4 (Blank and leopard; lines 2 and 20)"
        in str(error.value)
    )


def test_several_species_in_a_cell(root, caplog):
    clips = load(root, table(lambda i, f, c, s: f'{f};"{"leopard; hog" if c == "hog" and i % 2 else c}";{s}'))
    assert counts(clips) == {"blank": 6, "hog": 6, "leopard": 9}
    assert "3 rows hold several names: 'leopard; hog' (lines 9, 11 and 13)" in caplog.text
    with pytest.raises(UserError, match=r"blank and something else at once: .*\(blank and hog; line 9\)"):
        load(root, table(lambda i, f, c, s: f'{f};"{"blank; hog" if i == 7 else c}";{s}'))
    with pytest.raises(
        UserError,
        match=r"may mean several species or one class: 'fox, red' \(line 9\)\.",
    ):
        load(root, table(lambda i, f, c, s: f"{f};{'fox, red' if i == 7 else c};{s}"))
    assert (
        "fox, red"
        in load(
            root,
            table(lambda i, f, c, s: f"{f};{'fox, red' if i % 2 else c};{s}"),
            classes=[*CLASSES, "fox, red"],
        ).classes
    )


def test_lists_of_a_parquet(root):
    path = root.parent / "l.parquet"
    pl.DataFrame({"file": [r[0] for r in ROWS[:2]], "label": [["lion", "ox"], ["ox"]]}).write_parquet(path)
    assert load_csv(path, root).table.select("lion", "ox").rows() == [(1, 1), (0, 1)]


@pytest.mark.parametrize(
    "name",
    [
        "cam1/img_00.mp4",
        "CAM1\\IMG_00.MP4",
        "./cam1//IMG_00.MP4",
        "cam2/../cam1/IMG_00.MP4",
        '"""cam1/IMG_00.MP4"""',
    ],
)
def test_one_file_in_two_rows_is_one_clip(root, name):
    clips = load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more=f"{name};hog;cam1\n"))
    assert counts(clips) == {"blank": 6, "hog": 7, "leopard": 6}
    with pytest.raises(
        UserError, match=r"blank and something else.*cam1/IMG_00\.MP4 \(blank and leopard; lines 2 and 20\)"
    ):
        load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more=f"{name};blank;cam1\n"))
    with pytest.raises(UserError, match=r"another site than its first row: cam1/IMG_00\.MP4 \(line 20\)"):
        load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more=f"{name};leopard;elsewhere\n"))


def test_two_files_that_differ_by_case_are_two_clips(root):
    (root / "cam1/img_00.mp4").touch()
    if len(os.listdir(root / "cam1")) == 6:
        pytest.skip("this disk does not tell case apart")
    clips = load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more="cam1/img_00.mp4;hog;cam1\n"))
    assert len(clips) == 19


def test_a_name_that_two_files_fit_is_asked(root):
    for name in ("x.MP4", "x.Mp4"):
        (root / name).touch()
    with pytest.raises(
        UserError, match=r"1 name fits several files, by case, accents or suffix: .*x\.mp4 \(x\.M.*or x\.M"
    ):
        load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more="x.mp4;hog;cam1\n"))


def test_one_file_by_two_folders_is_asked(root):
    (root / "more").symlink_to(root / "cam1")
    with pytest.raises(
        UserError,
        match=r"1 file is named as several clips: cam1/IMG_00\.MP4 \(line 2\) = more/IMG_00\.MP4 \(line 20\)",
    ):
        load(root, table(lambda i, f, c, s: f"{f};{c};{s}", more="more/IMG_00.MP4;hog;cam1\n"))


def test_names_that_differ_by_case_are_found_and_said(root):
    path = root.parent / "labels.csv"
    path.write_text(table(lambda i, f, c, s: f"{f.replace('cam', 'Cam').lower().title()};{c};{s}"))
    checked = check(assign_splits(load_csv(path, root)))
    assert sorted(checked.clips.table["path"]) == sorted(f"{root}/{f}" for f, *_ in ROWS)
    assert any(w.startswith("18 names differ from the file's by case") for w in checked.warnings)


@pytest.mark.parametrize(
    "lead",
    ["C:\\Users\\User\\Videos\\", "\\\\server\\share\\v\\", "/home/anna/clips/", "file:///C:/My%20Videos/"],
)
def test_names_of_another_machine_are_those_with_the_same_end(root, caplog, lead):
    back = "\\" in lead
    clips = load(root, table(lambda i, f, c, s: f"{lead}{f.replace('/', chr(92)) if back else f};{c};{s}"))
    assert clips.table["clip"].to_list() == [f for f, *_ in ROWS]
    assert "18 names begin with" in caplog.text
    listed = root.parent / "list.txt"
    listed.write_text("".join(f'"{lead}{f}"\n' for f, *_ in ROWS))
    assert [f.clip for f in find_clips(listed, root)] == [f for f, *_ in ROWS]


def test_names_of_one_folder_keep_what_is_there(root):
    text = "file;label;split\n" + "".join(
        f"D:\\v\\{f.replace('/', chr(92))};{c};{'val' if i % 2 else 'train'}\n"
        for i, (f, c, s) in enumerate(ROWS)
        if s == "cam1"
    )
    assert {c.split("/")[0] for c in load(root, text).table["clip"]} == {"cam1"}


def test_names_of_another_machine_that_cannot_be_meant(root):
    with pytest.raises(UserError) as error:
        load(root, table(lambda i, f, c, s: f"C:\\v\\{f.replace('/', '_')};{c};{s}"))
    assert "C:/v is not on this machine: replace what stands before" in str(error.value)
    assert "Set data.root" not in str(error.value)
    assert "No clip has a label" not in str(error.value)
    twice = "file;label\nD:\\a\\cam1\\IMG_00.MP4;lion\nE:\\b\\cam1\\IMG_00.MP4;ox\n"
    with pytest.raises(UserError, match=r"2 rows whose file would be the clip of another name"):
        load(root, twice)


def test_a_windows_disk_under_wsl(root, monkeypatch):
    from jungle.data import paths

    monkeypatch.setattr(paths, "_find_mounted", lambda name: f"{root.parent}/{name[3:]}")
    assert load(root, table(lambda i, f, c, s: f"D:/clips/{f};{c};{s}")).table["clip"][0] == ROWS[0][0]
    with pytest.raises(UserError, match=f"Here it is {root}"):
        find_clips("D:\\clips")


def test_a_name_of_windows_and_a_user_that_is_not_there():
    with pytest.raises(UserError, match=r"D:\\clips is a name of Windows.*WSL: /mnt/d/clips"):
        find_clips("D:\\clips")
    with pytest.raises(UserError, match="there is no user nobody-at-all"):
        find_clips("~nobody-at-all")
    with pytest.raises(UserError, match="there is no user nobody-at-all"):
        load_csv("~nobody-at-all/labels.csv")


def test_text_that_a_program_broke_is_asked(root):
    with pytest.raises(UserError, match=r"'Ã©cureuil' \(line 2\) is 'écureuil'"):
        load(root, table(lambda i, f, c, s: f"{f};{'Ã©cureuil' if i == 0 else c};{s}"))
    with pytest.raises(UserError, match=r"column 'site'.*'RiviÃ¨re' \(line 2\) is 'Rivière'"):
        load(root, table(lambda i, f, c, s: f"{f};{c};{'RiviÃ¨re' if i == 0 else s}"))


def test_a_row_of_totals_is_named(root):
    path = root.parent / "labels.csv"
    path.write_text(table(lambda i, f, c, s: f"{f};{c};{s}", more="Total;;18\n"))
    problems = Problems()
    checked = check(assign_splits(load_csv(path, root, problems=problems)), problems=problems)
    assert "1 clip is not on disk and is left out: Total (line 20)" in checked.warnings


def test_a_class_of_two_others_is_a_warning(root):
    path = root.parent / "labels.csv"
    path.write_text(table(lambda i, f, c, s: f"{f};{'leopard hog' if i % 6 == 1 else c};{s}"))
    (warning,) = check(assign_splits(load_csv(path, root))).warnings
    assert warning == "class leopard hog is made of the names of other classes: two species in one cell?"


def test_sites_are_joined_whatever_the_case_of_their_names(root, caplog):
    sites = root.parent / "sites.csv"
    sites.write_text("Datei;Standort\n" + "".join(f"{f.lower()};{s}\n" for f, _, s in ROWS))
    clips = load(root, table(lambda i, f, c, s: f"{f};{c}", head="file;label"), sites=sites)
    assert clips.table["site"].to_list() == [s for *_, s in ROWS]
    assert "18 names differ from the clip's by case, accents or suffix" in caplog.text
    sites.write_text("file;site\ncam1/IMG_00.MP4;a\ncam1/img_00.mp4;b\n")
    with pytest.raises(UserError, match=r"named twice.*cam1/IMG_00\.MP4 \(lines 2 and 3\)"):
        load(root, table(lambda i, f, c, s: f"{f};{c}", head="file;label"), sites=sites)


def folders(root, *names, **options):
    for name in names:
        for i in range(3):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{i}.mp4").touch()
    problems = Problems()
    clips = load_folders(root, problems=problems, **options)
    return check(assign_splits(clips), problems=problems, strict=False, classes=options.get("classes")).clips


def test_folders_that_only_a_machine_tells_apart_are_one_class(tmp_path, caplog):
    clips = folders(tmp_path, "écureuil", nfd("écureuil"), "ox", "ox ")
    assert counts(clips) == {"ox": 6, "écureuil": 6}
    assert len(set(clips.table["clip"])) == 12
    assert "2 folders are of the class écureuil" in caplog.text


def test_folders_that_a_person_may_confuse_are_asked(tmp_path):
    with pytest.raises(
        UserError, match=r"written in several ways: Lion \(folder 'Lion'\) = lion \(folder 'lion'\)"
    ):
        folders(tmp_path / "a", "Lion", "lion")
    with pytest.raises(UserError, match="2 folders have a name that stands for nothing: NA, none"):
        folders(tmp_path / "b", "NA", "none", "ox")
    assert folders(tmp_path / "c", "None", "Ox", classes=["None", "ox"]).classes == ("None", "ox")


def test_lists_as_file_managers_copy_them(root):
    lines = ["# my clips", "#2 are missing", *(f'"clips\\{f}"'.replace("/", "\\") for f, *_ in ROWS)]
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        (root.parent / "list.txt").write_bytes("\r\n".join(lines).encode(encoding))
        found = find_clips(root.parent / "list.txt")
        assert [f.path for f in found] == [f"{root}/{f}" for f, *_ in ROWS]
    (root.parent / "list.txt").write_text("#1.mp4\nclips/CAM1/img_00.mp4\n")
    assert [f.clip for f in find_clips(root.parent / "list.txt")] == ["#1.mp4", "clips/cam1/IMG_00.MP4"]
    assert len(find_clips(f'"{root}"')) == len(find_clips(str(root).replace("clips", "CLIPS"))) == 18


def test_ids_are_composed(tmp_path):
    (tmp_path / nfd("é.mp4")).touch()
    assert [f.clip for f in find_clips(tmp_path)] == ["é.mp4"]
    (tmp_path / "é.mp4").touch()
    assert len({f.clip for f in find_clips(tmp_path)}) == len(os.listdir(tmp_path))


def test_marks_in_columns_of_classes_are_asked(root):
    wide = "file;lion;ox\n" + "".join(
        f"{f};{'x' if i % 2 else ''};{i % 2}\n" for i, (f, *_) in enumerate(ROWS)
    )
    with pytest.raises(UserError, match=r"1 column holds marks alone.*lion \('x', line 3\)"):
        load(root, wide)


def test_an_empty_label_column_beside_classes_is_passed_over(root):
    wide = "file;species;ox;lion\n" + "".join(f"{f};;{i % 2};{1 - i % 2}\n" for i, (f, *_) in enumerate(ROWS))
    assert load(root, wide).classes == ("ox", "lion")


def test_two_words_for_no_animal_are_a_warning(root):
    path = root.parent / "labels.csv"
    path.write_text(table(lambda i, f, c, s: f"{f};{'empty' if c == 'hog' else c};{s}"))
    (warning,) = check(assign_splits(load_csv(path, root))).warnings
    assert warning == "classes blank and empty both mean that there is no animal: one class?"


def test_ones_and_empty_cells_without_a_zero_are_asked(root):
    wide = "file;lion;ox\n" + "".join(
        f"{f};{'' if i % 2 else 1};{1 if i % 2 else ''}\n" for i, (f, *_) in enumerate(ROWS)
    )
    with pytest.raises(UserError, match=r"hold 1 and empty cells, and no 0.*Write 0"):
        load(root, wide)


def test_formulas_of_spreadsheets_around_a_name(root):
    text = table(lambda i, f, c, s: f'"=""{f}""";"=HYPERLINK(""{c}"")";{s}')
    assert load(root, text).table["clip"].to_list() == [f for f, *_ in ROWS]
    assert counts(load(root, text)) == dict.fromkeys(sorted(CLASSES), 6)


def test_a_plural_is_another_spelling(root):
    with pytest.raises(UserError, match=r"written in several ways: hog \(lines .*\) = hogs \(line 9\)"):
        load(root, table(lambda i, f, c, s: f"{f};{'hogs' if i == 7 else c};{s}"))


def test_a_table_without_a_header_is_told(root):
    with pytest.raises(UserError, match=r"the table has no header; write one"):
        load(root, "".join(f"{f};{c};{s}\n" for f, c, s in ROWS))


def test_settings_are_read_as_tables_are(root):
    labels = root.parent / "labels.csv"
    labels.write_text(
        table(lambda i, f, c, s: f"{f};{'écureuil' if c == 'hog' else c};{s}"), encoding="utf-8"
    )
    args = ["data=csv", f"data.labels={labels}", f"data.root={root}"]

    def taken(*more):
        return training_clips.load(overrides.compose("train", [*args, *more], config_dir()))[0].classes

    assert taken(f"data.only=[Leopard,'{nfd('écureuil')}']") == ("leopard", "écureuil")
    assert taken(f"data.classes=[blank,Leopard,'{nfd('écureuil')}']") == ("blank", "Leopard", "écureuil")
    with pytest.raises(UserError, match=r"data\.only: there is no class 'lynx', 'ox'"):
        taken("data.only=[lynx,ox]")
    with pytest.raises(UserError, match=r"data\.root=.*no such folder"):
        taken(f"data.root={root.parent / 'gone'}")
