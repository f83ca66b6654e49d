"""What a run came to, for tests of loggers; nothing is trained."""

from pathlib import Path

import numpy as np
import pytest

from jungle.metrics.scores import compute_scores
from jungle.report.evaluation import Outcome
from jungle.training.loggers.results import Results, ShownClip

CLASSES = ("blank", "lion", "hog$1$ | wild")


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let W&B write nowhere else."""
    for name in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    for name in (
        "NAME",
        "RUN_GROUP",
        "JOB_TYPE",
        "PROJECT",
        "ENTITY",
        "TAGS",
        "DATA_DIR",
        "RUN_ID",
        "SWEEP_ID",
    ):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Six validation clips, of which one hog is taken for a lion; no hog in the test clips."""
    probs = np.full((6, 3), 0.1)
    for i, c in enumerate((0, 0, 1, 1, 2, 1)):
        probs[i, c] = 0.8
    targets = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    val = Outcome([f"c{i}.mp4" for i in range(6)], probs, targets)
    test = Outcome(["t.mp4", "u.mp4"], probs[[0, 2]], targets[[0, 2]])
    scores = {
        f"{split}/{name}": value
        for split, judged in (("val", val), ("test", test))
        for name, value in compute_scores(judged.probs_NC, judged.targets_NC, CLASSES, "exclusive").items()
    }
    picture = np.zeros((40, 90, 3), np.uint8)
    picture[:, 30:60] = (250, 20, 20)
    shown = (
        ShownClip("c5.mp4", picture, (CLASSES[2],), "lion", False, probs[5]),
        ShownClip("c0.mp4", None, ("blank",), "blank", True, probs[0], "no such file"),
    )
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"weights")
    return Results(CLASSES, scores, {"val": val, "test": test}, shown, 4, best)
