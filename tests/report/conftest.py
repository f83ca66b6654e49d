"""A small data set for the reports: clips whose frames are flat colours, brighter with time, and their tables."""

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.video.write import write_clip

CLASSES = ("blank", "leopard", "wild boar")


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Six clips of 12 frames, 2 s long."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(6):
        frames = [np.full((48, 64, 3), 20 + 15 * t, np.uint8) for t in range(12)]
        write_clip(folder / f"c{i}.avi", frames, fps=6, codec="mjpeg", pix_fmt="yuvj420p")
    return folder


@pytest.fixture()
def clips(videos):
    """Two clips a class, all of the test split, beside four training clips without files."""
    truth = [0, 0, 1, 1, 2, 2]
    names = [f"c{i}.avi" for i in range(6)] + [f"t{i}.avi" for i in range(4)]
    truth += [0, 0, 1, 2]
    return pl.DataFrame(
        {
            "clip": names,
            "path": [str(videos / n) for n in names],
            "split": ["test"] * 6 + ["train"] * 4,
            "site": ["ridge"] * 10,
            **{c: pl.Series([int(t == i) for t in truth], dtype=pl.Int8) for i, c in enumerate(CLASSES)},
        }
    )


def said(probs, statuses=None, classes=CLASSES, names=None, attention=None):
    """A predictions table of probabilities `[N, C]`."""
    rows = []
    for i, p in enumerate(probs):
        status = statuses[i] if statuses else "ok"
        seen = status != "failed"
        rows.append(
            {
                "clip": names[i] if names else f"c{i}.avi",
                "status": status,
                "reason": "" if status == "ok" else f"reason {i}",
                "probs": p,
                "times": np.arange(12) / 6 if seen else None,
                "attention": attention if seen else None,
            }
        )
    return predictions.make(rows, classes)


@pytest.fixture()
def table():
    """Predictions of the test clips: c1 and c4 are wrong, c4 with more confidence."""
    probs = [
        [0.8, 0.1, 0.1],
        [0.2, 0.5, 0.3],
        [0.1, 0.9, 0.0],
        [0.2, 0.7, 0.1],
        [0.95, 0.0, 0.05],
        [0.1, 0.1, 0.8],
    ]
    attention = np.full(12, 0.05)
    attention[7] = 0.45
    return said(probs, attention=attention)
