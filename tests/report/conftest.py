"""A small data set for the reports: clips of flat frames that grow brighter, and what was said of them."""

import numpy as np
import polars as pl
import pytest

from jungle.video.transcode.writer import write_clip
from tests.report.report_cases import CLASSES, said


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Six clips of 12 frames, 2 s long."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(6):
        frames = [np.full((48, 64, 3), 20 + 15 * t, np.uint8) for t in range(12)]
        write_clip(folder / f"c{i}.avi", frames, fps=6, codec="mjpeg", pix_fmt="yuvj420p")
    return folder


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
