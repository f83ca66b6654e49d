"""Folders that look like finished training runs, with answers of a known quality."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.predictions import ClipPrediction

CLASSES = ("blank", "hog", "lion")


def labelled(n: int = 120, sites: int = 12, seed: int = 0, split: str = "val", prefix: str = "") -> Clips:
    """Clips of three classes at some sites, one class each."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    names = [f"{prefix}{split}_{i:04d}.mp4" for i in range(n)]
    table = pl.DataFrame(
        {
            "clip": names,
            "path": names,
            "split": [split] * n,
            "site": [f"site{rng.integers(sites):02d}" for _ in range(n)],
            **{c: (truth == i).astype(np.int8) for i, c in enumerate(CLASSES)},
        }
    )
    return Clips(table, CLASSES)


def answers(clips: Clips, skill: float, seed: int, sharp: float = 1.0) -> np.ndarray:
    """Probabilities whose log-odds lean to the truth by `skill`; times `sharp`, which calibration undoes."""
    rng = np.random.default_rng(seed)
    z = skill * clips.labels() + rng.normal(0, 1, (len(clips), len(clips.classes))) + [0.6, 0.0, -0.4]
    e = np.exp(sharp * z)
    return e / e.sum(1, keepdims=True)


def table(clips: Clips, probs: np.ndarray, classes: tuple[str, ...] = CLASSES) -> pl.DataFrame:
    rows = [ClipPrediction(probs=p, times=np.zeros(1)) for p in probs]
    return predictions.make_table(clips.table["clip"].to_list(), rows, classes)


def run_folder(
    folder: Path,
    clips: Clips,
    probs: dict[str, np.ndarray],
    *,
    settings: dict | None = None,
    classes: tuple[str, ...] = CLASSES,
    state: str = "finished",
) -> Path:
    """Write a run: `clips` of all splits, and answers for the clips of each split in `probs`."""
    folder.mkdir(parents=True)
    clips.write(folder / "clips.parquet")
    for split, p in probs.items():
        predictions.write(table(clips.of(split), p, classes), folder / f"predictions_{split}.parquet")
    made = {"model": {"backbone": folder.name, "mode": "frozen"}, "data": {"folds": None, "fold": None}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**made, **(settings or {})}))
    (folder / "run.json").write_text(json.dumps({"state": state}))
    return folder


def both(n: int = 120, seed: int = 0) -> Clips:
    """Clips of a val and a test split, at other sites."""
    val, test = labelled(n, seed=seed), labelled(n, seed=seed + 1, split="test")
    moved = test.table.with_columns(site=pl.lit("t") + pl.col("site"))
    return Clips(pl.concat([val.table, moved]), CLASSES)


def members(
    root: Path, skills: dict[str, float], *, n: int = 120, seed: int = 0, sharp: float = 1.0
) -> list[Path]:
    """Write runs of these skills on the same clips."""
    clips = both(n, seed)
    return [
        run_folder(
            root / name,
            clips,
            {s: answers(clips.of(s), skill, 100 + 10 * i + j, sharp) for j, s in enumerate(("val", "test"))},
        )
        for i, (name, skill) in enumerate(skills.items())
    ]
