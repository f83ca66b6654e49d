"""The rendered sample: its tables, its frames, and that it can be killed and shared."""

import csv
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from jungle.errors import UserError
from jungle.sample import ensure_sample, film
from jungle.sample.film import frames
from jungle.sample.plan import CLASSES, HEIGHT, SHARES, WIDTH, plan
from jungle.video import ClipSpec, read_clip

SMALL = {"clips": 10, "sites": 3, "seed": 5}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_sample(tmp_path_factory.mktemp("sample"), **SMALL, workers=2)


def test_plan_keeps_classes_apart_from_everything_but_the_picture() -> None:
    shots = plan(240, 20, 0)
    assert len(shots) == len({s.filename for s in shots}) == 240
    assert all(len(Path(s.filename).stem) == 10 and Path(s.filename).stem.isalnum() for s in shots)
    split_of_site: dict[int, set[str]] = {}
    for s in shots:
        split_of_site.setdefault(s.site, set()).add(s.split)
        assert (s.codec == "h264") == s.filename.endswith(".mp4")
        assert "blank" not in s.labels or s.labels == ("blank",)
        assert s.night == (s.time.hour >= 19 or s.time.hour < 6)
    assert all(len(splits) == 1 for splits in split_of_site.values())
    assert 2 <= sum(len(s.labels) == 2 for s in shots) <= 3
    for name in SHARES:
        mine = [s for s in shots if name in s.labels]
        assert len(mine) >= 18
        assert len({s.site for s in mine}) >= 6
        assert {s.split for s in mine} == {"train", "val", "test"}
        assert 0.35 < np.mean([s.night for s in mine]) < 0.65
        assert 0.3 < np.mean([s.codec == "mjpeg" for s in mine]) < 0.7
    by_split = Counter(s.split for s in shots)
    assert by_split["train"] > 130
    assert by_split["test"] > 50
    assert Counter(s.labels for s in shots).most_common(1)[0][0] == ("blank",)


def test_tables_are_in_the_competitions_form(sample: Path) -> None:
    train, test = rows(sample / "train_labels.csv"), rows(sample / "test_labels.csv")
    template, sites = rows(sample / "submission_format.csv"), rows(sample / "sites.csv")
    assert list(train[0]) == list(template[0]) == list(test[0]) == ["filename", *CLASSES]
    assert [r["filename"] for r in test] == [r["filename"] for r in template]
    split = {r["filename"]: r["split"] for r in sites}
    assert {r["filename"] for r in train} == {n for n, s in split.items() if s != "test"}
    assert {r["filename"] for r in test} == {n for n, s in split.items() if s == "test"}
    assert sorted(p.name for p in (sample / "raw").iterdir()) == sorted(split)
    for row in train + test:
        labels = [c for c in CLASSES if row[c] == "1"]
        assert labels
        assert set(labels) <= set(SHARES)
        assert labels == ["blank"] or "blank" not in labels
    assert all(0 <= float(r[c]) <= 1 for r in template for c in CLASSES)
    assert list(sites[0]) == ["filename", "site", "split", "time", "night"]


def test_clips_decode_to_what_was_drawn(sample: Path) -> None:
    shots = plan(**SMALL)
    for codec in ("h264", "mjpeg"):
        shot = next(s for s in shots if s.codec == codec and not s.night)
        clip = read_clip(str(sample / "raw" / shot.filename), ClipSpec())
        assert clip.status == "ok"
        assert (clip.width, clip.height) == (WIDTH, HEIGHT)
        assert 4 <= clip.duration <= 6.2
        assert clip.frames.shape == (16, HEIGHT, WIDTH, 3)
        drawn = next(iter(frames(shot, SMALL["seed"])))
        # Full range and the right primaries: a mistake in either shifts patches by 10 and more.
        read, shown = (
            f[:176].reshape(22, 8, 40, 8, 3).mean((1, 3)) for f in (clip.frames[0].astype(float), drawn)
        )
        assert np.abs(read - shown).mean() < 2.5
        assert np.abs(read.mean((0, 1)) - shown.mean((0, 1))).max() < 2


def test_frames_follow_from_the_seed_alone() -> None:
    shot = next(s for s in plan(**SMALL) if s.labels == ("duiker",))
    first = [f for f, _ in zip(frames(shot, 5), range(3), strict=False)]
    other = next(s for s in plan(**SMALL) if s.site != shot.site)
    next(iter(frames(other, 5)))  # whatever this process drew in between
    again = [f for f, _ in zip(frames(shot, 5), range(3), strict=False)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], next(iter(frames(shot, 6))))


def test_a_blank_clip_moves_in_the_wind_and_in_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    shot = next(s for s in plan(**SMALL) if s.labels == ("blank",) and not s.night)
    windy = [f.astype(float) for f in frames(shot, 5)][::8]
    monkeypatch.setattr(
        film.Wind, "over", lambda self, plane: lambda seconds: (plane.rgb.copy(), plane.cover)
    )
    still = [f.astype(float) for f in frames(shot, 5)][::8]
    swung = [w - s for w, s in zip(windy, still, strict=True)]
    # The noise is the same in both, so that what differs is the wind, and it is never the same wind.
    moved = [np.abs(d - e)[:110].mean() for d, e in itertools.pairwise(swung)]
    assert np.mean(moved) > 1
    assert min(moved) > 0.2
    assert np.ptp([f[:160].mean() for f in windy]) < 4  # nothing large enters


def test_any_number_of_workers_gives_the_same_and_a_lost_clip_comes_back(
    sample: Path, tmp_path: Path
) -> None:
    victim = sorted((sample / "raw").iterdir())[3]
    whole = victim.read_bytes()
    others = {p: p.stat().st_mtime_ns for p in (sample / "raw").iterdir() if p != victim}
    victim.unlink()
    (sample / "sample.json").rename(sample / ".rendering.json")
    ensure_sample(sample, **SMALL, workers=0)
    assert victim.read_bytes() == whole
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_a_finished_clip_is_told_in_one_piece(tmp_path: Path) -> None:
    """Processes share a pipe: a number and its line end, written one after the other, would mix."""
    (tmp_path / "raw").mkdir()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps what was written apart
    order = {"clips": 10, "sites": 3, "seed": 5, "root": str(tmp_path), "indices": [0, 1]}
    ours.settimeout(120)
    with ours, theirs, subprocess.Popen(
        [sys.executable, "-m", "jungle.sample.worker"],
        stdin=subprocess.PIPE, stdout=theirs, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        print(json.dumps(order), file=process.stdin, flush=True)
        assert [ours.recv(99) for _ in range(2)] == [b"0\n", b"1\n"]


def test_a_complete_sample_costs_nothing(sample: Path) -> None:
    began = time.perf_counter()
    assert ensure_sample(sample, **SMALL) == sample
    assert time.perf_counter() - began < 0.2


def test_another_samples_folder_is_left_alone(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds a sample of 10 clips.*data\.root"):
        ensure_sample(sample, clips=12, sites=3, seed=5)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine.mp4").write_bytes(b"x")
    with pytest.raises(UserError, match="not the sample's"):
        ensure_sample(tmp_path, **SMALL)
    assert (tmp_path / "raw" / "mine.mp4").exists()


def running(group: int) -> list[int]:
    """The live processes of a process group; one that ended and was not waited for does not count."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_it_leaves_no_process_and_goes_on_in_two_at_once(tmp_path: Path) -> None:
    # Without a main guard: a start method that imports the script again would render for ever.
    script = tmp_path / "train.py"
    script.write_text(
        "from jungle.sample import ensure_sample\n"
        f"ensure_sample({str(tmp_path / 's')!r}, clips=10, sites=3, seed=5, workers=2)\n"
        "print('done')\n"
    )
    raw = tmp_path / "s" / "raw"
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True)
    try:
        late = time.monotonic() + 120  # on a busy machine the imports alone take half a minute
        while not raw.exists() or all(p.name[0] == "." for p in raw.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < late
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    late = time.monotonic() + 60
    while running(process.pid) and time.monotonic() < late:
        time.sleep(0.1)
    assert not running(process.pid)  # the workers went with it
    kept = {p: p.stat().st_mtime_ns for p in raw.iterdir() if p.name[0] != "."}
    assert 0 < len(kept) < 10
    both = [
        subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == ["done\n", "done\n"]
    assert len(list(raw.iterdir())) == 10
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert (tmp_path / "s" / "train_labels.csv").exists()
