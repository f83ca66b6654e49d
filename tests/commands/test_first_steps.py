"""What a new user types first with clips of their own, and what the program says where a word is lacking."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jungle.cli import overrides
from jungle.cli.entry import main
from jungle.config.folder import config_dir
from jungle.data.formats import find_clips
from jungle.data.formats.headings import find_columns
from jungle.data.paths import match_clips
from jungle.data.table_io import read_table
from jungle.data.validation import check
from jungle.errors import UsageError, UserError
from jungle.pipelines import preflight
from jungle.sample import ensure_sample
from jungle.training import clips as labelled
from jungle.training import datamodules, fit
from jungle.video.transcode.dataset import _write_settings
from jungle.video.transcode.spec import Shrink
from tests.data.loading import load_csv


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two clips, `clips`, and the table `labels.csv` beside it, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("hog.mp4", "lion.mp4"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "labels.csv").write_text("filepath,label\nhog.mp4,hog\nlion.mp4,lion\n")
    return folder


def composed(*words: str, verb: str = "train"):
    return overrides.compose(verb, list(words), config_dir())


NOT_THE_SAMPLES = (
    r"^data\.root=\S*clips holds files that are not the sample's \(hog\.mp4\): add data=csv "
    r"data\.labels=<table>, or leave data\.root out$"
)


@pytest.mark.parametrize("verb", ["train", "preview"])
def test_the_sample_is_not_rendered_into_a_folder_of_clips(verb: str, clips: Path) -> None:
    with pytest.raises(UserError, match=NOT_THE_SAMPLES):
        preflight.check(composed("data.root=clips", "data.limit=20", verb=verb))
    with pytest.raises(UserError, match=NOT_THE_SAMPLES):  # whoever does not look first
        ensure_sample(clips, clips=10, sites=3, only=())
    assert sorted(p.name for p in clips.iterdir()) == ["hog.mp4", "lion.mp4"]


@pytest.mark.parametrize("begun", [".rendering.json", "sample.json"])
def test_a_folder_that_was_rendered_into_by_mistake_is_refused_too(begun: str, clips: Path) -> None:
    (clips / begun).write_text('{"version": 2, "clips": 10, "sites": 3, "seed": 0}')
    with pytest.raises(UserError, match=NOT_THE_SAMPLES):
        ensure_sample(clips, clips=10, sites=3, only=())


def test_what_was_made_of_the_sample_may_lie_beside_it(tmp_path: Path) -> None:
    root = ensure_sample(tmp_path / "s", clips=10, sites=3, only=())
    (root / "index.parquet").touch()
    (root / "micro").mkdir()
    assert ensure_sample(root, clips=10, sites=3, only=()) == root


def test_a_table_of_a_user_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "train_labels.csv").write_text("filename,lion\na.mp4,1\n")
    with pytest.raises(UserError, match="not the sample's"):
        ensure_sample(tmp_path, clips=10, sites=3, only=())
    assert (tmp_path / "train_labels.csv").read_text() == "filename,lion\na.mp4,1\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.labels=labels.csv", "data.root=clips"], "data.labels belongs to data=csv: add data=csv"),
        (["data.label_column=kind"], "data.label_column belongs to data=csv: add data=csv"),
        (["data.template=t.csv"], "data.template belongs to data=primatrix: add data=primatrix"),
        (
            ["data=folders", "data.root=clips", "data.labels=labels.csv"],
            "data.labels belongs to data=csv, and data=folders does not read it: give that, or leave "
            "data.labels out",
        ),
        (
            ["data=csv", "data.root=clips", "data.labels=labels.csv", "data.test_labels=t.csv"],
            "data.test_labels belongs to data=primatrix, and data=csv does not read it: give that, or leave "
            "data.test_labels out",
        ),
    ],
)
def test_a_setting_of_another_form_of_data_is_refused(words: list[str], said: str, clips: Path) -> None:
    with pytest.raises(UsageError) as error:
        composed(*words)
    assert str(error.value) == said


@pytest.fixture
def leopards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten clips whose table names them without their suffix; the working folder holds both."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = ["file,species,split"]
    for i in range(10):
        (folder / f"leopard_{i:03d}.mp4").write_bytes(b"x")
        rows.append(f"leopard_{i:03d},{'leopard' if i % 2 else 'hog'},{'train' if i < 6 else 'val'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


CSV = ["data=csv", "data.labels=labels.csv", "data.root=clips"]


def test_names_without_a_suffix_are_the_clips_of_that_name(leopards: Path) -> None:
    checked = check(load_csv("labels.csv", "clips"))
    names = [Path(p).name for p in checked.clips.table["path"]]
    assert names == [f"leopard_{i:03d}.mp4" for i in range(10)]
    assert checked.warnings == ("10 names have no suffix, as leopard_000: taken as leopard_000.mp4",)


def test_a_name_without_a_suffix_that_two_clips_fit_is_asked_for(leopards: Path) -> None:
    (leopards / "leopard_000.avi").write_bytes(b"x")
    (leopards / "leopard_001.jpg").write_bytes(b"x")  # no video: leopard_001 is still the clip
    with pytest.raises(UserError) as error:
        check(load_csv("labels.csv", "clips"))
    assert "leopard_000 (leopard_000.avi or leopard_000.mp4)" in str(error.value)
    assert "leopard_001" not in str(error.value)


def test_tables_that_name_clips_with_and_without_their_suffix_are_joined() -> None:
    known = ["a/one.mp4", "two"]
    found = match_clips(["A/One", "two.AVI", "three", "one"], known)
    assert found.known == {"A/One": "a/one.mp4", "two.AVI": "two"}
    assert found.unknown == ("three", "one")
    assert match_clips(["x"], ["x.mp4", "x.avi"]).ambiguous == {"x": ("x.mp4", "x.avi")}


def test_a_list_to_predict_of_which_no_file_is_there_is_refused(leopards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        find_clips("labels.csv")
    assert str(error.value) == (
        f"{tmp_path}/labels.csv: none of the 10 files that it names is in {tmp_path}, the list's folder, as "
        "leopard_000: give videos=<the clips' folder>, or copy the list into that folder"
    )
    (tmp_path / "labels.csv").rename(leopards / "labels.csv")
    assert len(find_clips(leopards / "labels.csv")) == 10


def test_a_list_of_other_places_of_which_no_file_is_there_is_refused(leopards: Path) -> None:
    (leopards / "gone.txt").write_text("/gone/a.mp4\n/gone/b.mp4\n")
    with pytest.raises(UserError, match=r"none of the 2 files that it names is there, as /gone/a\.mp4: "):
        find_clips(leopards / "gone.txt")


def said_of(columns: str, path: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    (path / "t.csv").write_text(columns)
    with caplog.at_level("INFO", logger="jungle"):
        find_columns(read_table(path / "t.csv"), {"time": None}, labels=True)
    return [r.message.removeprefix(f"{path}/t.csv: ") for r in caplog.records]


def test_what_was_guessed_of_a_table_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert said_of("Dateiname;Tierart;Standort\na.mp4;Reh;B1\n", tmp_path, caplog) == [
        "the clip is column Dateiname, the label is column Tierart, the site is column Standort; columns "
        "are separated by semicolons"
    ]


def test_an_unusual_separator_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert said_of("filepath\tlabel\na.mp4\tReh\n", tmp_path, caplog) == [
        "the clip is column filepath, the label is column label; columns are separated by tabs"
    ]


@pytest.mark.parametrize("heading", ["filepath", "filename"])
def test_of_a_plain_table_nothing_was_guessed(
    heading: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert said_of(f"{heading},label,site,split\na.mp4,Reh,B1,train\n", tmp_path, caplog) == []


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("labels.csv", b"", r"empty; write a header line"),
        ("labels.xlsx", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\xff\xfe", r"labels\.xlsx: "),
        ("labels.csv", b"a.mp4,hog\nb.mp4,lion\n", "the table has no header"),
    ],
)
def test_a_wrong_table_is_told_before_torch_is_imported(
    name: str, body: bytes, said: str, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips.parent / name).write_bytes(body)
    cfg = composed("data=csv", f"data.labels={name}", "data.root=clips")
    for library in ("torch", "pytorch_lightning", "timm"):
        monkeypatch.setitem(sys.modules, library, None)  # an import of it would fail
    monkeypatch.setattr(fit, "silence_libraries", lambda: None)
    with pytest.raises(UserError, match=said):
        fit.fit(cfg, clips.parent / "run")


def test_a_file_that_is_no_checkpoint_is_refused_before_torch_is_imported(
    clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips.parent / "README.md").write_text("# no checkpoint\n" * 9)
    for library in ("torch", "pytorch_lightning", "timm"):
        monkeypatch.setitem(sys.modules, library, None)  # an import of it would fail
    assert main(["predict", "ckpt=README.md", f"videos={clips}"]) == 1
    assert "not a checkpoint: not a whole file of weights (no archive" in capsys.readouterr().err


def test_clips_that_are_not_on_disk_are_said_once(leopards: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in (2, 5, 9):
        (leopards / f"leopard_{i:03d}.mp4").unlink()
    cfg = composed(*CSV, "data.missing=skip")
    found, lost = labelled.load(cfg)
    assert sum("3 clips are not on disk and are left out" in r.message for r in caplog.records) == 1
    caplog.clear()
    unread = found.table["clip"].to_list().index("leopard_000")
    failures = {**lost, unread: "no stream of pictures"}
    data = SimpleNamespace(left_out=set(lost), failures=failures, has_soft_labels=False)
    data.numbers = lambda split, labelled: [0]
    datamodules.check_left_out(found, data, 0.3, lost)
    assert not caplog.records
    data.left_out = set(failures)
    datamodules.check_left_out(found, data, 0.5, lost)
    assert [r.message for r in caplog.records] == [
        "1 of 7 clips cannot be read and is left out (leopard_000: no stream of pictures)"
    ]
    with pytest.raises(UserError, match="4 of 10 clips cannot be read and are left out"):
        datamodules.check_left_out(found, data, 0.3, lost)  # those that are not there count


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "head.name=gru"], "head.name=gru: a choice has settings of its own: write head=gru"),
        (
            ["train", "data.limit", "=", "40"],
            "data.limit = 40: no spaces around = or after commas: write data.limit=40 (or put quotes around "
            "a value that has spaces)",
        ),
        (["train", "data.limit=", "40", "seed=1"], "data.limit= 40: no spaces around = or after commas: "),
        (["train", "data.limit", "=40"], "data.limit =40: no spaces around = or after commas: "),
        (
            ["ensemble", "stack", "out=x", "members=[a,", "b]"],
            "members=[a, b]: no spaces around = or after commas: write members=[a,b] ",
        ),
        (["train", "-m", "seed=1,", "2"], "seed=1, 2: no spaces around = or after commas: write seed=1,2 "),
        (["train", "experiment=primatrix/best", "seed", "=", "1"], "seed = 1: no spaces around ="),
        (["train", "data.root=/my", "clips"], "clips: a setting is key=value, and a value that has spaces "),
        (["train", "data.root="], "data.root= is empty: "),
        (["shrink"], "out= and videos= are needed: jungle shrink --help says what they are"),
        (["index"], "videos= is needed: jungle index --help says what it is"),
        (
            ["train", "plan=true"],
            "plan belongs to a recipe: add experiment=<one of primatrix/best, primatrix/first_place, ",
        ),
    ],
)
def test_what_was_meant_is_said(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.parametrize(("argv", "code"), [(["ensemble"], 2), (["ensemble", "--help"], 0)])
def test_the_verbs_of_two_words_are_listed(
    argv: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    verbs = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert verbs == [["ensemble", name] for name in ("stack", "report", "check", "pseudo")]


def test_help_begins_with_what_people_use_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    groups = re.findall(r"^(\w+)=\w+", shown, re.MULTILINE)
    assert groups[:4] == ["data", "model", "head", "trainer"]
    assert groups[-1] == "paths"
    (command,) = re.findall(r"^On your own clips: python train\.py (.*)$", shown, re.MULTILINE)
    assert command.split() == ["data=csv", "data.labels=labels.csv", "data.root=clips"]


def test_a_folder_of_other_copies_says_how_they_were_made(tmp_path: Path) -> None:
    spec = Shrink.parse("360@8fps")
    _write_settings(tmp_path / "out", spec)
    _write_settings(tmp_path / "out", Shrink.parse("360@8fps"))
    with pytest.raises(UserError, match=r"other settings \(shrink=360@8fps codec=mjpeg\)\. Give another"):
        _write_settings(tmp_path / "out", Shrink.parse("64x48", "h264"))
    for one in (spec, Shrink.parse("64x48", "h264"), Shrink.parse("@2fps")):
        text, codec = str(one).removeprefix("shrink=").split(" codec=")
        assert Shrink.parse(text, codec) == one == Shrink.from_dict(one.to_dict())
    (tmp_path / "out" / "shrink.json").write_text("[]")
    with pytest.raises(UserError, match=r"other settings \(unknown\)"):
        _write_settings(tmp_path / "out", spec)
