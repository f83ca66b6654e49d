"""Files of version 0.1 still open: `tests/version_0_1` holds a run, its features and its predictions."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from jungle.data import predictions
from tests.conftest import ROOT, Command

KEPT = ROOT / "tests" / "version_0_1"
SETTINGS = (
    *("data=csv", "data.root=clips", "data.labels=labels.csv", "data.workers=1", "frames.count=3"),
    *(
        "model=frozen",
        "model.backbone=test_resnet",
        "model.pretrained=false",
        "model.size=32x32",
        "head=mean",
    ),
    *(
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "logger=none",
        "paths.runs=runs",
        "paths.cache=cache",
    ),
)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of what version 0.1 left, in the folder in which commands run."""
    return Path(shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True))


def answers(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "predictions.parquet").sort("clip")


def test_a_run_folder_predicts_what_it_predicted(kept: Path, command: Command) -> None:
    done = command("predict", "ckpt=run", "videos=clips", "out=new", "workers=1", "report=false")
    assert done.returncode == 0, done.stderr
    before, now = answers(kept / "answers"), answers(kept / "new")
    assert now["clip"].equals(before["clip"])
    assert [c for c in now.columns if c not in predictions.FACTS] == before.columns
    assert (now.select("hog", "lion") - before.select("hog", "lion")).select(pl.all().abs().max()).row(0) < (
        1e-5,
        1e-5,
    )


def test_a_prediction_folder_is_continued(kept: Path, command: Command) -> None:
    shutil.copy(kept / "clips" / "hog_0.mp4", kept / "clips" / "new.mp4")
    before = answers(kept / "answers")
    done = command("predict", "ckpt=run", "videos=clips", "out=answers", "workers=1", "report=false")
    assert done.returncode == 0, done.stderr
    assert "20 of 21 clips were done before" in done.stderr
    now = answers(kept / "answers")
    assert now.filter(pl.col("clip") != "new.mp4").select(before.columns).equals(before)


def test_a_feature_store_is_used(kept: Path, command: Command) -> None:
    (store,) = (kept / "cache" / "features").iterdir()
    (shard,) = store.glob("*.safetensors")
    content = shard.read_bytes()
    done = command("train", *SETTINGS)
    assert done.returncode == 0, done.stderr
    assert "some of its clips were read by version 0.1" in done.stderr
    assert [s.name for s in store.parent.iterdir()] == [store.name]
    assert [s.read_bytes() for s in store.glob("*.safetensors")] == [content]


def test_a_run_folder_is_a_member_of_an_ensemble(kept: Path, command: Command) -> None:
    done = command("jungle", "ensemble", "report", "members=[run]", "out=together.html")
    assert done.returncode == 0, done.stderr
    assert (kept / "together.html").is_file()


def test_resuming_says_what_has_changed_since(kept: Path, command: Command) -> None:
    done = command("train", "resume=run")
    assert done.returncode == 2
    assert "cannot be resumed, its inputs changed: splits of clips changed" in done.stderr
