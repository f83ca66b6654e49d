"""What a new user types first with clips of their own, and what the program says where a word is lacking."""

from pathlib import Path

import pytest

from jungle import overrides, preflight
from jungle.cli import config_dir
from jungle.data.sample import ensure_sample
from jungle.errors import UsageError, UserError


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two clips, `clips`, with the table `labels.csv` beside it; the working folder holds both."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("hog.mp4", "lion.mp4"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "labels.csv").write_text("filepath,label\nhog.mp4,hog\nlion.mp4,lion\n")
    return folder


def composed(*words: str, verb: str = "train"):
    return overrides.composed(verb, list(words), config_dir())


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
