"""Decoding by threads: with a decoder of the tests' own, with torchcodec on the CPU, and on a GPU if any."""

import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from jungle.errors import UserError
from jungle.video import Clip, ClipError, ClipSpec, Frames, read_clip
from jungle.video.decoders import nvdec
from jungle.video.frames.sampling import pick
from jungle.video.workers.decode_pool import DecodePool, Job
from jungle.video.workers.device_trial import TOLERANCE, measure_difference, to_array
from jungle.video.workers.gpu_pool import GpuPool, open_pool
from tests.video.clip_cases import CASES, has_torchcodec, needs_ffmpeg, sequential

SPEC = ClipSpec(Frames("uniform", 4), (48, 64), decoder="torchcodec", device="cuda")
ON_CPU = replace(SPEC, decoder="pyav", device="cpu")
# For these a worker decodes, whatever the GPU.
NOT_FOR_NVDEC = {
    "mjpeg.avi": "mjpeg video",
    "mjpeg_422.avi": "mjpeg video",
    "mjpeg_two_formats.avi": "mjpeg video",
    "mjpeg_audio.avi": "mjpeg video",
    "mjpeg.mov": "mjpeg video",
    "one_frame.avi": "mjpeg video",
    "msmpeg4.asf": "msmpeg4v3 video",
    "msmpeg4_v2.avi": "msmpeg4v2 video",
    "mpeg2.mpg": "mpeg2video video",
    "h264_b.avi": "packets without times",
    "mpeg4_b.avi": "packets without times",
    # Where torchcodec errs about the times, as it says itself.
    "h264.mts": "the decoder returned a different frame than requested",
    "h264_no_b.avi": "the decoder returned a different frame than requested",
}


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICES = ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, needs_gpu])]


@pytest.fixture
def clip_path(case):
    return str(case("h264_gop30.mp4"))


def colour(value):
    """What the tests' own decoder gives: frames of one grey."""

    def decode(plan, spec, device):
        frames = torch.full((len(plan.numbers), *spec.size, 3), value(plan), dtype=torch.uint8)
        return Clip(frames, plan.times, "ok", "", "torchcodec-cuda", 1, 1, plan.fps, plan.duration)

    return decode


def test_clips_come_in_the_order_asked_whichever_is_done_first(case):
    paths = [str(case(n)) for n in ("h264_gop30.mp4", "mjpeg.avi", "vfr.mp4", "h264_gop60.mp4")] * 5
    turn = iter([0.2, 0.0, 0.1] * 10)

    def decode(plan, spec, device):
        time.sleep(next(turn))
        return colour(lambda p: 60 if "gop60" in p.path else 30)(plan, spec, device)

    jobs = [Job(str(i), path) for i, path in enumerate(paths)]
    with GpuPool(SPEC, device="cpu", workers=2, threads=3, decode=decode) as pool:
        got = list(pool.map(iter(jobs), ahead=6))
    assert [job for job, _ in got] == jobs
    for job, clip in got:
        if "mjpeg" in job.path:
            assert (clip.decoder, clip.on_cpu) == ("pyav", "mjpeg video")
            np.testing.assert_array_equal(clip.frames, read_clip(job.path, ON_CPU).frames)
        else:
            assert clip.decoder == "torchcodec-cuda"
            assert (clip.frames == (60 if "gop60" in job.path else 30)).all()


def test_no_more_is_decoded_ahead_than_asked(clip_path):
    drawn, decoded = [], []

    def decode(plan, spec, device):
        decoded.append(plan)
        return colour(lambda _: 1)(plan, spec, device)

    def jobs():
        for i in range(30):
            drawn.append(i)
            yield Job(str(i), clip_path)

    with GpuPool(SPEC, device="cpu", workers=1, threads=4, decode=decode) as pool:
        results = pool.map(jobs(), ahead=5)
        for taken in range(1, 8):
            next(results)
            time.sleep(0.1)
            assert len(drawn) <= taken + 5
            assert len(decoded) <= taken + 5
        assert len(decoded) == 7 + 4  # and what may be decoded ahead is


def test_what_the_gpu_cannot_decode_the_cpu_does_and_the_run_says_how_many(case, caplog, tmp_path):
    cut, whole = tmp_path / "cut.mkv", case("h264.mkv").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    names = ["h264_gop30.mp4", "h264_422.mp4", "mjpeg.avi", "msmpeg4.asf"]
    jobs = [Job(n, str(case(n))) for n in names] + [Job("cut", str(cut)), Job("none", "/nowhere.mp4")]

    def decode(plan, spec, device):
        if "422" in plan.path:
            raise ClipError("not this kind")
        return colour(lambda _: 9)(plan, spec, device)

    with (
        caplog.at_level(logging.INFO, "jungle"),
        GpuPool(SPEC, device="cpu", workers=1, decode=decode) as pool,
    ):
        got = {job.key: clip for job, clip in pool.map(jobs, ahead=3)}
    assert got["h264_gop30.mp4"].decoder == "torchcodec-cuda"
    reasons = {"h264_422.mp4": "not this kind", "mjpeg.avi": "mjpeg video", "msmpeg4.asf": "msmpeg4v3 video"}
    for key, reason in reasons.items():
        assert got[key].on_cpu == reason
        np.testing.assert_array_equal(got[key].frames, read_clip(case(key), ON_CPU).frames)
    assert str(got["none"]) == "no such file"
    assert (got["cut"].decoder, got["cut"].status, got["cut"].on_cpu) == ("pyav", "degraded", "damage")
    (line,) = [r.message for r in caplog.records if "clips decoded" in r.message]
    assert line.startswith("clips decoded: 1 on the GPU, 4 on the CPU (")
    assert "mjpeg video: 1" in line
    assert line.endswith(", 1 unreadable")


def test_a_hang_on_the_gpu_is_named_and_the_run_goes_on(case, clip_path, caplog):
    hanging = str(case("h264_gop60.mp4"))
    stuck = threading.Event()

    def decode(plan, spec, device):
        if plan.path == hanging:
            stuck.wait(60)
        return colour(lambda _: 5)(plan, spec, device)

    jobs = [Job(str(i), hanging if i == 1 else clip_path) for i in range(6)]
    began = time.monotonic()
    with GpuPool(SPEC, device="cpu", workers=1, threads=1, timeout_s=1, decode=decode) as pool:
        got = [clip for _, clip in pool.map(jobs, ahead=4)]
    assert time.monotonic() - began < 20
    assert [c.decoder for c in got] == ["torchcodec-cuda", "pyav", *["torchcodec-cuda"] * 4]
    np.testing.assert_array_equal(got[1].frames, read_clip(hanging, ON_CPU).frames)
    assert "h264_gop60.mp4: the GPU's decoder gave no answer within 1 s" in caplog.text
    stuck.set()


def test_a_gpu_that_hangs_again_and_again_stops_the_run_with_a_sentence(clip_path):
    stuck = threading.Event()

    def decode(plan, spec, device):
        stuck.wait(60)

    jobs = [Job(str(i), clip_path) for i in range(9)]
    with (
        GpuPool(SPEC, device="cpu", workers=1, threads=2, timeout_s=0.5, decode=decode) as pool,  # type: ignore[arg-type]
        pytest.raises(
            UserError, match=r"has hung on \d clips, the last h264_gop30\.mp4.*decoder\.device=cpu"
        ),
    ):
        list(pool.map(jobs, ahead=4))
    stuck.set()


def test_a_decoder_that_cannot_be_loaded_stops_the_run(clip_path):
    def decode(plan, spec, device):
        raise UserError("no FFmpeg libraries")

    with (
        GpuPool(SPEC, device="cpu", workers=1, decode=decode) as pool,
        pytest.raises(UserError, match="no FFmpeg libraries"),
    ):
        list(pool.map([Job("a", clip_path)], ahead=1))


def test_leaving_early_ends_everything(clip_path):
    with GpuPool(SPEC, device="cpu", workers=2, decode=colour(lambda _: 1)) as pool:
        for _ in pool.map([Job(str(i), clip_path) for i in range(100)], ahead=20):
            break
        processes = [w._process for w in pool._workers.workers]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert all(p.poll() is not None for p in processes)


def test_a_clip_whose_frames_are_others_than_listed_is_not_taken(clip_path, monkeypatch):
    from jungle.video.reader import read_or_plan

    plan = read_or_plan(clip_path, SPEC)
    late = replace(plan, pts=plan.pts + round(0.2 / plan.time_base))
    with pytest.raises(ClipError, match="a different frame than requested"):
        late.check(1, float(plan.pts[1]) * plan.time_base)
    if has_torchcodec():
        with pytest.raises(ClipError, match="a different frame"):
            nvdec.decode(late, SPEC, "cpu")
        with pytest.raises(ClipError, match=r"counts \d+ frames of"):
            nvdec.decode(replace(plan, total=plan.total - 1), SPEC, "cpu")


@needs_ffmpeg
@pytest.mark.parametrize("device", DEVICES)
def test_every_frame_is_the_one_asked_for(case, device):
    jobs = [Job(name, str(case(name))) for name in CASES]
    spec = ClipSpec(Frames("uniform", 16), decoder="torchcodec", device="cuda")
    with GpuPool(spec, device=device, workers=1, threads=2) as pool:
        got = {job.key: clip for job, clip in pool.map(jobs, ahead=6)}
    for name, clip in got.items():
        images, times = sequential(case(name))
        picks = pick(spec.frames, times, np.zeros(len(times), bool))
        assert clip.status == "ok", name
        np.testing.assert_allclose(clip.times, times[picks], atol=1e-6)
        frames = to_array(clip)
        assert frames.shape == images[picks].shape, name
        off = np.abs(frames.astype(int) - images[picks]).mean(axis=(1, 2, 3))
        assert off.max() <= (1 if device == "cpu" else TOLERANCE), (name, off.max())
        assert clip.on_cpu == NOT_FOR_NVDEC.get(name, "") or device != "cpu", name
        if name in NOT_FOR_NVDEC:
            assert isinstance(clip.frames, np.ndarray)
    if device != "cpu":
        assert got["h264_gop60.mp4"].decoder == "torchcodec-cuda"
        assert got["h264_gop60.mp4"].frames.is_cuda


@needs_ffmpeg
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("interpolation", ["area", "bicubic", "bilinear"])
def test_frames_cropped_and_resized_there_are_those_of_the_cpu(case, device, interpolation):
    for name in ("h264_gop30.mp4", "rotated_90.mp4", "full_range.mp4", "h264_open_gop.mp4"):
        here = ClipSpec(Frames("random", 6), (40, 56), 0.25, "torchcodec", interpolation)
        there = replace(here, device="cuda")
        with GpuPool(there, device=device, workers=1, threads=1) as pool:
            ((_, clip),) = pool.map([Job("a", str(case(name)), 7)], ahead=1)
        assert measure_difference(read_clip(case(name), here, 7), clip) < (
            1 if device == "cpu" else TOLERANCE
        )
        assert (clip.width, clip.height) == ((96, 128) if "rotated" in name else (128, 96))


def test_every_clip_given_is_lent_to_the_stream_that_uses_it(clip_path, monkeypatch):
    lent = []
    monkeypatch.setattr(nvdec, "lend", lambda clip: lent.append(clip) or clip)
    with GpuPool(SPEC, device="cpu", workers=1, decode=colour(lambda _: 1)) as pool:
        got = [clip for _, clip in pool.map([Job("a", clip_path), Job("b", clip_path)], ahead=2)]
    assert lent == got


def test_memory_of_frames_is_lent_to_the_stream_that_uses_them():
    asked = []

    class Frames:
        is_cuda, device = True, "cuda:0"

        def record_stream(self, stream):
            asked.append(stream)

    class Cuda:
        @staticmethod
        def current_stream(device):
            return f"stream of {device}"

    clip = Clip(Frames(), np.zeros(1), "ok", "", "torchcodec-cuda", 1, 1, 1.0, 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "cuda", Cuda)
        assert nvdec.lend(clip) is clip
    assert asked == ["stream of cuda:0"]


@needs_ffmpeg
def test_the_pool_is_the_one_that_the_spec_asks_for():
    with open_pool(SPEC, device="cuda:1", workers=1, timeout_s=5) as pool:
        assert isinstance(pool, GpuPool)
        assert pool.device == "cuda:1"
    decord = replace(SPEC, decoder="decord")
    with open_pool(decord, device="cuda:3", workers=1, timeout_s=5) as pool:
        assert isinstance(pool, DecodePool)
        assert pool._task.gpu == 3
    with open_pool(ON_CPU, device="cpu", workers=1, timeout_s=5) as pool:
        assert isinstance(pool, DecodePool)
