"""No frame that was never filmed is given as sound, whatever the codec and whichever the door."""

import importlib.util
import logging
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest

from jungle.video import Clip, ClipError, ClipSpec, Frames, read_clip
from jungle.video.decoders import trust
from jungle.video.decoders.gpu_plan import Plan
from jungle.video.full_clip import NotWhole, read_whole
from jungle.video.indexing.index import index_clips
from jungle.video.reader import read_each, read_or_plan
from jungle.video.transcode.dataset import shrink_clips
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip
from jungle.video.workers.decode_pool import DecodePool, Job
from tests.conftest import ROOT
from tests.video.clip_cases import numbered, remux


def _benchmark():
    spec = importlib.util.spec_from_file_location("damage_benchmark", ROOT / "benchmarks" / "damage.py")
    module = sys.modules["damage_benchmark"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = _benchmark()
SPEC = ClipSpec(Frames("uniform", 16), bench.SIZE, decoder="pyav")
# Codecs whose pictures refer to others, as cameras and editors write them.
REFERRING = (
    "h264_b.mp4",
    "h264_p.mp4",
    "h264_open.mp4",
    "h264_slices.avi",
    "h264.mkv",
    "hevc.mp4",
    "mpeg4.avi",
    "mpeg4_b.mp4",
    "msmpeg4.asf",
    "vp9.mkv",
    "vp8.webm",
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    names = (*REFERRING, "mjpeg.avi", "mpeg2.mpg")
    return {p.name: bench.Base.of(p) for p in bench.write_bases(folder, names)}


@pytest.fixture(scope="module")
def true(bases):
    return {name: read_clip(base.path, bench.ALL).frames for name, base in bases.items()}


def blanked(base, path: Path, packet: int, part: float = 1.0, keep: int = 0) -> Path:
    """A copy with the last `part` of a packet's bytes lost; `keep` bytes at its beginning stay."""
    at, size, _ = base.packets[packet]
    begin = max(keep, size - int(size * part))
    path.write_bytes(base.data[: at + begin] + bytes(size - begin) + base.data[at + size :])
    return path


def far(clip: Clip, true_frames: np.ndarray) -> float:
    return float(bench.distances(clip.frames, true_frames).max())


@pytest.mark.parametrize("part", [1.0, 0.6])
@pytest.mark.parametrize("name", REFERRING)
def test_what_follows_a_lost_key_frame_is_left_out_up_to_the_next(bases, true, tmp_path, name, part):
    base = bases[name]
    if name.endswith(("mkv", "webm", "asf")) and part == 1.0:
        pytest.skip("packets of this container bear their headers in front")
    path = blanked(base, tmp_path / name, 0, part, keep=5 if name.startswith(("h264", "hevc")) else 0)
    clip = read_clip(path, SPEC)
    assert clip.status == "degraded"
    assert "damaged" in clip.reason or "lost" in clip.reason
    assert far(clip, true[name]) < bench.FAR


def test_a_clip_whose_only_key_frame_is_lost_is_failed(tmp_path):
    path = tmp_path / "one.mp4"
    write_clip(path, bench.scene(24), options={"g": "250", "crf": "28"})
    blanked(bench.Base.of(path), path, 0, 0.9)
    with pytest.raises(ClipError, match=r"frames are damaged|no frame can be decoded"):
        read_clip(path, SPEC)


def test_pictures_before_the_first_key_frame_are_not_given(bases, true, tmp_path):
    """An AVI whose first packet is gone from the stream: the decoder starts from grey."""
    base = bases["mpeg4.avi"]
    data = bytearray(base.data)
    at, size, _ = base.packets[0]
    data[at : at + size] = bytes(size)
    data[data.index(b"idx1") : data.index(b"idx1") + 4] = b"junk"
    path = tmp_path / "grey.avi"
    path.write_bytes(data)
    clip = read_clip(path, SPEC)
    assert clip.status == "degraded"
    assert far(clip, true["mpeg4.avi"]) < bench.FAR


def test_a_damaged_frame_in_the_middle_hands_its_damage_down(bases, true, tmp_path):
    base = bases["mpeg4.avi"]
    path = blanked(base, tmp_path / "middle.avi", 26, 0.8)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500), bench.SIZE, decoder="pyav"))
    assert clip.status == "degraded"
    lost = [n for n in range(48) if not np.isclose(clip.times * 30, n).any()]
    assert lost == list(range(26, 36))  # up to the next key frame of a group of 12
    assert far(clip, true["mpeg4.avi"]) < 1


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
@pytest.mark.parametrize("name", ["h264_p.mp4", "mpeg4.avi"])
def test_a_decoder_that_conceals_hands_damaged_clips_to_pyav(bases, true, tmp_path, name, decoder):
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec.decoders", exc_type=RuntimeError)
    spec = ClipSpec(SPEC.frames, SPEC.size, decoder=decoder)
    assert read_clip(bases[name].path, spec).decoder == decoder
    path = blanked(bases[name], tmp_path / name, 0, 0.6)
    clip, by_pyav = read_clip(path, spec), read_clip(path, SPEC)
    assert (clip.decoder, clip.status, clip.reason) == ("pyav", "degraded", by_pyav.reason)
    np.testing.assert_array_equal(clip.frames, by_pyav.frames)


def test_what_a_gpu_would_decode_is_checked_first(bases, tmp_path):
    spec = ClipSpec(SPEC.frames, SPEC.size, decoder="torchcodec", device="cuda")
    assert isinstance(read_or_plan(bases["h264_p.mp4"].path, spec), Plan)
    clip = read_or_plan(blanked(bases["h264_p.mp4"], tmp_path / "broken.mp4", 0, 0.6), spec)
    assert isinstance(clip, Clip)
    assert (clip.decoder, clip.status) == ("pyav", "degraded")
    assert clip.on_cpu


def test_all_doors_say_it(bases, true, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    path = blanked(bases["mpeg4.avi"], folder / "broken.avi", 0, 0.8)
    shutil.copy(bases["mpeg4.avi"].path, folder / "fine.avi")
    specs = [SPEC, ClipSpec(Frames("keyframe", 4), (32, 32), decoder="pyav")]
    for clip in read_each(path, specs):
        assert clip.status == "degraded"
        assert clip.times[0] > 0
    with pytest.raises(NotWhole, match="damaged"):
        read_whole(path, SPEC, 1 << 30)
    rows = index_clips(sorted(folder.iterdir()), tmp_path / "index.parquet", root=folder)
    assert dict(rows.select("clip", "status").iter_rows()) == {"broken.avi": "degraded", "fine.avi": "ok"}
    copies = shrink_clips(sorted(folder.iterdir()), folder, tmp_path / "out", Shrink(short_side=64))
    said = {row["clip"]: row for row in copies.iter_rows(named=True)}
    assert (said["broken.avi"]["status"], said["broken.avi"]["frames"]) == ("degraded", 36)
    assert "12 of 48 frames are damaged" in said["broken.avi"]["reason"]
    assert (said["fine.avi"]["status"], said["fine.avi"]["frames"]) == ("ok", 48)
    copy = read_clip(tmp_path / "out" / "broken.avi", SPEC)
    assert far(copy, true["mpeg4.avi"]) < bench.FAR
    assert isinstance(copies, pl.DataFrame)


def test_far_fewer_frames_than_the_header_tells_are_a_degraded_clip(bases, tmp_path):
    for name, at in (("mjpeg.avi", b"strh"), ("mpeg4.avi", b"strh")):
        data = bytearray(bases[name].data)
        length = data.index(at) + 8 + 32
        assert int.from_bytes(data[length : length + 4], "little") == 48
        data[length : length + 4] = (50).to_bytes(4, "little")
        path = tmp_path / name
        path.write_bytes(data)
        assert read_clip(path, SPEC).status == "ok", "cameras count a frame or two too many"
        data[length : length + 4] = (200).to_bytes(4, "little")
        path.write_bytes(data)
        clip = read_clip(path, SPEC)
        assert (clip.status, clip.reason) == (
            "degraded",
            "48 of 200 frames that the header announces are there",
        )


def test_a_broken_container_is_damage(bases, tmp_path):
    """A cluster that is zeros: Matroska passes over it, and no decoder misses its frames."""
    base = bases["h264.mkv"]
    at = base.packets[20][0]
    path = tmp_path / "hole.mkv"
    path.write_bytes(base.data[: at - 40] + bytes(600) + base.data[at + 560 :])
    assert read_clip(path, SPEC).status == "degraded"


def test_recordings_joined_end_to_end_are_whole(case, tmp_path):
    data = case("h264.mts").read_bytes()
    path = tmp_path / "joined.mts"
    path.write_bytes(data + data)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500), (48, 64), decoder="pyav"))
    assert (len(clip.times), clip.status, clip.reason) == (160, "ok", "")
    hole = len(data) // 2 // 188 * 188
    path.write_bytes(data[:hole] + data[hole + 188 * 3 :])
    assert read_clip(path, SPEC).status == "degraded"


@pytest.mark.parametrize("name", ["h264_open_gop.mp4", "hevc_open.mp4", "mpeg2.mpg", "mpeg4_b.avi"])
def test_a_recording_cut_at_an_open_group_is_whole(case, tmp_path, name):
    """Frames that refer to what was cut off belong to no clip: no player shows them."""
    path, plain = tmp_path / "cut.mkv", tmp_path / "plain.mkv"
    remux(case(name), plain) if not name.endswith("avi") else shutil.copy(case(name), plain)
    cut_at_key(plain, path, 1)
    clip = read_clip(path, ClipSpec(Frames("uniform", 500), decoder="pyav"))
    assert (clip.status, clip.reason) == ("ok", "")
    whole = np.stack(list(numbered()))
    assert bench.distances(clip.frames, whole).max() < 8
    assert len({f.tobytes() for f in clip.frames}) == len(clip.times)


def cut_at_key(source: Path, path: Path, number: int) -> None:
    """Copy a stream from one of its key packets on."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        video, seen, first = old.streams.video[0], -1, None
        stream = new.add_stream_from_template(video)
        for packet in old.demux(video):
            if packet.size and packet.dts is not None:
                seen += packet.is_keyframe
                if seen >= number:
                    first = packet.dts if first is None else first
                    packet.pts, packet.dts = packet.pts - first, packet.dts - first
                    packet.stream = stream
                    new.mux(packet)


def test_a_decoder_that_complains_of_every_frame_alike_leaves_a_clip_degraded(bases, true, monkeypatch):
    decode = trust.WatchedDecoder._decode
    monkeypatch.setattr(trust.WatchedDecoder, "_decode", lambda self, packet: (decode(self, packet)[0], True))
    clip = read_clip(bases["mpeg4.avi"].path, SPEC)
    assert (clip.status, len(clip.times)) == ("degraded", 16)
    assert "complains" in clip.reason
    assert far(clip, true["mpeg4.avi"]) < 1


def test_how_others_listen_to_ffmpeg_is_left_as_it_was(bases, tmp_path, caplog):
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    path = blanked(bases["mpeg4.avi"], tmp_path / "a.avi", 0, 0.8)
    with caplog.at_level(logging.DEBUG):
        read_clip(path, SPEC)
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
    assert not [r for r in caplog.records if r.name.startswith("libav")]


def test_lines_that_are_signs_of_damage():
    assert trust.is_sign(16, "error while decoding MB 3 4, bytestream 30")
    assert trust.is_sign(32, "concealing 99 DC, 99 AC, 99 MV errors in I frame")
    assert trust.is_sign(24, "Skipping invalid undecodable NALU: 1")
    assert not trust.is_sign(16, "unable to decode APP fields: Invalid data found")
    assert not trust.is_sign(16, "mmco: unref short failure")
    assert not trust.is_sign(24, "looks like this file was encoded with (divx4/(old)xvid/opendivx)")


def test_a_slice_of_broken_copies(bases, true, tmp_path):
    """Of codecs whose decoders tell of damage, no untrue frame passes as sound; see benchmarks/damage.py."""
    some = [b for n, b in bases.items() if n.startswith(("h264", "mpeg4", "msmpeg4", "mpeg2"))]
    made, jobs = {}, []
    for key, kind, base, data in bench.mutants(some, 240, 5):
        if kind == "flip_head":
            continue  # a bit of a parameter set makes another stream, which is valid
        (tmp_path / key).write_bytes(data)
        made[key] = base
        jobs.append(Job(key, str(tmp_path / key)))
    said: dict[str, int] = {}
    with DecodePool(SPEC, workers=2, timeout_s=30) as pool:
        for job, clip in pool.map(jobs, ahead=8):
            status = clip.status if isinstance(clip, Clip) else "failed"
            said[status] = said.get(status, 0) + 1
            if status == "ok":
                assert far(clip, true[made[job.key].path.name]) < bench.FAR, job.key
    assert min(said["ok"], said["degraded"], said["failed"]) > 10, said
