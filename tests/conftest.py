"""Clips and commands that many tests share. Clips are written once a test run; nothing is downloaded."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[1]
COLOURS = {"blank": None, "lion": (230, 40, 40), "hog": (40, 60, 230)}

# Several test processes share the cores: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"


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
        if not sys.platform.startswith("linux"):
            return run_started(door, *args, cwd=tmp_path, timeout=timeout, **env)
        with tempfile.TemporaryDirectory() as said:
            out, err = Path(said) / "out", Path(said) / "err"
            process = Forked(door, args, tmp_path, env=env, out=str(out), err=str(err))
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill_group()
                raise AssertionError(f"{door} {args}: no end within {timeout} s") from None
            text = [file.read_text() if file.exists() else "" for file in (out, err)]
            return subprocess.CompletedProcess(process.args, code, *text)

    return run


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


def survey_args(survey: Path) -> list[str]:
    """Overrides that train on the survey fixture in seconds."""
    return [
        "data=csv",
        f"data.root={survey}",
        f"data.labels={survey / 'labels.csv'}",
        "model.size=64x96",
        "frames.count=4",
        "trainer=cpu",
        "trainer.max_epochs=3",
        "data.workers=1",
        "logger=none",
        "report=false",
    ]
