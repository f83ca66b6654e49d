"""The contract of all decoders: each gives the frame asked for, or the clip is read by one that does."""

import re
from itertools import pairwise

import numpy as np
import pytest

from jungle.errors import UserError
from jungle.video import ClipSpec, Frames, read_clip
from jungle.video.frames.sampling import pick
from tests.video.clip_cases import CASES, LENGTH, needs_ffmpeg, sequential

# Levels by which a frame may differ in the mean from the same frame of a plain decode. The frames of a case
# differ from each other by 9 or more.
SAME = 0.5
# Given to PyAV, since decord gives other frames than those asked for, or none.
NOT_FOR_DECORD = {
    "h264_open_gop.mp4",
    "hevc_open.mp4",
    "h264.mts",
    "h264_no_b.avi",
    "h264_b.avi",
    "mpeg4_b.avi",
    "msmpeg4.asf",
    "mpeg2.mpg",
    "av1.mp4",
    "av1.mkv",
    "edit_list.mp4",
    "vp9_no_duration.mkv",
}


DECODERS = ["pyav", "decord", pytest.param("torchcodec", marks=needs_ffmpeg)]


@pytest.fixture(scope="module")
def plain():
    """A case's frames and times by a plain sequential decode, decoded once."""
    known = {}

    def of(path):
        if path not in known:
            known.clear()
            known[path] = sequential(path)
        return known[path]

    return of


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", CASES)
def test_every_frame_is_the_one_asked_for(case, plain, name, decoder):
    path = case(name)
    images, times = plain(path)
    for frames in (Frames("uniform", 16), Frames("random", 7), Frames("uniform", 500)):
        clip = read_clip(path, ClipSpec(frames, decoder=decoder), seed=4)
        picks = pick(frames, times, np.zeros(len(times), bool), seed=4)
        assert clip.status == "ok", clip.reason
        np.testing.assert_allclose(clip.times, times[picks], atol=1e-6)
        assert clip.frames.shape == images[picks].shape
        off = np.abs(clip.frames.astype(int) - images[picks]).mean(axis=(1, 2, 3))
        assert off.max() <= SAME, f"frame {picks[off.argmax()]} is another"


def test_frames_of_a_case_differ_more_than_decoders_do(case, plain):
    images, _ = plain(case("h264_gop30.mp4"))
    assert len(images) == LENGTH
    off = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(images)]
    assert min(off) > 10 * SAME


@pytest.mark.parametrize("name", CASES)
def test_decord_reads_what_it_reads_right_and_nothing_else(case, name):
    clip = read_clip(case(name), ClipSpec(Frames("uniform", 4), decoder="decord"))
    assert (clip.decoder == "decord") == (name not in NOT_FOR_DECORD)


@needs_ffmpeg
def test_torchcodec_reads_most_cases_itself(case):
    for name in (
        "h264_gop30.mp4",
        "h264_open_gop.mp4",
        "hevc_open.mp4",
        "mjpeg.avi",
        "msmpeg4.asf",
        "av1.mp4",
    ):
        assert (
            read_clip(case(name), ClipSpec(Frames("uniform", 4), decoder="torchcodec")).decoder
            == "torchcodec"
        )


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ["h264_gop30.mp4", "mjpeg.avi", "h264_open_gop.mp4", "full_range.mp4"])
def test_key_frames_are_key_frames(case, name, decoder):
    import av

    path = case(name)
    with av.open(str(path)) as container:
        keys = [float(f.time) for f in container.decode(video=0) if f.key_frame]
    clip = read_clip(path, ClipSpec(Frames("keyframe", 5), decoder=decoder))
    assert 1 <= len(clip.times) <= 5
    assert all(np.isclose(keys, t, atol=1e-3).any() for t in clip.times)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("crop", [0, 0.25, 16])
@pytest.mark.parametrize(
    "name", ["h264_gop30.mp4", "rotated_90.mp4", "mjpeg_two_formats.avi", "h264_422.mp4"]
)
def test_crop_and_size_agree_with_cropping_and_averaging_by_hand(case, plain, name, decoder, crop):
    import cv2

    path = case(name)
    images, times = plain(path)
    picks = pick(Frames("uniform", 6), times, np.zeros(len(times), bool))
    clip = read_clip(path, ClipSpec(Frames("uniform", 6), (40, 48), crop, decoder))
    height = images.shape[1]
    rows = height - (round(height * crop) if crop < 1 else crop)
    for image, n in zip(clip.frames, picks, strict=True):
        by_hand = cv2.resize(np.ascontiguousarray(images[n][:rows]), (48, 40), interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - by_hand).mean() < 1.5


@pytest.mark.parametrize(
    "name", ["h264_gop30.mp4", "h264_open_gop.mp4", "vfr.mkv", "msmpeg4.asf", "h264.mts"]
)
def test_clips_too_large_to_hold_are_read_right_in_a_second_pass(case, plain, name, monkeypatch):
    from jungle.video.container import timeline

    monkeypatch.setattr(timeline, "HOLD_BYTES", 100)
    images, times = plain(case(name))
    clip = read_clip(case(name), ClipSpec(Frames("uniform", 9), decoder="pyav"))
    picks = pick(Frames("uniform", 9), times, np.zeros(len(times), bool))
    np.testing.assert_array_equal(clip.frames, images[picks])


def test_a_stream_whose_times_are_out_of_order_is_counted(case, plain, monkeypatch):
    """As if FFmpeg had not noticed that the frames of this AVI are reordered: decoding notices."""
    from jungle.video import reader
    from jungle.video.container import timeline

    path = case("h264_b.avi")
    images, _ = plain(path)
    listed = timeline.read_timeline

    def believing(*args, **kwargs):
        found = listed(*args, **kwargs)
        found.known = True
        return found

    monkeypatch.setattr(reader, "read_timeline", believing)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500), decoder="pyav"))
    np.testing.assert_array_equal(clip.frames, images)


def test_a_wrong_index_is_not_believed(case, tmp_path):
    """The index of this AVI points elsewhere; its frames are where they were."""
    data = bytearray(case("mjpeg.avi").read_bytes())
    at = data.index(b"idx1") + 8
    for entry in range(20, 40):
        data[at + 16 * entry + 8 : at + 16 * entry + 12] = data[at + 16 * 5 + 8 : at + 16 * 5 + 12]
    path = tmp_path / "wrong.avi"
    path.write_bytes(data)
    for decoder in ("pyav", "decord"):
        clip = read_clip(path, ClipSpec(Frames("uniform", 500), decoder=decoder))
        whole = read_clip(case("mjpeg.avi"), ClipSpec(Frames("uniform", 500), decoder="pyav"))
        assert clip.decoder == "pyav"
        np.testing.assert_array_equal(clip.frames, whole.frames)


def test_reordered_frames_come_out_where_the_stream_does_not_say_how_many_it_holds_back(
    case, plain, tmp_path
):
    """MP4s are opened without a look at their frames; cameras' H.264 often lacks `bitstream_restriction`."""
    data = case("h264_b_pyramid.mp4").read_bytes()
    path = tmp_path / "no_restriction.mp4"
    path.write_bytes(without_restriction(data))
    images, times = plain(path)
    np.testing.assert_array_equal(images, plain(case("h264_b_pyramid.mp4"))[0])
    for count in (9, 500):
        clip = read_clip(path, ClipSpec(Frames("uniform", count), decoder="pyav"))
        assert (clip.status, clip.decoder) == ("ok", "pyav")
        picks = pick(Frames("uniform", count), times, np.zeros(len(times), bool))
        np.testing.assert_array_equal(clip.frames, images[picks])


def test_frames_that_the_decoder_lost_for_want_of_a_look_are_read_again(case, plain, monkeypatch):
    from jungle.video.decoders import pyav

    path = case("h264_b_pyramid.mp4")
    images, _ = plain(path)
    offer, opened_how = pyav.WantedFrames.offer, []

    def dropping(self, frame, sound):
        if not self.unseen or len(self.images) != 3:
            offer(self, frame, sound)

    decode = pyav.decode

    def noting(file, wanted):
        opened_how.append(file.timeline.trust_index)
        wanted.unseen = file.timeline.unseen
        decode(file, wanted)

    monkeypatch.setattr(pyav.WantedFrames, "offer", dropping)
    monkeypatch.setattr(pyav, "decode", noting)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500), decoder="pyav"))
    assert opened_how == [True, False]
    assert clip.status == "ok"
    np.testing.assert_array_equal(clip.frames, images)


def without_restriction(data):
    """An MP4 whose H.264 parameters end before `bitstream_restriction`, which x264 writes as their last."""
    at = data.index(b"avcC") + 12
    size = int.from_bytes(data[at - 2 : at], "big")
    bits = "".join(f"{byte:08b}" for byte in data[at : at + size])
    # Three flags and a 0; 8 twice, how far and how fast things move; frames reordered; frames held; the end.
    found = re.search(r"1111(0001001){2}(011|00101|00100){2}10*$", bits)
    assert found
    bits = (bits[: found.start()] + "01").ljust(8 * size, "0")
    return data[:at] + bytes(int(bits[i : i + 8], 2) for i in range(0, 8 * size, 8)) + data[at + size :]


def test_torchcodec_without_ffmpeg_says_so_instead_of_failing_at_each_clip(case, monkeypatch):
    torchcodec = pytest.importorskip("torchcodec")
    monkeypatch.setattr(torchcodec, "ffmpeg_major_version", None)
    with pytest.raises(UserError, match=r"finds no FFmpeg libraries.*apt-get install ffmpeg"):
        read_clip(case("h264_gop30.mp4"), ClipSpec(Frames("uniform", 4), decoder="torchcodec"))
