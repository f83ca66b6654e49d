"""Clips and commands that many tests share. Clips are written once a test run; nothing is downloaded."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from jungle.report import charts
from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[1]
COLOURS = {"blank": None, "lion": (230, 40, 40), "hog": (40, 60, 230)}

# Several test processes share the cores: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of long tests: one that comes last keeps one worker busy and the others idle."""
    long = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -long[item.path])


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Remove what Hydra adds to the root logger: it writes to the output of this test, which is closed."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)


@pytest.fixture
def undrawn_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the charts of reports empty: drawing them takes a second and is tested in tests/report."""

    def draw(given: Mapping[str, charts.Chart]) -> dict[str, charts.Drawing]:
        json.dumps([chart.spec for chart in given.values()], allow_nan=False)  # can be drawn
        return {key: charts.Drawing(chart, Markup("<svg></svg>")) for key, chart in given.items()}

    monkeypatch.setattr(charts, "draw", draw)


def write_video(path: Path, colour: tuple[int, int, int] | None, seed: int, frames: int = 12) -> None:
    """Write a noisy clip in which a square of the colour crosses the picture."""
    import av

    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    ground = rng.integers(90, 140, (64, 96, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=6)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 64, "yuv420p", 400_000
        for t in range(frames):
            picture = ground + rng.integers(0, 20, ground.shape, dtype=np.uint8)
            if colour is not None:
                x = 4 + t * 5
                picture[20:50, x : x + 24] = colour
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 36 clips of three classes at six sites, with `labels.csv` (split by site)."""
    root = tmp_path_factory.mktemp("survey")
    lines = ["filepath,label,split,site"]
    for i in range(36):
        label = list(COLOURS)[i % 3]
        site = (i // 3) % 6
        split = {4: "val", 5: "test"}.get(site, "train")
        name = f"clips/{label}_{i:02d}.mp4"
        write_video(root / name, COLOURS[label], seed=i)
        lines.append(f"{name},{label},{split},site{site}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `python <door>.py ...`, or `jungle ...`, as a user does, in an empty folder; output is text."""

    def run(door: str, *args: str, timeout: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
        return run_forked(door, *args, cwd=tmp_path, timeout=timeout, **env)

    return run


def run_forked(
    door: str, *args: str, cwd: Path, timeout: float = 300, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that was forked from one that has the large libraries."""
    if not sys.platform.startswith("linux"):
        return run_started(door, *args, cwd=cwd, timeout=timeout, **env)
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said) / "out", Path(said) / "err"
        process = Forked(door, args, cwd, env=env, out=str(out), err=str(err))
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill_group()
            raise AssertionError(f"{door} {args}: no end within {timeout} s") from None
        text = [file.read_text() if file.exists() else "" for file in (out, err)]
        return subprocess.CompletedProcess(process.args, code, *text)


def run_started(
    door: str, *args: str, cwd: Path, timeout: float = 300, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that was not forked from one that has the large libraries."""
    script = ["-m", door] if door == "jungle" else [str(ROOT / f"{door}.py")]
    return subprocess.run(
        [sys.executable, *script, *args],
        cwd=cwd,
        env={**os.environ, **env},
        text=True,
        capture_output=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


# A small backbone of random weights, for tests of runs whose scores do not matter.
SMALL_BACKBONE = ["model.backbone=test_resnet", "model.pretrained=false"]


def survey_args(survey: Path, labels: Path | None = None) -> list[str]:
    """Overrides that train on the survey fixture, or on a copy with other labels, in seconds."""
    return [
        "data=csv",
        f"data.root={survey}",
        f"data.labels={labels or survey / 'labels.csv'}",
        "model.size=64x96",
        "frames.count=4",
        "trainer=cpu",
        "trainer.max_epochs=3",
        "data.workers=1",
        "logger=none",
        "report=false",
    ]
