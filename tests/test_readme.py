"""Every command of the README is run, or at least composed, as it stands there."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.cli.entry import COMPOSED, VERBS, _join_verb
from jungle.config.compose import expand_variants
from jungle.config.folder import config_dir
from jungle.pipelines import recipe, recipe_files
from tests.conftest import ROOT, Command

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
INLINE = re.findall(r"`((?:make|python|jungle|docker|pip) [^`]*)`", README)
QUICK = ["model.size=64x96", "frames.count=4", "trainer.max_epochs=2", "logger=none", "report=false"]


def test_the_readme_has_its_commands() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)
    assert sum(c.startswith("python train.py") for c in COMMANDS) >= 1
    assert sum(c.startswith("python predict.py") for c in COMMANDS) >= 3


def test_every_setting_in_the_readme_composes() -> None:
    table = README[README.index("| you want | type |") : README.index("The default backbone")]
    cells = [
        re.findall(r"`([^`]+)`", line.split("|")[2])
        for line in table.splitlines()[2:]
        if line.count("|") >= 3
    ]
    assert len(cells) > 10
    for cell in cells:
        for words in cell:
            args = [w for w in shlex.split(words) if w != "-m"]
            if args == ["0.08"]:
                args = ["decoder.crop_bottom=0.08"]
            overrides.compose("train", args, config_dir())


@pytest.mark.parametrize("line", sorted({*COMMANDS, *INLINE}))
def test_every_command_is_a_command(line: str) -> None:
    words = shlex.split(line)
    if words[:2] == ["docker", "run"]:
        words = ["jungle", *words[words.index(next(w for w in words if w.startswith("jungle:"))) + 1 :]]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
        args = [w for w in words[2:] if w not in ("--help", "-m")]
        if file := recipe_files.find_recipe(args, config_dir()):
            assert recipe.main([*args, "plan=true"], file, config_dir()) == 0
            return
        overrides.compose(words[1].removesuffix(".py"), args, config_dir())
    elif words[0] == "jungle":
        words = ["jungle", *_join_verb(words[1:])]
        assert words[1] in VERBS
        if words[1] == "extract":
            for given in expand_variants(words[2:]):
                overrides.compose("train", given, config_dir())
        if words[1] in COMPOSED:
            overrides.compose(words[1], words[2:], config_dir())
    elif words[:2] == ["docker", "build"]:
        stage = words[words.index("--target") + 1]
        assert re.search(
            rf"^FROM .* AS {stage}$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE | re.IGNORECASE
        )


def test_train_on_your_own_clips(survey: Path, command: Command, tmp_path: Path) -> None:
    """The section of that name, typed as it stands, with the files it speaks of."""
    shutil.copytree(survey / "clips", tmp_path / "clips" / "clips")
    shutil.copytree(survey / "clips", tmp_path / "more_clips")
    shutil.copy(survey / "labels.csv", tmp_path / "labels.csv")
    section = README[
        README.index("## Train on your own clips") : README.index("## From predictions to action")
    ]
    train, predict = (shlex.split(c) for c in re.findall(r"^ *python (.*)$", section, flags=re.MULTILINE))
    done = command("train", *train[1:], *QUICK)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1].startswith("best checkpoint: ")
    done = command("predict", *predict[1:])
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(pl.read_csv(tmp_path / "results" / "predictions.csv")) == 36
    assert len(pl.read_csv(tmp_path / "results" / "failures.csv")) == 0


@pytest.mark.slow
def test_make_demo(tmp_path: Path) -> None:
    """The first command, with fewer clips, on a copy of the repository that shares the environment."""
    for name in (
        "Makefile",
        "train.py",
        "predict.py",
        "pyproject.toml",
        "requirements.txt",
        "requirements-test.txt",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    if not (ROOT / ".venv" / "bin" / "python").is_file():
        pytest.skip("the tests run in an environment of another name")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    ready = ["-o", ".venv/.ready", "-o", ".venv/.ready-test"]  # installed: this test runs in it
    if not (ROOT / ".venv" / ".ready").exists():
        (ROOT / ".venv" / ".ready").touch()
    done = subprocess.run(
        ["make", *ready, "demo", "SAMPLE=48"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    for what in ("submission", "predictions", "report", "the training report"):
        assert (tmp_path / said[what]).is_file(), what
    template = pl.read_csv(tmp_path / "cache/sample_48/submission_format.csv")
    written = pl.read_csv(tmp_path / said["submission"])
    assert written.columns == template.columns
    assert written["filename"].equals(template["filename"])
    metrics = json.loads((tmp_path / "runs/train/latest/metrics.json").read_text())
    assert metrics["test/accuracy"] > 0.7  # of all 240 clips: above 0.9
    assert metrics["test/log_loss"] < priors_log_loss(tmp_path) / 2


def priors_log_loss(work: Path) -> float:
    """The competition log loss of predicting each class's share of the training clips, on the test clips."""
    import numpy as np

    from jungle.data.clips import Clips
    from jungle.metrics.scores import log_loss

    clips = Clips.read(work / "runs/train/latest/clips.parquet")
    shares = clips.of("train").targets().mean(0)
    targets = clips.of("test").targets()
    return log_loss(np.tile(shares, (len(targets), 1)), targets)
