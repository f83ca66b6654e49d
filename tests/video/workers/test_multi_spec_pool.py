from dataclasses import replace
from pathlib import Path

import numpy as np
import pool_tasks
import pytest

from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video.decoders import pyav
from jungle.video.reader import read_each
from jungle.video.workers.decode_pool import DecodePool, Job

SPECS = [
    ClipSpec(Frames("fps", 45, 3), (48, 64)),
    ClipSpec(Frames("uniform", 5), (40, 40), interpolation="bicubic"),
    ClipSpec(Frames("random", 4), (48, 64), crop_bottom=0.1),
    ClipSpec(Frames("motion", 3), (48, 64)),
    ClipSpec(Frames("uniform", 8), (32, 32), focus="motion"),
]
CLIPS = ("h264_gop250.mp4", "h264_b_pyramid.mp4", "h264_b.avi", "mjpeg.avi", "msmpeg4.asf", "vfr.mp4")


def equal(one, other) -> None:
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_array_equal(one.times, other.times)
    facts = [{k: v for k, v in vars(c).items() if k not in ("frames", "times")} for c in (one, other)]
    assert facts[0] == facts[1]


@pytest.mark.parametrize("name", CLIPS)
def test_each_gets_what_it_would_get_alone(case, name: str) -> None:
    for clip, spec in zip(read_each(case(name), SPECS, seed=3), SPECS, strict=True):
        equal(clip, read_clip(case(name), spec, seed=3))


def test_a_sound_clip_is_decoded_once(case, monkeypatch) -> None:
    passes = []
    decode = pyav.decode
    monkeypatch.setattr(pyav, "decode", lambda *args: passes.append(args[0]) or decode(*args))
    plain = [s for s in SPECS if s.frames.kind != "motion"]
    read_each(case("h264_gop250.mp4"), plain, seed=3)
    assert len(passes) == 1
    for spec in plain:
        read_clip(case("h264_gop250.mp4"), spec, seed=3)
    assert len(passes) == 1 + len(plain)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_reads_for_those_that_ask_and_says_what_cannot_be_read(case, tmp_path, workers: int) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(case("mjpeg.avi").read_bytes()[:-20_000])
    jobs = [
        Job("a", str(case("h264_gop250.mp4")), specs=(0, 1)),
        Job("b", str(broken), specs=(0, 1)),
        Job("c", str(cut), specs=(0, 1, 4)),
        Job("d", str(case("vfr.mp4")), specs=(1,)),
    ]
    with DecodePool(SPECS, workers=workers, timeout_s=60) as pool:
        found = {job.key: (job.specs, clips) for job, clips in pool.map_each(jobs, ahead=2)}
    assert list(found) == ["a", "b", "c", "d"]
    assert isinstance(found["b"][1], ClipError)
    for key, path in (("a", case("h264_gop250.mp4")), ("c", cut), ("d", case("vfr.mp4"))):
        which, clips = found[key]
        for i, clip in zip(which, clips, strict=True):
            equal(clip, read_clip(path, SPECS[i]))
    assert found["c"][1][0].status == "degraded"


def test_a_clip_that_loses_a_worker_for_several_models_is_read_for_each_alone(case, monkeypatch):
    import_path = str(Path(pool_tasks.__file__).parent)
    monkeypatch.syspath_prepend(import_path)
    job = Job("a", str(case("vfr.mp4")), specs=(0, 1))
    task = pool_tasks.DieTogether(tuple(SPECS))
    with DecodePool(SPECS, workers=1, timeout_s=60) as pool:
        assert pool._pool is not None
        pool._pool._task = task
        ((_, clips),) = pool.map_each([job], ahead=1)
        assert pool.processes[0].starts == 2
    for clip, spec in zip(clips, SPECS, strict=False):
        equal(clip, read_clip(job.path, replace(spec, decoder="pyav")))
