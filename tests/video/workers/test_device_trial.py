import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from jungle.errors import UsageError
from jungle.features.fingerprint import compute_fingerprint
from jungle.video import ClipSpec, Frames, read_clip
from jungle.video.decoders import decord
from jungle.video.workers import device_selection, device_trial
from jungle.video.workers.decode_pool import Job
from jungle.video.workers.gpu_pool import open_pool

SPEC = ClipSpec(Frames("uniform", 4), (48, 64))
CUDA = replace(SPEC, decoder="torchcodec", device="cuda")


def test_only_decoders_with_a_gpu_side_take_a_gpu():
    assert device_selection.to_gpu(SPEC) == CUDA
    assert device_selection.to_gpu(replace(SPEC, decoder="decord")) == replace(
        SPEC, decoder="decord", device="cuda"
    )
    assert device_selection.to_gpu(replace(SPEC, decoder="pyav")) is None
    for decoder in ("pyav", "auto"):
        with pytest.raises(UsageError, match="decoder=torchcodec"):
            replace(SPEC, decoder=decoder, device="cuda")
    with pytest.raises(UsageError, match="device: 'tpu' is not known"):
        replace(SPEC, device="tpu")


def test_back_on_the_cpu_what_reads_needs_no_gpu():
    assert device_selection.to_cpu(CUDA) == SPEC
    assert device_selection.to_cpu(replace(SPEC, decoder="torchcodec")).decoder == "torchcodec"
    assert device_selection.to_cpu(replace(SPEC, decoder="decord", device="cuda")).decoder == "decord"


def test_the_device_is_in_the_fingerprint_only_where_frames_differ():
    assert "device" not in SPEC.to_dict()
    assert compute_fingerprint(CUDA.to_dict()) != compute_fingerprint(
        device_selection.to_cpu(CUDA, "torchcodec").to_dict()
    )
    assert ClipSpec.from_dict(CUDA.to_dict()) == CUDA
    assert ClipSpec.from_dict(SPEC.to_dict()) == SPEC


def test_decord_from_the_package_index_is_named_with_both_ways_out():
    assert not decord.has_cuda()
    with pytest.raises(UsageError) as caught:
        device_selection.require_gpu("decord", "cuda:0")
    said = str(caught.value)
    assert "\n" not in said
    for part in ("wheels are CPU-only", "Dockerfile", "--target decord-cuda", "decoder=torchcodec"):
        assert part in said


def test_a_gpu_that_is_not_there_is_one_sentence():
    with pytest.raises(UsageError, match=r"no GPU can be used here.*jungle doctor"):
        device_selection.require_gpu("auto", "cpu")
    with pytest.raises(UsageError, match=r"pyav decodes on the CPU only.*decoder=torchcodec"):
        device_selection.require_gpu("pyav", "cuda:0")


class Library(types.ModuleType):
    """A decord built with CUDA: it tells where each reader was told to decode."""

    def __init__(self, path, frames, times):
        super().__init__("decord")
        self.asked, self.path, self.images, self.times = [], path, frames, times
        self.logging = types.SimpleNamespace(set_level=lambda _: None, QUIET=0)

    def get_global_func(self, name, allow_missing):
        return name == "device_api.gpu" or None

    def cpu(self, number):
        return ("cpu", number)

    def gpu(self, number):
        return ("gpu", number)

    def VideoReader(self, path, ctx, **_):
        self.asked.append(ctx)
        images, times = self.images, np.asarray(self.times)

        class Reader:
            def __len__(self):
                return len(images)

            def __getitem__(self, n):
                return types.SimpleNamespace(asnumpy=lambda: images[n])

            def get_frame_timestamp(self, numbers):
                return np.stack([times[numbers], times[numbers]], axis=1)

        return Reader()


@pytest.fixture
def cuda_decord(case, monkeypatch):
    """What stands in for such a build: no wheel has it."""
    from tests.video.clip_cases import sequential

    images, times = sequential(case("h264_gop30.mp4"))
    library = Library(str(case("h264_gop30.mp4")), images, times)
    monkeypatch.setitem(sys.modules, "decord", library)
    return library


def test_decord_built_with_cuda_is_used_on_the_gpu(case, cuda_decord, caplog):
    assert decord.has_cuda()
    device_selection.require_gpu("decord", "cuda:0")
    spec = replace(SPEC, decoder="decord", device="cuda")
    clip = read_clip(case("h264_gop30.mp4"), spec)
    assert (clip.decoder, clip.on_cpu) == ("decord-cuda", "")
    assert cuda_decord.asked == [("gpu", 0)]
    with (
        caplog.at_level("INFO", "jungle"),
        open_pool(spec, device="cuda:2", workers=0, timeout_s=5) as pool,
    ):
        got = list(pool.map([Job("a", cuda_decord.path), Job("b", str(case("mjpeg.avi")))], ahead=1))
    assert cuda_decord.asked[1:] == [("gpu", 2)]
    assert [clip.decoder for _, clip in got] == ["decord-cuda", "pyav"]
    assert "clips decoded: 1 on the GPU, 1 on the CPU (mjpeg video: 1)" in caplog.text


def test_decord_on_the_cpu_is_told_so(case, cuda_decord):
    clip = read_clip(case("h264_gop30.mp4"), replace(SPEC, decoder="decord"))
    assert clip.decoder == "decord"
    assert cuda_decord.asked == [("cpu", 0)]


FIGURES = {"cpu_s": 10.0, "gpu_s": 4.0, "clips": 24, "on_gpu": 20, "off": 0.8}


@pytest.mark.parametrize(
    ("changed", "gpu", "said"),
    [
        ({}, True, r"6\.0 clips/s with the GPU, 2\.4 without"),
        ({"gpu_s": 9.0}, False, r"2\.7 clips/s with the GPU, 2\.4 without"),
        ({"gpu_s": 12.0}, False, "decoding on the CPU"),
        ({"off": 9.0}, False, r"differ by up to 9\.0 levels"),
        ({"on_gpu": 0}, False, "decoded none of 24"),
    ],
)
def test_the_gpu_is_taken_only_where_it_is_right_and_faster(changed, gpu, said):
    import re

    verdict = device_trial.judge({**FIGURES, **changed})
    assert verdict.gpu == gpu
    assert re.search(said, verdict.why)


def test_few_clips_are_not_worth_a_trial():
    verdict = device_trial.compare_devices(
        SPEC, CUDA, ["a.mp4"] * 20, device="cuda:0", workers=1, timeout_s=5
    )
    assert not verdict.gpu
    assert "20 clips are too few" in verdict.why


@pytest.mark.parametrize("where", ["cpu", "nonsense"])
def test_a_trial_runs_in_a_process_of_its_own_and_tells(case, where):
    paths = [str(case("h264_gop30.mp4")), str(case("mjpeg.avi"))] * 100
    verdict = device_trial.compare_devices(SPEC, CUDA, paths, device=where, workers=1, timeout_s=20)
    assert not verdict.gpu
    assert "GPU decoded none of 24 clips" in verdict.why


def test_a_trial_that_crashes_costs_the_trial(case, monkeypatch):
    import pool_tasks

    monkeypatch.setattr(device_trial, "run_trial", pool_tasks.abort)
    verdict = device_trial.compare_devices(SPEC, CUDA, ["a"] * 300, device="cuda:0", workers=1, timeout_s=5)
    assert not verdict.gpu
    assert "crashed (SIGABRT)" in verdict.why


def test_frames_of_other_times_or_shapes_are_as_far_apart_as_can_be(case):
    clip = read_clip(case("h264_gop30.mp4"), SPEC)
    assert device_trial.measure_difference(clip, clip) == 0
    tensor = clip.replace(frames=torch.from_numpy(clip.frames))
    assert device_trial.measure_difference(clip, tensor) == 0
    assert device_trial.measure_difference(clip, clip.replace(times=clip.times + 0.1)) == 255
    assert device_trial.measure_difference(clip, clip.replace(frames=clip.frames[:, 1:])) == 255
    one_bad = clip.frames.copy()
    one_bad[2] = np.clip(one_bad[2].astype(int) + 8, 0, 255)
    assert 5 < device_trial.measure_difference(clip, clip.replace(frames=one_bad)) <= 8
