"""`jungle calibrate`, `jungle thresholds` and `jungle decide`, as docs/answers.md shows them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from jungle.cli.entry import main
from jungle.data import predictions
from jungle.metrics.reliability import compute_reliability
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.models.checkpoint import load_checkpoint, store_answers
from jungle.models.description import read_description
from jungle.models.module import ClipClassifier
from jungle.models.tensors import load_archive
from jungle.video import ClipSpec, Frames
from tests.conftest import ROOT
from tests.ensemble.ensemble_cases import CLASSES, answers, both, run_folder, table

PAGE = (ROOT / "docs" / "answers.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    clip = ClipSpec(Frames("uniform", 2), (32, 32)).to_dict()
    made = ClipClassifier(
        Backbone(BackboneSpec("resnet18", pretrained=False, size=(32, 32))),
        {"name": "mean", "hidden": 8, "dropout": 0.0},
        CLASSES,
        "exclusive",
        "frozen",
        {"clip": clip, "priors": dict.fromkeys(CLASSES, 0.3), "weights_hash": "0" * 8},
    )
    file = tmp_path_factory.mktemp("model") / "best.ckpt"
    torch.save({"state_dict": made.state_dict(), "jungle": made.describe(), "epoch": 3}, file)
    return file.read_bytes()


@pytest.fixture
def run(tmp_path: Path, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, whose model is too sure, and `results` of other clips, in the working folder."""
    monkeypatch.chdir(tmp_path)
    clips = both(600)
    probs = {s: answers(clips.of(s), 2.0, 1 + i, sharp=4.0) for i, s in enumerate(("val", "test"))}
    folder = run_folder(tmp_path / "runs" / "train" / "latest", clips, probs)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").write_bytes(checkpoint)
    test = clips.of("test")
    (tmp_path / "results").mkdir()
    predictions.write(table(test, probs["test"]), tmp_path / "results" / "predictions.parquet")
    labels = test.table.select("clip", "site", label=pl.Series([CLASSES[i] for i in test.labels().argmax(1)]))
    labels.write_csv(tmp_path / "labels.csv")
    for name in ("species.txt", "tree.csv"):
        (tmp_path / name).write_text(found_on_page("lion\nSuidae" if name[0] == "s" else "species,family"))
    return folder


def found_on_page(beginning: str) -> str:
    return next(b for b in re.findall(r"```text\n(.*?)```", PAGE, re.S) if beginning in b)


def scored(folder: Path, of: str) -> tuple[np.ndarray, np.ndarray]:
    clips = both(600).of(of)
    found = predictions.read(folder / f"predictions_{of}.parquet")
    return predictions.get_probabilities(found, CLASSES).astype(float), clips.targets()


def test_every_command_of_the_page_does_what_it_says(run: Path, capsys) -> None:
    raw = (run.parents[2] / "results" / "predictions.parquet").read_bytes()
    assert len(COMMANDS) == 5
    for command in COMMANDS:
        words = shlex.split(command)
        assert words[0] == "jungle"
        assert main(words[1:]) == 0, command
    said, log = capsys.readouterr()
    sentence = r"^at 0\.\d+, \d+ % of blanks go, \d\.\d % of animals are lost, 95 %: \d+ to \d+ \("
    assert re.search(sentence, said, re.M)
    assert (run.parents[2] / "results" / "predictions.parquet").read_bytes() == raw
    decisions = pl.read_parquet("results/decisions.parquet")
    names = {"Felidae", "Carnivora", "Suidae", "Artiodactyla", "unsure"}
    assert set(decisions["decision"]) <= {*CLASSES, *names}
    assert decisions["decision"].n_unique() > 3
    for name in ("blank_removal.csv", "blank_removal_sites.csv", "blank_removal.svg", "thresholds.csv"):
        assert (run / name).stat().st_size > 100
    loaded = load_checkpoint(run / "checkpoints" / "best.ckpt")
    assert loaded.thresholds is not None
    assert loaded.thresholds.blank is not None
    assert set(loaded.thresholds.classes) == {"hog", "lion"}
    assert "cross-validation over whole sites" in log


def test_calibration_lowers_the_error_on_a_split_that_it_did_not_see(run: Path) -> None:
    assert main(["calibrate", f"ckpt={run}"]) == 0
    found = read_description(run / "checkpoints" / "best.ckpt").calibration
    assert found is not None
    probs, targets = scored(run, "test")
    before = compute_reliability(probs, targets, "exclusive").error
    assert compute_reliability(found(probs), targets, "exclusive").error < 0.6 * before


def test_only_the_answers_of_a_checkpoint_change(run: Path, tmp_path: Path) -> None:
    file, other = run / "checkpoints" / "best.ckpt", tmp_path / "other.ckpt"
    before, raw = load_checkpoint(file), file.read_bytes()
    assert before.calibration is before.thresholds is None
    assert main(["calibrate", f"ckpt={file}", f"out={other}", "method=temperature"]) == 0
    assert file.read_bytes() == raw
    after = load_checkpoint(other)
    assert after.identity == before.identity
    assert after.calibration is not None
    assert after.calibration.temperature > 1.5
    assert load_archive(other)["epoch"] == 3
    for name, weights in before.model.state_dict().items():
        assert torch.equal(weights, after.model.state_dict()[name])
    assert main(["thresholds", f"ckpt={file}", "max_missed=0.1"]) == 0
    assert main(["calibrate", f"ckpt={file}"]) == 0  # thresholds were of other probabilities
    assert load_checkpoint(file).thresholds is None


def test_few_sites_are_said(run: Path, capsys) -> None:
    clips = pl.read_parquet(run / "clips.parquet").with_columns(site=pl.lit("one"))
    clips.write_parquet(run / "clips.parquet")
    assert main(["calibrate", f"ckpt={run}"]) == 0
    log = capsys.readouterr().err
    assert "over clips, because there are too few sites" in log


def test_a_description_is_read_without_torch(run: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from jungle.models.description import read_description\n"
        f"print(read_description(Path({str(run / 'checkpoints' / 'best.ckpt')!r})).classes)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'blank', 'hog', 'lion'" in done.stdout


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"calibration": {"method": "temperature", "task": "exclusive", "temperature": -1}}, "no fit gives"),
        ({"thresholds": {"blank": 7}}, "outside 0 to 1"),
        ({"thresholds": {"classes": {"dragon": 0.5}}}, "does not know: dragon"),
    ],
)
def test_answers_that_cannot_be_are_refused(run: Path, stored: dict, said: str, capsys) -> None:
    file = run / "checkpoints" / "best.ckpt"
    with pytest.raises(Exception, match=said):
        store_answers(file, stored)
    saved = load_archive(file)
    spoilt = run / "checkpoints" / "spoilt.ckpt"
    torch.save({**saved, "jungle": {**saved["jungle"], **stored}}, spoilt)
    with pytest.raises(Exception, match=said):
        load_checkpoint(spoilt)
    assert main(["decide", "from=results", f"ckpt={spoilt}"]) == 1
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("calibrate ckpt=runs/train/latest from=results", "go together"),
        ("calibrate ckpt=runs/train/latest/checkpoints/none.ckpt", "there is best.ckpt"),
        ("thresholds ckpt=runs/train/latest", "nothing to choose"),
        ("thresholds ckpt=runs/train/latest precision=0.9 recall=0.9", "give one of them"),
        ("thresholds ckpt=runs/train/latest max_missed=1.5", "max_missed"),
        ("decide from=nowhere", "no predictions.parquet there"),
        ("decide from=results rollup=2", "rollup"),
        ("decide from=results sites=labels.csv", "give allow="),
        ("decide from=results allow=nowhere.txt", "no such file"),
        ("decide from=results taxonomy=nowhere.csv", "nowhere.csv"),
        ("decide from=results allow=odd.txt", "no class is named loin. Nearest: lion"),
        ("calibrate ckpt=runs/train/latest from=results labels=few.csv", "at least 20 labelled clips"),
        ("calibrate ckpt=runs/train/latest from=results labels=other.csv", "none of its"),
    ],
)
def test_a_mistake_is_one_line(run: Path, words: str, said: str, capsys) -> None:
    Path("odd.txt").write_text("loin\n")
    labels = pl.read_csv("labels.csv")
    labels.head(5).write_csv("few.csv")
    labels.head(5).with_columns(clip=pl.lit("x") + pl.col("clip")).write_csv("other.csv")
    assert main(shlex.split(words)) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.strip().splitlines()[-1].startswith("error: ")


def test_a_class_without_validation_clips_has_no_threshold(run: Path, capsys) -> None:
    clips = pl.read_parquet(run / "clips.parquet")
    clips.filter(pl.col("lion") == 0).write_parquet(run / "clips.parquet")
    assert main(["thresholds", f"ckpt={run}", "recall=0.8"]) == 0
    log = capsys.readouterr().err
    assert "no threshold, because no validation clip has the class: lion" in log
    chosen = read_description(run / "checkpoints" / "best.ckpt").thresholds
    assert chosen is not None
    assert set(chosen.classes) == {"hog"}


def test_decisions_without_a_checkpoint_and_of_failed_clips(run: Path) -> None:
    clips = both(600).of("test")
    found = table(clips, answers(clips, 2.5, 2))
    first = pl.col("clip") == clips.table["clip"][0]
    found = found.with_columns(status=pl.when(first).then(pl.lit("failed")).otherwise("status"))
    found = predictions.clear_failed(found, CLASSES)
    predictions.write(found, Path("results/predictions.parquet"))
    assert main(["decide", "from=results", "out=decided", "threshold=0.9"]) == 0
    decisions = pl.read_csv("decided/decisions.csv")
    assert decisions["decision"][0] is None
    assert set(decisions["decision"][1:]) == {*CLASSES, "unsure"}
    assert decisions["threshold"][1] == 0.9
