"""No broken file may crash or hang the reader, or come out as frames that are not there."""

import random
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jungle.video import Clip, ClipError, ClipSpec, Frames, read_clip
from jungle.video.transcode.writer import write_clip
from jungle.video.workers.decode_pool import DecodePool, Job
from tests.video import fuzzing

SPEC = ClipSpec(Frames("uniform", 12), (48, 48))
BAD_ENDS = ("no answer", "crashed", "killed", "ended with", "Error")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return fuzzing.write_bases(tmp_path_factory.mktemp("bases"))


def check(bases, folder: Path, count: int, seed: int, decoder: str) -> dict[str, Clip | ClipError]:
    jobs = []
    for name, data in fuzzing.mutants(bases, count, seed):
        (folder / name).write_bytes(data)
        jobs.append(Job(name, str(folder / name)))
    answers: dict[str, Clip | ClipError] = {}
    spec = ClipSpec(SPEC.frames, SPEC.size, decoder=decoder)
    with DecodePool(spec, workers=2, timeout_s=30) as pool:
        for job, clip in pool.map(jobs, ahead=8):
            answers[job.key] = clip
        assert [w.starts for w in pool.processes] == [1] * len(pool.processes), "a worker hung or died"
        peaks = [peak_mb(w.pid) for w in pool.processes]
    assert max(peaks) < (1500 if decoder == "torchcodec" else 300), "memory grew"
    assert len(answers) == count
    for name, clip in answers.items():
        if isinstance(clip, ClipError):
            assert str(clip), name
            assert not any(bad in str(clip) for bad in BAD_ENDS), f"{name}: {clip}"
        else:
            assert clip.frames.shape == (len(clip.times), 48, 48, 3), name
            assert 1 <= len(clip.times) <= 12, name
            assert (np.diff(clip.times) > 0).all(), name
            assert (clip.status == "ok") == (clip.reason == ""), name
    return answers


def peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_slice_of_broken_files(bases, tmp_path, decoder):
    answers = check(bases, tmp_path, 240, 11, decoder)
    read = sum(isinstance(a, Clip) for a in answers.values())
    assert read > 100
    assert sum(isinstance(a, Clip) and a.status == "degraded" for a in answers.values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "decord", "torchcodec"])
def test_a_thousand_broken_files(bases, tmp_path, decoder):
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec.decoders", exc_type=RuntimeError)
    check(bases, tmp_path, 1000, 12, decoder)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program to compare with")
def test_what_the_ffmpeg_program_recovers_is_recovered(bases, tmp_path):
    """Of formats that cameras write, no file gives frames to ffmpeg and none to us, but for those made up."""
    cameras = {
        n: d for n, d in bases.items() if n.startswith(("h264", "faststart", "mjpeg", "mpeg4", "msmpeg4"))
    }
    answers = check(cameras, tmp_path, 240, 13, "pyav")
    worse = []
    for name, clip in answers.items():
        if isinstance(clip, ClipError) and "damaged" not in str(clip):  # what came out was made up
            command = [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                str(tmp_path / name),
                "-map",
                "0:v:0",
                "-f",
                "framemd5",
                "-",
            ]
            done = subprocess.run(command, capture_output=True, timeout=60)
            if any(line and not line.startswith(b"#") for line in done.stdout.splitlines()):
                worse.append(name)
    assert not worse


def test_the_same_seed_makes_the_same_files(bases):
    small = {"mjpeg.avi": bases["mjpeg.avi"]}
    assert list(fuzzing.mutants(small, 40, 3)) == list(fuzzing.mutants(small, 40, 3))
    assert fuzzing.mutant(bases["h264.mp4"], random.Random(1)) != bases["h264.mp4"]


def patched(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + number.to_bytes(4, "big") + data[at + 4 :]


def test_a_header_that_claims_a_thousand_million_frames(bases, tmp_path):
    """All samples of one size: the claim costs the file nothing, and the reader 24 GB if believed."""
    data = bases["faststart.mp4"]
    stsz, stsc = data.index(b"stsz"), data.index(b"stsc")
    data = patched(patched(data, stsz + 8, 10), stsz + 12, 10**9)
    data = patched(data, stsc + 16, 10**9)
    path = tmp_path / "many.mp4"
    path.write_bytes(data)
    with DecodePool(SPEC, workers=1, timeout_s=60) as pool:
        ((_, clip),) = pool.map([Job("a", str(path))], ahead=1)
        assert peak_mb(pool.processes[0].pid) < 2500
    assert isinstance(clip, ClipError) or clip.status == "degraded"


def test_a_header_that_claims_huge_frames(bases, tmp_path):
    data = bytearray(bases["mpeg4.avi"])
    at = data.index(b"strf") + 12
    data[at : at + 8] = (30_000).to_bytes(4, "little") * 2
    path = tmp_path / "huge.avi"
    path.write_bytes(data)
    with DecodePool(SPEC, workers=1, timeout_s=60) as pool:
        ((_, clip),) = pool.map([Job("a", str(path))], ahead=1)
        assert peak_mb(pool.processes[0].pid) < 600
    # The frames themselves say their true size.
    assert isinstance(clip, ClipError) or (clip.width, clip.height) == (80, 64)


def test_tiny_frames(tmp_path):
    path = tmp_path / "one.avi"
    write_clip(path, (np.full((1, 1, 3), 90, np.uint8) for _ in range(5)), codec="mjpeg", pix_fmt="yuvj444p")
    for decoder in ("pyav", "decord"):
        clip = read_clip(path, ClipSpec(Frames("uniform", 3), decoder=decoder))
        assert clip.frames.shape == (3, 1, 1, 3)
        assert read_clip(path, ClipSpec(Frames("uniform", 3), (16, 16), 0, decoder)).frames.shape[1] == 16


def test_a_file_that_grows_while_it_is_read(bases, tmp_path):
    data, path = bases["h264.mts"], tmp_path / "growing.mts"
    path.write_bytes(data[: len(data) // 2])

    def grow():
        with open(path, "ab", buffering=0) as file:
            for at in range(len(data) // 2, len(data), 300):
                file.write(data[at : at + 300])
                time.sleep(0.002)

    writer = threading.Thread(target=grow)
    writer.start()
    lengths = []
    while writer.is_alive():
        lengths.append(len(read_clip(path, ClipSpec(Frames("uniform", 500))).times))
    writer.join()
    assert lengths[0] < 30
    assert len(read_clip(path, ClipSpec(Frames("uniform", 500))).times) == 30
