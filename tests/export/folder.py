"""A prediction folder with real clips, and tables of their sites and deployments, without a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction
from jungle.files import write_json
from tests.conftest import COLOURS, write_video

CLASSES = ("blank", "hog", "lion")


@dataclass(frozen=True)
class Case:
    """One clip: its name, where and when it was filmed, and what a model says of it; None where it failed."""

    clip: str
    site: str
    time: str
    probs: Sequence[float] | None
    times: Sequence[float] = (0.25, 0.75, 1.25, 1.75)
    attention: Sequence[float] | None = field(default=(0.1, 0.2, 0.6, 0.1))


# North: a lion for two clips, a gap of an hour, an empty clip. South: a hog, an unsure clip, a damaged file.
CASES = (
    Case("north/a.mp4", "north", "2024-05-01 10:00:00", (0.1, 0.1, 0.8)),
    Case("north/b.mp4", "north", "2024-05-01 10:20:00", (0.6, 0.1, 0.3)),
    Case("north/c.mp4", "north", "2024-05-01 11:30:00", (0.9, 0.05, 0.05)),
    Case("south/a.mp4", "south", "2024-05-01 10:05:00", (0.2, 0.7, 0.1)),
    Case("south/d.mp4", "south", "2024-05-01 10:10:00", (0.4, 0.3, 0.3)),
    Case("south/bad.mp4", "south", "2024-05-01 10:15:00", None),
)
DEPLOYMENTS = """deploymentID,locationName,latitude,longitude,deploymentStart,deploymentEnd,cameraModel
N1,north,52.5,13.4,2024-04-01,2024-05-31,Reconyx-HF2X
S1,south,52.4,13.5,2024-04-01 12:00:00,2024-06-01 09:00:00,
"""
PROJECT = """title: Lions of the Havel
samplingDesign: systematicRandom
captureMethod: [activityDetection]
individualAnimals: false
contributors:
  - {title: Ada Example, role: contact, email: ada@example.org}
"""


def make_table(cases: Sequence[Case], classes: Sequence[str] = CLASSES) -> pl.DataFrame:
    """Return the predictions table of some clips."""
    rows = [
        ClipPrediction.failure("the file is no video")
        if c.probs is None
        else ClipPrediction(
            probs=np.array(c.probs, np.float32),
            times=np.array(c.times, np.float32),
            attention=None if c.attention is None else np.array(c.attention, np.float32),
        )
        for c in cases
    ]
    return predictions.make_table([c.clip for c in cases], rows, classes)


def make_folder(root: Path, cases: Sequence[Case] = CASES, classes: Sequence[str] = CLASSES) -> Path:
    """Write clips, a prediction of them in `out`, `sites.csv`, `deployments.csv` and `project.yaml`.

    Clips are of 6 frames a second and 2 seconds.
    """
    for i, case in enumerate(cases):
        path = root / "clips" / case.clip
        if case.probs is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no video")
        else:
            write_video(path, COLOURS["lion"], seed=i)
    out = root / "out"
    out.mkdir()
    predictions.write(make_table(cases, classes), out / "predictions.parquet")
    write_json(out / ".prediction.json", {"ckpt": ["1a2b3c4d5e6f7081"]})
    lines = ["filepath,site,time", *(f"{c.clip},{c.site},{c.time}" for c in cases)]
    (root / "sites.csv").write_text("\n".join(lines) + "\n")
    (root / "deployments.csv").write_text(DEPLOYMENTS)
    (root / "project.yaml").write_text(PROJECT)
    return out


def with_facts(
    cases: Sequence[Case], root: Path | None = None, classes: Sequence[str] = CLASSES
) -> pl.DataFrame:
    """Return the predictions table with path, site, time, duration and fps."""
    return make_table(cases, classes).with_columns(
        path=pl.Series(
            [None if root is None else str(root / "clips" / c.clip) for c in cases], dtype=pl.String
        ),
        site=pl.Series([c.site or None for c in cases], dtype=pl.String),
        time=pl.Series(
            [datetime.fromisoformat(c.time) if c.time else None for c in cases], dtype=pl.Datetime("us")
        ),
        duration=pl.lit(2.0),
        fps=pl.lit(6.0),
    )
