"""The frame cache: what comes out of it is what decoding gives, or it is decoded."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.augment import Augmentation
from jungle.data.clip_reader import VideoReader
from jungle.data.frame_cache import cache as frame_cache_cache
from jungle.data.frame_cache import file as frame_cache_file
from jungle.data.frame_cache.cache import FrameCache
from jungle.data.frame_cache.shared_folder import LOCK, TRYING, Ledger
from jungle.data.frame_cache.worker import FULL, make_frame_fingerprint
from jungle.data.loader import Sample
from jungle.errors import UsageError, UserError
from jungle.system import free_memory
from jungle.training import clips as training_clips
from jungle.training import datamodules
from jungle.video import ClipSpec, Frames
from jungle.video.transcode.writer import write_clip

STRONG = Augmentation(crop=0.3, flip=0.5, colour=0.3, infrared=0.5, noise=0.1, blur=2.0, cutout=0.4)
SIZE = (32, 48)
NUMBERS = [0, 1, 2, 3, 1]  # one comes twice in an epoch
CLIP = 4 * 32 * 48 * 3  # bytes of four frames


@pytest.fixture
def paths(survey: Path, tmp_path: Path) -> list[str]:
    """Two sound clips, one cut short, one that is no video; in a folder that a test may change."""
    lions = sorted((survey / "clips").glob("lion_*.mp4"))[:2]
    folder = tmp_path / "clips"
    folder.mkdir()
    made = [Path(shutil.copy(p, folder)) for p in lions]
    whole = folder / "whole.avi"
    rng = np.random.default_rng(3)
    write_clip(
        whole, list(rng.integers(0, 255, (12, 64, 96, 3), np.uint8)), fps=6, codec="mjpeg", pix_fmt="yuvj420p"
    )
    cut = folder / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    (folder / "text.mp4").write_text("no video")
    return [str(p) for p in (*made, cut, folder / "text.mp4")]


Read = list[tuple[int, Sample | str]]


def read(paths, spec, cache=None, epochs=(0,), transform=None, workers=0, numbers=NUMBERS) -> Read:
    reader = VideoReader(paths, spec, workers, 60, 5, transform=transform, cache=cache)
    try:
        return [found for epoch in epochs for found in reader(numbers, epoch)]
    finally:
        reader.close()


def assert_same(one: Read, other: Read) -> None:
    assert len(one) == len(other)
    for (n, a), (m, b) in zip(one, other, strict=True):
        assert n == m
        if isinstance(a, str) or isinstance(b, str):
            assert a == b
            continue
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.times, b.times)
        assert (a.values.dtype, a.times.dtype) == (b.values.dtype, b.times.dtype)
        assert (a.status, a.reason) == (b.status, b.reason)


def kept(cache: FrameCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.safetensors"))


def taken(cache: FrameCache) -> int:
    return sum(f.stat().st_size for f in kept(cache))


def remove(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink()


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("jungle.data.frame_cache.worker.read_or_plan", refuse)
    monkeypatch.setattr("jungle.data.frame_cache.worker.read_whole", refuse)


@pytest.mark.parametrize("transform", [None, STRONG], ids=["plain", "augmented"])
@pytest.mark.parametrize("kind", ["uniform", "early_bias", "keyframe", "motion", "random"])
def test_frames_are_the_same_to_the_bit_and_not_decoded_again(paths, tmp_path, kind, transform) -> None:
    spec = ClipSpec(Frames(kind, 4), SIZE)
    plain = read(paths, spec, None, (0, 1, 2), transform)
    assert plain[2][1].status == "degraded"
    assert "not a readable video" in plain[3][1]
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    first = read(paths, spec, cache, (0,), transform)
    # A damaged clip's frames hang on which are asked for: drawn at random, they are not kept.
    gone, left = (paths[:2], [0, 1, 1]) if kind == "random" else (paths[:3], [0, 1, 2, 1])
    assert len(kept(cache)) == len(gone)
    remove(gone)
    assert_same(plain[: len(NUMBERS)], first)
    again = read(paths, spec, cache, (1, 2), transform, numbers=left)
    assert_same([r for r in plain[len(NUMBERS) :] if r[0] in left], again)
    if kind == "random":
        assert not np.array_equal(again[0][1].times, again[3][1].times)
    cache.close()


def test_worker_processes_share_it_and_a_later_run_finds_it_on_disk(paths, tmp_path) -> None:
    spec = ClipSpec(Frames("random", 4), SIZE)
    plain = read(paths, spec, None, (0, 1))
    cache = FrameCache.open("disk", tmp_path, None, paths)
    assert_same(plain[:5], read(paths, spec, cache, (0,), workers=2))
    cache.close()
    later = FrameCache.open("disk", tmp_path, None, paths)
    reader = VideoReader(paths, spec, 1, 60, 5, cache=later)
    remove(paths[:2])
    try:
        assert_same([r for r in plain[5:] if r[0] < 2], list(reader([0, 1, 1], 1)))
    finally:
        reader.close()
        later.close()


def test_any_number_of_frames_is_drawn_from_the_same_files(paths, tmp_path, monkeypatch) -> None:
    four, six = (ClipSpec(Frames("random", n), SIZE) for n in (4, 6))
    plain = read(paths, six, None, (0,), numbers=[0, 1])
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    read(paths, four, cache, numbers=[0, 1])
    no_decoding(monkeypatch)
    assert_same(plain, read(paths, six, cache, numbers=[0, 1]))


def test_all_that_shapes_frames_names_the_folder() -> None:
    base = ClipSpec(Frames("uniform", 4), SIZE)
    others = {
        "frames": Frames("uniform", 5),
        "size": (32, 64),
        "crop_bottom": 0.1,
        "decoder": "decord",
        "interpolation": "bilinear",
        "device": "cuda",
        "focus": "motion",
    }
    assert set(others) == {f.name for f in fields(ClipSpec)}
    decord = replace(base, decoder="decord")
    specs = [base, replace(base, frames=Frames("early_bias", 4)), replace(base, frames=Frames("random", 4))]
    specs += [replace(decord if k == "device" else base, **{k: v}) for k, v in others.items()]
    made = [str(make_frame_fingerprint(s)) for s in specs]
    assert len(set(made)) == len(specs)
    assert "'av': '" in made[0]


def test_another_video_of_the_same_name_is_decoded(paths, tmp_path, survey) -> None:
    spec = ClipSpec(Frames(count=4), SIZE)
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    old = read(paths, spec, cache, numbers=[0])
    shutil.copy(sorted((survey / "clips").glob("hog_*.mp4"))[0], paths[0])
    new = read(paths, spec, None, numbers=[0])
    assert not np.array_equal(old[0][1].values, new[0][1].values)
    for folder in ("cache", "other"):  # where the old one is kept, and where nothing is
        opened = FrameCache(tmp_path / folder, 1 << 30, paths)
        assert_same(new, read(paths, spec, opened, numbers=[0]))
    # Replaced after it was named by its content: not kept under that name.
    late = FrameCache(tmp_path / "late", 1 << 30, paths)
    shutil.copy(paths[1], paths[0])
    assert_same(read(paths, spec, None, numbers=[0]), read(paths, spec, late, numbers=[0]))
    assert kept(late) == []


def _flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)


def _retitle(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))


DAMAGE = {
    "cut": lambda file, _: os.truncate(file, file.stat().st_size - 1),
    "empty": lambda file, _: os.truncate(file, 0),
    "frames": lambda file, _: _flip(file, file.stat().st_size - 32 * 48 * 3 * 2),
    "another clip": lambda file, other: shutil.copy(other, file),
    "shape": lambda file, _: _retitle(file, b'"shape":[4,32,48,3]', b'"shape":[4,48,32,3]'),
    "facts": lambda file, _: _retitle(file, b'\\"status\\": \\"ok\\"', b'\\"status\\": \\"ko\\"'),
    "header": lambda file, _: _flip(file, 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_a_damaged_file_is_decoded_anew_and_mended(paths, tmp_path, damage, kind, monkeypatch) -> None:
    spec = ClipSpec(Frames(kind, 12 if kind == "random" else 4), SIZE)
    plain = read(paths, spec, numbers=[0, 1])
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    read(paths, spec, cache, numbers=[0, 1])
    (other,) = [f for f in kept(cache) if cache.contents[paths[1]].key in f.name]
    (file,) = [f for f in kept(cache) if f != other]
    whole = file.read_bytes()
    if damage == "shape" and kind == "random":
        _retitle(file, b'"shape":[12,32,48,3]', b'"shape":[12,48,32,3]')
    else:
        DAMAGE[damage](file, other)
    assert file.read_bytes() != whole
    assert_same(plain, read(paths, spec, cache, numbers=[0, 1]))
    assert file.stat().st_size == len(whole)
    assert cache.ledger.used >= taken(cache)
    no_decoding(monkeypatch)
    assert_same(plain, read(paths, spec, cache, numbers=[0, 1]))


def test_times_are_checked(tmp_path, paths) -> None:
    from jungle.video import read_clip

    clip = read_clip(paths[0], ClipSpec(Frames(count=4), SIZE))
    file = tmp_path / "one.safetensors"
    frame_cache_file.write(file, clip, "mine")
    at = file.read_bytes().find(clip.times.tobytes())
    _flip(file, at + 10)
    with pytest.raises(frame_cache_file.Damaged, match="times"):
        frame_cache_file.read(file, "mine")
    with pytest.raises(frame_cache_file.Damaged, match="another clip"):
        frame_cache_file.read(file, "yours")


@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_it_stays_in_its_limit_and_says_once_that_it_is_full(paths, tmp_path, kind, caplog) -> None:
    caplog.set_level("INFO", "jungle")
    spec = ClipSpec(Frames(kind, 4), SIZE)
    size = CLIP * (3 if kind == "random" else 1) + 10_000  # room for one of the two
    plain = read(paths, spec, None, (0, 1), numbers=[0, 1])
    cache = FrameCache(tmp_path / "cache", size, paths)
    assert_same(plain, read(paths, spec, cache, (0, 1), numbers=[0, 1]))
    assert len(kept(cache)) == 1
    assert taken(cache) <= cache.ledger.used <= size
    said = [r.message for r in caplog.records if "came from it" in r.message]
    assert len(said) == 2  # the second because clips came from it for the first time
    assert "1 were added" in said[0]
    assert f"1 ({FULL})" in said[0]
    assert [("data.cache_gb" in line) for line in said] == [True, False]
    assert "1 of 2 clips came from it" in said[1]


def test_a_full_disk_costs_nothing_but_the_cache(paths, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    spec = ClipSpec(Frames(count=4), SIZE)
    plain = read(paths, spec, None, numbers=[0])
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    monkeypatch.setattr(frame_cache_file, "save_file", full)
    assert_same(plain, read(paths, spec, cache, numbers=[0]))
    assert cache.ledger.used == 0
    assert [f for f in cache.folder.rglob("*") if ".part" in f.name or "trying" in f.name] == []


@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_a_cache_that_somebody_deletes_is_done_without(paths, tmp_path, kind) -> None:
    spec = ClipSpec(Frames(kind, 4), SIZE)
    plain = read(paths, spec, None, (0, 1), numbers=[0, 1])
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    reader = VideoReader(paths, spec, 0, 60, 5, cache=cache)
    first = list(reader([0, 1], 0))
    shutil.rmtree(cache.folder)
    assert_same(plain, first + list(reader([0, 1], 1)))
    assert not cache.folder.exists()
    cache.close()


def test_many_count_as_one(tmp_path) -> None:
    cache = FrameCache(tmp_path, 0, [])
    fits: list[bool] = []

    def fill() -> None:
        ledger = Ledger(cache.folder, 1000)
        fits.extend(ledger.take(7) for _ in range(50))

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(fits) == 1000 // 7
    assert cache.ledger.used == 7 * (1000 // 7)


def test_what_a_kill_leaves_is_cleared_when_nobody_works_there(paths, tmp_path) -> None:
    spec = ClipSpec(Frames("random", 4), SIZE)
    plain = read(paths, spec, None, (0, 1), numbers=[0])
    cache = FrameCache(tmp_path / "cache", 1 << 30, paths)
    file = (
        cache.source(spec).folder
        / cache.contents[paths[0]].key[:2]
        / f"{cache.contents[paths[0]].key}.safetensors"
    )
    file.parent.mkdir()
    claim, part = file.with_suffix(".trying"), file.with_name(".x.part.safetensors")
    for left in (claim, part):
        left.write_bytes(b"12345")
    cache.ledger.take(10**6)
    # A claim whose owner is gone, or at work: read as without a cache, and nothing is kept.
    assert_same(plain, read(paths, spec, cache, (0, 1), numbers=[0]))
    second = FrameCache(tmp_path / "cache", 1 << 30, paths)
    assert part.exists()  # the first is still there
    second.close()
    cache.close()
    third = FrameCache(tmp_path / "cache", 1 << 30, paths)
    assert not part.exists()
    assert not claim.exists()
    assert third.ledger.used < 10_000
    assert_same(plain, read(paths, spec, third, (0, 1), numbers=[0]))
    assert kept(third) == [file]
    assert abs(third.ledger.used - taken(third)) < 10_000


FILL = """
import sys
from pathlib import Path
from jungle.data.frame_cache.cache import FrameCache
from jungle.data.clip_reader import VideoReader
from jungle.video import ClipSpec, Frames

if __name__ == "__main__":
    folder, *paths = sys.argv[1:]
    cache = FrameCache(Path(folder), 1 << 30, paths)
    reader = VideoReader(paths, ClipSpec(Frames("random", 4), (32, 48)), 2, 60, 5, cache=cache)
    print("ready", flush=True)
    for number, _ in reader(list(range(len(paths))), 0):
        print(number, flush=True)
"""


def test_killed_at_any_moment_it_holds_whole_clips_alone(survey, tmp_path) -> None:
    paths = sorted(str(p) for p in (survey / "clips").glob("*.mp4"))
    numbers = list(range(len(paths)))
    spec = ClipSpec(Frames("random", 4), SIZE)
    plain = read(paths, spec, None, numbers=numbers)
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    folder, grown = tmp_path / "cache", []
    for stop_after in (0, 5, 11):  # clips that have come out when the kill comes
        with subprocess.Popen(
            [sys.executable, script, folder, *paths], stdout=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            for _ in range(stop_after + 1):
                assert run.stdout.readline()
            run.kill()
        wait_until_left(folder)
        cache = FrameCache(folder, 1 << 30, paths)
        assert abs(cache.ledger.used - taken(cache)) < 10_000
        assert not [f for f in folder.rglob("*") if ".part" in f.name or f.name.endswith(TRYING)]
        grown.append(len(kept(cache)))
        cache.close()
    assert grown == sorted(grown)
    assert grown[0] < len(paths)
    cache = FrameCache(folder, 1 << 30, paths)
    assert_same(plain, read(paths, spec, cache, numbers=numbers))
    assert len(kept(cache)) == len(paths)
    cache.close()


def wait_until_left(folder: Path) -> None:
    """Wait for the workers of a killed process, which end when they find it gone."""
    with open(folder / LOCK, "rb") as lock:
        for _ in range(300):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)
    raise AssertionError("somebody still holds the cache")


def test_in_memory_the_last_removes_it_and_the_next_what_a_kill_left(paths, tmp_path, monkeypatch) -> None:
    shm = tmp_path / "shm"
    shm.mkdir()
    monkeypatch.setattr(frame_cache_cache, "SHM", shm)
    one, two = (FrameCache.open("ram", tmp_path / "a", 0.1, paths) for _ in range(2))
    other = FrameCache.open("ram", tmp_path / "b", 0.1, paths)
    assert one.folder == two.folder != other.folder
    assert one.folder.stat().st_mode & 0o77 == 0
    one.close()
    one.close()
    assert two.folder.exists()
    two.close()
    assert not two.folder.exists()
    # A killed process takes its locks with it and nothing else.
    assert other._held._lock is not None
    os.close(other._held._lock)
    assert other.folder.exists()
    FrameCache.open("ram", tmp_path / "a", 0.1, paths).close()
    assert list(shm.iterdir()) == []


def test_too_little_room_is_said(paths, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(frame_cache_cache, "SHM", tmp_path)
    with pytest.raises(UsageError, match=r"data.cache_gb=1e\+06 is too much: .* are free"):
        FrameCache.open("ram", tmp_path / "cache", 1e6, paths)
    monkeypatch.setattr(frame_cache_cache, "free_memory", lambda: 10**8)
    with pytest.raises(UsageError, match=r"0\.10 GB of memory are free"):
        FrameCache.open("ram", tmp_path / "cache", None, paths)
    assert list(tmp_path.glob("jungle-frames*")) == []
    monkeypatch.setattr(frame_cache_cache, "SHM", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="lacks"):
        FrameCache.open("ram", tmp_path / "cache", None, paths)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data.cache=disk: .*file.* cannot be used"):
        FrameCache.open("disk", tmp_path / "file", None, paths)


def test_free_memory_is_the_containers_where_that_is_less(tmp_path) -> None:
    meminfo, group = tmp_path / "meminfo", tmp_path / "group"
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable: 2000 kB\n")
    assert free_memory(meminfo, group) == 2000 * 1024
    group.mkdir()
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    for limit, free in (("max", 2000 * 1024), ("1000000", 200_000), ("9000000", 2000 * 1024), ("1", 0)):
        (group / "memory.max").write_text(limit + "\n")
        assert free_memory(meminfo, group) == free


def test_training_opens_it_for_the_clips_that_are_read_again(survey, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(frame_cache_cache, "SHM", tmp_path)
    args = ["data=csv", f"data.root={survey}", f"data.labels={survey / 'labels.csv'}", "data.workers=0"]
    args += ["model=finetune", "frames=random", f"paths.cache={tmp_path / 'cache'}", "augment=strong"]
    cfg = overrides.compose("train", [*args, "data.cache=ram", "data.cache_gb=0.1"], config_dir())
    clips, _ = training_clips.load(cfg)
    spec = ClipSpec(Frames("random", 2), SIZE)
    data = datamodules.build_video_datamodule(cfg, clips, spec, replace(spec, frames=Frames("uniform", 2)))
    cache = data.read_train.cache
    for number, split in enumerate(clips.splits()):
        again = split in ("train", "val")
        assert (clips.table["path"][number] in cache.contents) == again
    try:
        train, val, test = (int(data.numbers(s)[0]) for s in ("train", "val", "test"))
        for reader, number in ((data.read_train, train), (data.read_eval, val), (data.read_eval, test)):
            for _ in range(2):
                list(reader([number], 0))
        assert len(kept(cache)) == 2
        assert (cache.folder / LOCK).exists()
    finally:
        datamodules.close_datamodule(data)
    assert not cache.folder.exists()


def test_it_is_refused_where_it_would_do_nothing_and_is_no_other_run() -> None:
    def composed(*args: str):
        return overrides.compose("train", list(args), config_dir())

    with pytest.raises(UsageError, match="frozen features are made once"):
        composed("data.cache=ram")
    with pytest.raises(UsageError, match="keeps what the CPU decodes"):
        composed("model=finetune", "data.cache=disk", "decoder=torchcodec", "decoder.device=gpu")
    with pytest.raises(UsageError, match="is the room of a frame cache"):
        composed("model=finetune", "data.cache_gb=3")
    plain, cached = (
        composed("model=finetune"),
        composed("model=finetune", "data.cache=ram", "data.cache_gb=3"),
    )
    assert plain.fingerprint() == cached.fingerprint() != composed("model=finetune", "seed=9").fingerprint()
