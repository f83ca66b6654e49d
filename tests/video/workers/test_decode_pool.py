import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pool_tasks
import pytest

from jungle.errors import UserError
from jungle.video import Clip, ClipError, ClipSpec, Frames, read_clip
from jungle.video.decoders import torchcodec
from jungle.video.workers.decode_pool import DecodePool, Job

SPEC = ClipSpec(Frames("uniform", 4), (48, 64), decoder="pyav")


@pytest.fixture
def clip_path(case):
    return str(case("h264_gop30.mp4"))


def test_results_come_in_the_order_asked_and_equal_those_of_this_process(case):
    paths = [str(case(name)) for name in ("h264_gop30.mp4", "mjpeg.avi", "vfr.mp4")] * 4
    jobs = [Job(str(i), path, i) for i, path in enumerate(paths)]
    spec = ClipSpec(Frames("random", 4), (48, 64))
    with DecodePool(spec, workers=2) as pool:
        got = list(pool.map(iter(jobs), ahead=5))
    assert [job for job, _ in got] == jobs
    for job, clip in got:
        here = read_clip(job.path, spec, job.seed)
        assert isinstance(clip, Clip)
        np.testing.assert_array_equal(clip.frames, here.frames)
        np.testing.assert_array_equal(clip.times, here.times)
        assert vars(clip).keys() == vars(here).keys()
        assert clip.decoder == here.decoder


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_clips_are_answers_not_ends(clip_path, workers):
    jobs = [Job("a", clip_path), Job("b", "/nowhere.mp4"), Job("c", clip_path)]
    with DecodePool(SPEC, workers=workers) as pool:
        got = dict(pool.map(jobs, ahead=2))
    assert isinstance(got[jobs[1]], ClipError)
    assert str(got[jobs[1]]) == "no such file"
    assert isinstance(got[jobs[2]], Clip)


def test_a_clip_that_its_source_loses_a_worker_for_is_read_without_it(clip_path):
    spec = ClipSpec(Frames("uniform", 4), (48, 64))
    with DecodePool(spec, workers=1, source=pool_tasks.die_at_the_source) as pool:
        ((_, clip),) = pool.map([Job("a", clip_path)], ahead=1)
        assert pool.processes[0].starts == 2
    np.testing.assert_array_equal(clip.frames, read_clip(clip_path, spec).frames)


def test_a_hang_a_crash_and_a_kill_cost_one_clip_each(clip_path):
    keys = ["1", "hang", "2", "crash", "3", "killed", "4", "memory", "5", "refuse", "6", "bug", "7"]
    with DecodePool(SPEC, workers=1, timeout_s=3, transform=pool_tasks.misbehave) as pool:
        began = time.monotonic()
        got = {job.key: clip for job, clip in pool.map([Job(k, clip_path) for k in keys], ahead=3)}
        assert time.monotonic() - began < 25
    assert list(got) == keys
    assert all(isinstance(got[str(i)], Clip) for i in range(1, 8))
    assert "no answer within 3 s" in str(got["hang"])
    assert "crashed (SIGABRT)" in str(got["crash"])
    assert "killed" in str(got["killed"])
    assert "memory" in str(got["memory"]).lower()
    assert str(got["refuse"]) == "not this one"
    assert "KeyError" in str(got["bug"])


def test_no_more_jobs_are_drawn_than_looked_ahead(clip_path):
    drawn = []

    def jobs():
        for i in range(40):
            drawn.append(i)
            yield Job(str(i), clip_path)

    with DecodePool(SPEC, workers=1) as pool:
        results = pool.map(jobs(), ahead=3)
        for taken in range(1, 6):
            next(results)
            assert len(drawn) <= taken + 3


def test_leaving_early_ends_the_workers(clip_path):
    with DecodePool(SPEC, workers=2, transform=pool_tasks.slow) as pool:
        for _ in pool.map([Job(str(i), clip_path) for i in range(100)], ahead=50):
            break
        processes = [w._process for w in pool.processes]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert all(p.poll() is not None for p in processes)


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(body))
    return path


def test_workers_do_not_run_the_users_script_or_import_torch(tmp_path, clip_path):
    path = script(
        tmp_path,
        f"""
        import os, sys
        print("script", flush=True)
        from jungle.video import ClipSpec
        from jungle.video.workers.decode_pool import DecodePool, Job
        with DecodePool(ClipSpec(), workers=1) as pool:
            list(pool.map([Job("a", {clip_path!r})], ahead=1))
            pid = pool.processes[0].pid
            print("torch" in open(f"/proc/{{pid}}/maps").read(), flush=True)
        """,
    )
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["script", "False"], done.stderr


@pytest.mark.parametrize("what", ["idle", "hang"])
def test_workers_end_when_their_parent_is_killed(tmp_path, clip_path, what):
    here = str(Path(pool_tasks.__file__).parent)
    path = script(
        tmp_path,
        f"""
        import sys, time, threading
        sys.path.insert(0, {here!r})
        import pool_tasks
        from jungle.video import ClipSpec
        from jungle.video.workers.decode_pool import DecodePool, Job
        pool = DecodePool(ClipSpec(decoder="pyav"), workers=1, transform=pool_tasks.misbehave)
        list(pool.map([Job("a", {clip_path!r})], ahead=1))
        print(pool.processes[0].pid, flush=True)
        if {what!r} == "hang":
            list(pool.map([Job("hang", {clip_path!r})], ahead=1))
        time.sleep(100)
        """,
    )
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.5)
        os.kill(worker, 0)
        parent.send_signal(signal.SIGKILL)
    for _ in range(50):
        if not alive(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def alive(pid: int) -> bool:
    try:
        # A process that nobody has waited for yet is dead all the same.
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_decoder_that_cannot_work_stops_the_run(clip_path, monkeypatch, tmp_path):
    try:
        torchcodec.load()
        pytest.skip("torchcodec works here")
    except UserError:
        pass
    with (
        DecodePool(ClipSpec(decoder="torchcodec"), workers=1) as pool,
        pytest.raises(UserError, match="FFmpeg"),
    ):
        list(pool.map([Job("a", clip_path)], ahead=1))
