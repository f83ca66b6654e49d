import os
from pathlib import Path

import numpy as np
import pytest

from jungle.video import Clip, ClipError, ClipSpec, Frames, probe, read_clip
from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A fine clip and a folder to write worse ones into."""
    folder = tmp_path_factory.mktemp("damaged")
    write_clip(
        folder / "fine.mp4", numbered(60), options={"g": "10"}, container_options={"movflags": "faststart"}
    )
    write_clip(folder / "fine.avi", numbered(60), codec="mjpeg", pix_fmt="yuvj420p")
    return folder


def test_short_clip_gives_fewer_frames_and_stays_ok(case):
    clip = read_clip(case("six_frames.mp4"), ClipSpec(Frames("uniform", 16), (32, 32)))
    assert clip.frames.shape == (6, 32, 32, 3)
    assert clip.times.tolist() == [0, 1, 2, 3, 4, 5]
    assert (clip.status, clip.reason) == ("ok", "")
    assert (clip.width, clip.height, clip.fps, clip.duration) == (128, 96, 1.0, 6.0)


def test_facts_are_of_the_upright_source(case):
    clip = read_clip(case("rotated_90.mp4"), ClipSpec(Frames("uniform", 2), (32, 32)))
    assert (clip.width, clip.height) == (96, 128)


def test_times_are_seconds_from_the_first_frame(case):
    for name in ("late_start.mp4", "late_start.mkv", "h264.mts", "edit_list.mp4"):
        assert read_clip(case(name), ClipSpec(Frames("uniform", 500))).times[0] == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "a folder"),
        (lambda p: os.mkfifo(p), "a named pipe"),
        (lambda p: p.symlink_to("nowhere.mp4"), "dangling link"),
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_text("Dear camera,\n" * 100), "not a readable video"),
        (
            lambda p: p.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfine.mp4\n"),
            "not a readable",
        ),
        (lambda p: p.write_text("ffconcat version 1.0\nfile fine.mp4\n"), "not a readable video"),
    ],
    ids=["missing", "folder", "pipe", "link", "empty", "text", "playlist", "concat"],
)
@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_what_is_no_video_says_so(damaged, tmp_path, make, says, decoder):
    path = damaged / f"{tmp_path.name}.mp4"
    make(path)
    with pytest.raises(ClipError, match=says):
        read_clip(path, ClipSpec(decoder=decoder))
    with pytest.raises(ClipError):
        probe(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission_says_so(damaged):
    path = damaged / "secret.mp4"
    path.write_bytes((damaged / "fine.mp4").read_bytes())
    path.chmod(0)
    with pytest.raises(ClipError, match="permission"):
        read_clip(path, ClipSpec())


def test_audio_only_says_so(damaged):
    import av

    path = damaged / "audio.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(ClipError, match="audio only"):
        read_clip(path, ClipSpec())


@pytest.mark.parametrize("name", ["fine.mp4", "fine.avi"])
def test_cut_file_gives_what_is_there_and_says_so(damaged, name):
    data = (damaged / name).read_bytes()
    path = damaged / f"cut_{name}"
    path.write_bytes(data[: len(data) * 6 // 10])
    clip = read_clip(path, ClipSpec(Frames("uniform", 500)))
    assert clip.status == "degraded"
    assert "cut short" in clip.reason
    assert 5 < len(clip.times) < 60
    assert clip.decoder == "pyav"


def test_an_avi_without_its_index_still_knows_its_key_frames(damaged):
    """Cut off with the end of the file; of this codec, FFmpeg then calls every packet a key frame."""
    path = damaged / "whole.avi"
    write_clip(path, numbered(60), codec="msmpeg4v2", options={"g": "12"})
    data = path.read_bytes()
    cut = damaged / "no_index.avi"
    cut.write_bytes(data[: data.index(b"idx1")])
    for decoder in ("decord", "pyav"):
        spec = ClipSpec(Frames("uniform", 9), decoder=decoder)
        clip, whole = read_clip(cut, spec), read_clip(path, spec)
        np.testing.assert_array_equal(clip.times, whole.times)
        np.testing.assert_array_equal(clip.frames, whole.frames)


def test_broken_packets_cost_only_themselves(damaged):
    """Bytes in the middle of the MJPEG are overwritten: the frames before and after still come."""
    data = bytearray((damaged / "fine.avi").read_bytes())
    start = len(data) // 2
    data[start : start + 3000] = bytes(3000)
    path = damaged / "broken.avi"
    path.write_bytes(data)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500)))
    assert clip.status == "degraded"
    assert clip.reason
    assert 50 <= len(clip.times) < 60
    assert (np.diff(clip.times) > 0).all()


def test_crop_of_everything_is_refused(case):
    with pytest.raises(ClipError, match="crop_bottom cuts 96 px"):
        read_clip(case("h264_gop30.mp4"), ClipSpec(crop_bottom=96))


@pytest.mark.parametrize(
    "name", ["a clip.MP4", "cámara ñ — 1.avi", "concat:x.mp4", "file:y.mp4", "%03d.mp4", "-i.mp4"]
)
def test_any_file_name_reads(damaged, name):
    path = damaged / name
    path.write_bytes((damaged / ("fine.avi" if name.endswith("avi") else "fine.mp4")).read_bytes())
    for decoder in ("decord", "pyav"):
        assert len(read_clip(path, ClipSpec(Frames("uniform", 3), decoder=decoder)).times) == 3


def test_a_name_that_is_no_text_reads(damaged):
    path = os.path.join(os.fsencode(damaged), b"\xff\xfe.mp4")
    with open(path, "wb") as file:
        file.write((damaged / "fine.mp4").read_bytes())
    assert read_clip(os.fsdecode(path), ClipSpec(Frames("uniform", 3))).frames.shape[0] == 3


def test_probe_counts_what_is_there(case):
    facts = probe(case("rotated_90.mp4"))
    assert (facts.width, facts.height, facts.frames, facts.codec) == (96, 128, 80, "h264")
    assert facts.key_frames == 4
    assert facts.rotation == 90
    assert not facts.audio
    assert probe(case("audio_longer.mp4")).audio
    assert probe(case("hevc_open.mp4")).open_gop


def test_reasons_are_one_printable_line():
    error = ClipError("a\nb\x00\x1b[31m" + "x" * 1000)
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) <= 300


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data")
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_all_real_clips_read(decoder):
    paths = [p for p in (SHARED / "real_clips").rglob("*") if p.is_file()]
    assert len(paths) == 20
    for path in paths:
        clip = read_clip(path, ClipSpec(Frames("uniform", 16), (96, 96), decoder=decoder))
        plain = read_clip(path, ClipSpec(Frames("uniform", 16), (96, 96), decoder="pyav"))
        assert isinstance(clip, Clip)
        assert clip.status == "ok"
        assert len(clip.times) >= 6
        assert np.abs(clip.frames.astype(int) - plain.frames).mean() < 1.6
