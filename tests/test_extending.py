"""docs/extending.md: its examples, added to a copy of this repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from jungle.video.transcode.writer import write_clip
from tests.conftest import ROOT
from tests.video.clip_cases import numbered

BLOCK = re.compile(r"```(python|yaml|diff)\n(.*?)```", re.DOTALL)


def extend(repository: Path, page: str) -> list[str]:
    """Add each block of a page to a copy of the repository; return the files that are new."""
    new = []
    for kind, block in BLOCK.findall(page):
        head, *lines = block.splitlines()
        if kind == "diff":
            change(repository / head.removeprefix("--- "), lines)
        else:
            path = repository / head.removeprefix("# ")
            assert not path.exists(), f"{path} is there already"
            path.write_text("\n".join(lines) + "\n")
            new.append(head.removeprefix("# "))
    return new


def change(path: Path, lines: list[str]) -> None:
    """Change a file as a block of ` ` (a line that is there), `-` and `+` says."""
    text = path.read_text().splitlines()
    at = 0
    for line in lines:
        if line[:1] == "+":
            text.insert(at, line[1:])
            at += 1
        else:
            assert text.count(line[1:]) == 1, (
                f"{path}: {line[1:]!r} stands there {text.count(line[1:])} times"
            )
            at = text.index(line[1:]) + 1
            if line[0] == "-":
                at -= 1
                del text[at]
    path.write_text("\n".join(text) + "\n")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("extended")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "predict.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    new = extend(copy, (ROOT / "docs" / "extending.md").read_text())
    families = {Path(name).parent.name for name in new if name.startswith("configs/")}
    assert families == {"model", "head", "loss", "data", "decoder"}
    return copy


def run(repository: Path, *words: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(repository / "src")}
    done = subprocess.run(
        [sys.executable, *words], cwd=repository, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_example_works_in_one_run(repository: Path) -> None:
    clips = repository / "clips"
    clips.mkdir()
    for n in range(12):
        write_clip(clips / f"hog_{n:02}.mp4", numbered(12, 64 + 2 * n, 96))
        write_clip(clips / f"lion_{n:02}.mp4", numbered(12, 96, 64 + 2 * n))
    run(
        repository,
        "train.py",
        "data=file_names",
        f"data.root={clips}",
        "model=regnety_frozen",
        "model.pretrained=false",
        "head=top",
        "head.frames=2",
        "loss=poly",
        "task=multilabel",
        "decoder=opencv",
        "frames.count=4",
        "data.workers=1",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "logger=none",
    )
    last = repository / "runs" / "train" / "latest"
    settings = json.loads((last / "settings.json").read_text())
    assert settings["head"] == {"name": "top", "frames": 2, "hidden": 0, "dropout": 0.5}
    table = pl.read_parquet(last / "clips.parquet")
    assert table.filter(clip="lion_03.mp4").select("hog", "lion").row(0) == (0, 1)
    run(
        repository,
        "predict.py",
        f"ckpt={last}",
        f"videos={clips}",
        "out=answers",
        "workers=1",
        "report=false",
    )
    answers = pl.read_csv(repository / "answers" / "predictions.csv")
    assert (len(answers), set(answers["status"])) == (24, {"ok"})
    run(repository, "-m", "jungle", "export", "from=answers", "formats=counts", "threshold=0")
    counts = pl.read_csv(repository / "answers" / "counts.csv")
    assert set(counts["name"]) <= {"hog", "lion"}
    assert counts["clips"].sum() >= 24


def test_the_decoder_reads_each_frame_that_it_is_asked_for(repository: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, numbered(30))
    code = (
        "import sys; from dataclasses import replace; from jungle.video import ClipSpec, Frames, read_clip\n"
        "spec = ClipSpec(Frames('uniform', 5), (64, 64))\n"
        "a, b = (read_clip(sys.argv[1], replace(spec, decoder=name)) for name in ('opencv', 'pyav'))\n"
        "print(a.decoder, abs(a.frames.astype(int) - b.frames).max() < 12, (a.times == b.times).all())"
    )
    assert run(repository, "-c", code, str(clip)).strip().endswith("opencv True True")
