"""Of several video streams every decoder, and everything that looks at clips, takes the main picture."""

import os
import struct
from dataclasses import replace

import numpy as np
import pytest

from jungle.video import ClipError, ClipSpec, Frames, probe, read_clip
from jungle.video.container.open import open_video
from jungle.video.full_clip import read_whole
from jungle.video.indexing.inspect_file import THUMBNAILS, inspect
from jungle.video.indexing.perceptual_hash import compute_hash
from jungle.video.reader import read_each, read_or_plan
from jungle.video.transcode.clip import shrink_clip
from jungle.video.transcode.spec import Shrink
from tests.video.clip_cases import needs_ffmpeg
from tests.video.stream_cases import (
    CASES,
    H264,
    MAIN,
    MJPEG,
    OTHER,
    SMALL,
    STILL,
    main_of,
    shows,
    write_tracks,
)

ALL = Frames("uniform", 500)
DECODERS = ["pyav", "decord", pytest.param("torchcodec", marks=needs_ffmpeg)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function from a case's name to its file, and to a file of its main stream alone."""
    folder = tmp_path_factory.mktemp("streams")

    def of(name):
        path, alone = folder / name, folder / f"alone_{name}"
        if not path.exists():
            write_tracks(path, *CASES[name])
            write_tracks(alone, main_of(name))
        return path, alone

    return of


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", CASES)
def test_every_decoder_reads_the_main_picture(files, name, decoder):
    path, alone = files(name)
    clip = read_clip(path, ClipSpec(ALL, decoder=decoder))
    right = read_clip(alone, ClipSpec(ALL, decoder="pyav"))
    assert shows(right.frames) == MAIN
    assert (clip.status, clip.width, clip.height) == ("ok", right.width, right.height)
    np.testing.assert_allclose(clip.times, right.times, atol=2e-3)
    assert np.abs(clip.frames.astype(int) - right.frames).mean() < 0.5
    assert clip.decoder != "decord"  # it cannot be told which stream


@needs_ffmpeg
@pytest.mark.parametrize("name", ["small_first.mp4", "small_first.mkv", "small_first.mts", "cover_first.mp4"])
def test_torchcodec_is_told_the_stream_on_the_gpu_path_too(files, name):
    from jungle.video.decoders import nvdec
    from jungle.video.decoders.gpu_plan import Plan

    path, _ = files(name)
    spec = ClipSpec(Frames("uniform", 4), (48, 64), decoder="torchcodec")
    assert read_clip(path, spec).decoder == "torchcodec"
    plan = read_or_plan(path, replace(spec, device="cuda"))
    assert isinstance(plan, Plan)
    facts, (numbers, pts) = plan.pack()  # as it passes between processes
    plan = Plan(numbers=numbers, pts=pts, **facts)
    assert shows(nvdec.decode(plan, spec, "cpu").frames.numpy()) == MAIN


@pytest.mark.parametrize(
    "name", ["small_first.mp4", "small_first.mkv", "still_first.avi", "mjpeg_small_first.avi", "alike.mts"]
)
def test_all_that_looks_at_a_clip_takes_the_main_picture(files, tmp_path, name):
    path, alone = files(name)
    right = probe(alone)
    found = probe(path)
    assert (found.width, found.height, found.frames) == (right.width, right.height, right.frames)
    row, _ = inspect(("a", str(path)))
    assert (row["status"], row["width"], row["frames"]) == ("ok", right.width, right.frames)
    assert row["looks"] == compute_hash(read_clip(alone, THUMBNAILS).frames[0])
    specs = [ClipSpec(Frames("uniform", 4)), ClipSpec(Frames("motion", 3), (48, 64))]
    for clip in (*read_each(path, specs), read_whole(path, ClipSpec(ALL), 1 << 30)):
        assert shows(clip.frames) == MAIN
    moving = read_clip(path, ClipSpec(Frames("uniform", 9), (48, 64), focus="motion"))
    of_alone = read_clip(alone, ClipSpec(Frames("uniform", 9), (48, 64), focus="motion"))
    assert np.abs(moving.frames.astype(int) - of_alone.frames).mean() < 1
    copied = shrink_clip(path, tmp_path / name, Shrink(short_side=48))
    assert (copied["status"], copied["frames"]) == ("ok", right.frames)
    assert shows(read_clip(tmp_path / name, ClipSpec(ALL)).frames) == MAIN


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_stream_without_a_frame_is_none(tmp_path, suffix, decoder):
    codec = "mpeg4" if suffix == "avi" else "libx264"
    none = replace(H264, codec=codec, count=0, height=480, width=640, colour=OTHER)
    path = write_tracks(tmp_path / f"a.{suffix}", none, replace(H264, codec=codec))
    clip = read_clip(path, ClipSpec(ALL, decoder=decoder))
    assert (clip.status, len(clip.times), shows(clip.frames)) == ("ok", 40, MAIN)


def _sized(data: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    """An MP4 whose header tells another (width, height) of a stream."""
    at = -1
    while (at := data.find(b"avc1", at + 1)) >= 0:
        if struct.unpack_from(">HH", data, at + 28) == old:
            return data[: at + 28] + struct.pack(">HH", *new) + data[at + 32 :]
    raise AssertionError("no such stream")


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("old", "new"), [((128, 96), (0, 0)), ((64, 48), (640, 480)), ((64, 48), (60_000, 60_000))]
)
def test_sizes_are_those_of_the_frames_not_of_the_header(files, tmp_path, decoder, old, new):
    path = tmp_path / "a.mp4"
    path.write_bytes(_sized(files("small_first.mp4")[0].read_bytes(), old, new))
    clip = read_clip(path, ClipSpec(ALL, decoder=decoder))
    assert (clip.status, clip.width, shows(clip.frames)) == ("ok", 128, MAIN)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("small_first.mp4", b"avc1"), ("two_codecs.mkv", b"MPEG4/ISO/AVC"), ("small_first.avi", b"FMP4")],
)
def test_a_main_picture_of_an_unknown_codec_is_said_to_be_missing(files, tmp_path, name, codec):
    """What is left may be a preview alone: nobody is to take it for the clip."""
    data = files(name)[0].read_bytes()
    for _ in range(2 if name.endswith("avi") else 1):  # AVI tells it twice
        at = data.rfind(codec)
        data = data[:at] + b"Z" * len(codec) + data[at + len(codec) :]
    path = tmp_path / name
    path.write_bytes(data)
    said = "another video stream in the file has an unknown codec"
    for decoder in ("pyav", "decord"):
        clip = read_clip(path, ClipSpec(Frames("uniform", 4), decoder=decoder))
        assert (clip.width, clip.status, clip.reason) == (64, "degraded", said)
    assert probe(path).damage == said
    copied = shrink_clip(path, tmp_path / f"small_{name}", Shrink(short_side=32))
    assert (copied["status"], copied["reason"]) == ("degraded", said)


def test_a_film_of_which_one_frame_is_left_is_no_thumbnail(tmp_path):
    path = write_tracks(tmp_path / "a.mp4", SMALL, H264)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"stco")  # the chunks of the second stream, of which only one is said to be there
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    assert count > 10
    data[at + 8 : at + 12] = (1).to_bytes(4, "big")
    path.write_bytes(data)
    with open_video(path) as (_, stream):
        assert stream.index == 1


def test_of_single_frames_alone_the_largest_is_taken(tmp_path):
    stills = write_tracks(tmp_path / "b.mkv", replace(MJPEG, count=1), replace(STILL, height=960, width=1280))
    assert read_clip(stills, ClipSpec(ALL)).width == 1280


def test_a_file_that_another_has_replaced_is_judged_again(files, tmp_path):
    path = tmp_path / "a.mp4"
    for name, index in (("small_first.mp4", 1), ("small_last.mp4", 0), ("small_first.mp4", 1)):
        fresh = tmp_path / "fresh"
        fresh.write_bytes(files(name)[0].read_bytes())
        os.replace(fresh, path)
        with open_video(path) as (_, stream):
            assert stream.index == index


def test_long_clips_are_read_in_a_second_pass_of_the_same_stream(files, monkeypatch):
    from jungle.video.container import timeline

    monkeypatch.setattr(timeline, "HOLD_BYTES", 100)
    for name in ("small_first.mkv", "small_first.mp4", "small_first.avi"):
        assert shows(read_clip(files(name)[0], ClipSpec(ALL)).frames) == MAIN


def test_a_file_without_a_picture_says_so(tmp_path):
    path = write_tracks(tmp_path / "a.mkv", audio_first=True)
    with pytest.raises(ClipError, match="audio only"):
        read_clip(path, ClipSpec(ALL))


def test_a_file_is_judged_once_however_often_it_is_opened(files):
    from jungle.video.container import open

    path, _ = files("small_first.mp4")
    open._find_main_index.cache_clear()
    for _ in range(3):
        read_clip(path, ClipSpec(ALL))
    assert open._find_main_index.cache_info().misses == 1
