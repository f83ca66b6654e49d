"""From a config to its clips: what is limited, rendered and decided from labels; where the sample lies."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.errors import UserError
from jungle.sample import library
from jungle.training import build
from jungle.training import clips as training_clips


def composed(*settings: str) -> Any:
    return overrides.compose("train", list(settings), config_dir())


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """Names of the clips that were asked for; they are written as empty files, since nobody looks at them."""
    asked: list[str] = []

    def blank(root: Path, wanted: dict, todo: list[Any], workers: int) -> Any:
        for shot in todo:
            (root / "raw" / shot.filename).touch()
            asked.append(shot.filename)
            yield shot.index

    monkeypatch.setattr(library, "_render_in_processes", blank)
    return asked


def test_a_limit_renders_what_it_keeps_and_the_rest_is_rendered_when_it_is_wanted(tmp_path, drawn) -> None:
    settings = [f"paths.cache={tmp_path}", "data=sample"]
    limited, lost = training_clips.load(composed(*settings, "data.limit=30"))
    assert 28 <= len(limited) == len(drawn) <= 34
    assert sorted(limited.table["clip"]) == sorted(drawn)
    assert not lost
    template = pl.read_csv(tmp_path / "sample" / "submission_format.csv")
    assert len(template) > 50  # the tables are whole
    before = len(drawn)
    training_clips.load(composed(*settings, "data.limit=30"))
    assert len(drawn) == before
    whole, _ = training_clips.load(composed(*settings))
    assert len(whole) == len(drawn) == 240
    assert len(set(drawn)) == 240
    assert (tmp_path / "sample" / "sample.json").is_file()
    training_clips.load(composed(*settings, "data.limit=10"))
    assert len(drawn) == 240


def test_a_limit_keeps_the_task(tmp_path, drawn) -> None:
    cfg = composed(f"paths.cache={tmp_path}", "data=sample")
    assert build.resolve_task(cfg, training_clips.load(cfg)[0]) == "multilabel"
    for limit in (12, 40):
        for seed in range(2):
            cut = composed(f"paths.cache={tmp_path}", "data=sample", f"data.limit={limit}", f"seed={seed}")
            assert build.resolve_task(cut, training_clips.load(cut)[0]) == "multilabel"


def test_a_sample_of_another_size_has_a_folder_of_its_own(tmp_path, drawn) -> None:
    settings = [f"paths.cache={tmp_path}", "data=sample"]
    for more, folder, clips in (
        ((), "sample", 240),
        (("data.sample_clips=40",), "sample_40", 40),
        (("data.sample_clips=240",), "sample", 240),
        ((f"data.root={tmp_path}/mine", "data.sample_clips=20"), "mine", 20),
    ):
        cfg = composed(*settings, *more)
        assert cfg.data.root == tmp_path / folder
        assert len(training_clips.load(cfg)[0]) == clips
    with pytest.raises(
        UserError, match=r"holds a sample of 20 clips.*not of 30 clips; give data\.root="
    ) as e:
        training_clips.load(composed(*settings, f"data.root={tmp_path}/mine", "data.sample_clips=30"))
    assert "delete" not in str(e.value)


def test_a_run_of_before_keeps_its_fingerprint_on_the_default_sample(tmp_path) -> None:
    """Its folder was part of the config then and is worked out now: an unfinished run still goes on."""
    assert composed().fingerprint() == composed("data.root=cache/sample").fingerprint()


def table(*labels: tuple[str, str]) -> Clips:
    """Rows are a split and the classes, `+` between them."""
    names = [f"{i}.mp4" for i in range(len(labels))]
    return Clips(
        pl.DataFrame(
            {
                "clip": names,
                "path": names,
                "split": [s for s, _ in labels],
                **{c: [int(c in seen.split("+")) for _, seen in labels] for c in ("hog", "lion")},
            }
        ),
        ("hog", "lion"),
    )


def test_test_labels_do_not_decide_the_task() -> None:
    cfg = composed("loss=auto")
    once = [("train", "hog"), ("train", "lion"), ("val", "hog")]
    assert build.resolve_task(cfg, table(*once, ("test", "hog+lion"), ("test", ""))) == "exclusive"
    assert build.resolve_task(cfg, table(*once, ("val", "hog+lion"))) == "multilabel"
    asked = composed("task=exclusive")
    assert build.resolve_task(asked, table(*once, ("test", "hog+lion"))) == "exclusive"
    with pytest.raises(UserError, match=r"task=exclusive: 3\.mp4 has 2 classes, and 1 of 4 clips"):
        build.resolve_task(asked, table(*once, ("val", "hog+lion")))


def test_classes_chosen_from_the_table_must_differ_too(tmp_path) -> None:
    for i in range(6):
        (tmp_path / f"{i}.mp4").touch()
    rows = [
        "filepath,hog,owl,split",
        *(f"{i}.mp4,{i % 2},1,{'val' if i > 3 else 'train'}" for i in range(6)),
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    settings = ["data=csv", f"data.root={tmp_path}", f"data.labels={tmp_path}/labels.csv"]
    assert len(training_clips.load(composed(*settings))[0]) == 6
    assert training_clips.load(composed(*settings, "data.only=[hog]"))[0].classes == ("hog",)
    with pytest.raises(UserError, match="All 4 training clips are owl"):
        training_clips.load(composed(*settings, "data.only=[owl]"))
