"""Videos made to be read wrong: what a file says of itself, lost sectors that no decoder tells of."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video import recovery as salvage
from jungle.video.container.open import open_video
from jungle.video.container.packets import read_packets
from jungle.video.container.timeline import read_timeline
from jungle.video.container.upright import Turn, read_turn
from jungle.video.decoders.blanks import has_blank
from jungle.video.decoders.pyav import decode_all
from jungle.video.decoders.trust import ERROR, is_sign
from jungle.video.indexing.inspect_file import inspect
from jungle.video.probing import probe
from jungle.video.transcode.clip import shrink_clip
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip

COUNT, HEIGHT, WIDTH = 24, 96, 128
SIZE = (48, 64)
LARGE = np.random.default_rng(4).integers(0, 256, (64, 64, 3), np.uint8).repeat(6, 0).repeat(6, 1)
EVERY = ClipSpec(Frames("uniform", 400), SIZE, decoder="pyav")
DECODERS = ("pyav", "decord", "torchcodec")
GROUPS = {"options": {"g": "8", "crf": "20"}}
FIXED = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qmin": "3", "qmax": "3", "huffman": "default"}}
ONE = 1 << 16


def moving(count: int = COUNT):
    return [LARGE[4 * n : 4 * n + HEIGHT, 6 * n : 6 * n + WIDTH] for n in range(count)]


def made(path, **how):
    write_clip(path, moving(), fps=10, **{**GROUPS, **how})
    return path


def patched(path, source, box: bytes, change):
    """A copy in which `change` has worked on the contents of the first box of a kind."""
    data = bytearray(source.read_bytes())
    change(data, data.index(box) + 4)
    path.write_bytes(data)
    return path


def places(path) -> list[tuple[int, int]]:
    """Of each video packet, where it lies and how long it is."""
    with open_video(path) as (container, stream):
        return [(p.pos, p.size) for p in read_packets(container, stream)]


def read(path, decoder: str = "pyav"):
    try:
        return read_clip(path, ClipSpec(EVERY.frames, SIZE, decoder=decoder))
    except ClipError as error:
        if "is not installed" in str(error):
            pytest.skip(str(error))
        raise


def far(frames: np.ndarray, true: np.ndarray) -> float:
    return float(np.abs(frames.astype(int) - true).mean((1, 2, 3)).max())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("attacked") / "a.mov"
    return made(path), read(path).frames


def _turned(matrix):
    def change(data: bytearray, at: int) -> None:
        begin = at + (40 if data[at] == 0 else 52)
        data[begin : begin + 20] = struct.pack(">5i", *matrix)

    return change


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((-ONE, 0, 0, 0, ONE), lambda i: i[:, :, ::-1]),
        ((ONE, 0, 0, 0, -ONE), lambda i: i[:, ::-1]),
        ((0, ONE, 0, ONE, 0), lambda i: i.transpose(0, 2, 1, 3)),
        ((0, -ONE, 0, -ONE, 0), lambda i: i[:, ::-1, ::-1].transpose(0, 2, 1, 3)),
        ((0, 0, 0, 0, 0), lambda i: i),
        ((2 * ONE, 0, 0, 0, 2 * ONE), lambda i: i),
    ],
    ids=["left_right", "up_down", "exchanged", "exchanged_turned", "nothing", "enlarged"],
)
def test_mirrored_pictures_are_turned_round_by_every_decoder(film, tmp_path, matrix, upright):
    path = patched(tmp_path / "a.mov", film[0], b"tkhd", _turned(matrix))
    plain = ClipSpec(EVERY.frames, decoder="pyav")
    true = upright(read_clip(film[0], plain).frames)
    assert far(read_clip(path, plain).frames, true) < 1
    for decoder in DECODERS[1:]:
        found = read_clip(path, ClipSpec(EVERY.frames, decoder=decoder))
        assert found.frames.shape == true.shape
        assert far(found.frames, true) < 4
    assert (probe(path).height, probe(path).width) == true.shape[1:3]
    shrink_clip(path, tmp_path / "b.mov", Shrink())
    assert far(read_clip(tmp_path / "b.mov", plain).frames, true) < 25 > far(true, true)


def test_the_matrix_of_the_film_counts_too(film, tmp_path):
    def change(data: bytearray, at: int) -> None:
        data[at + 36 : at + 56] = struct.pack(">5i", ONE, 0, 0, 0, -ONE)

    path = patched(tmp_path / "a.mov", film[0], b"mvhd", change)
    assert far(read(path).frames, film[1][:, ::-1]) < 12 < far(film[1], film[1][:, ::-1])


def test_a_plain_angle_is_taken_from_the_frames(tmp_path):
    for degrees in (0, 90, 180, 270):
        path = made(tmp_path / f"{degrees}.mp4", rotation=degrees)
        with open_video(path) as (container, stream):
            assert read_timeline(container, stream).turn is None
    assert Turn(True, False, True).degrees == 90


def test_pictures_with_a_palette_are_read_by_pyav():
    timeline = SimpleNamespace(turn=None)
    assert salvage.explain_pyav_only(timeline, SimpleNamespace(pix_fmt="pal8")) == "pictures with a palette"
    assert not salvage.explain_pyav_only(timeline, SimpleNamespace(pix_fmt="yuv420p"))


def test_frames_of_another_decode_do_not_take_this_ones_with_them(film):
    def every():
        with open_video(film[0]) as (container, stream):
            yield from decode_all(stream.codec_context, read_packets(container, stream))

    held = list(every())
    found = []
    for frame in every():
        found.append(frame[1])
        if held:
            held.pop()
    assert all(found)
    assert len(found) == COUNT


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
def test_a_stream_without_times_has_those_of_its_rate(tmp_path, name, codec):
    options = {"g": "8"} if codec == "libx264" else {"x265-params": "log-level=none:keyint=8"}
    clip = read(made(tmp_path / name, codec=codec, options=options))
    assert (clip.status, len(clip.frames), round(clip.fps, 3)) == ("ok", COUNT, 10)
    assert clip.duration == pytest.approx(COUNT / 10)
    assert np.allclose(clip.times, np.arange(COUNT) / 10)


def test_frames_that_come_in_another_order_than_their_times_are_copied(tmp_path):
    # MXF gives no times of showing for H.264 with reordered frames.
    path = tmp_path / "a.mxf"
    how = {"options": {"g": "8", "bf": "2", "x264-params": "b-adapt=0"}}
    write_clip(path, moving(), fps=25, **how)
    facts = shrink_clip(path, tmp_path / "b.mxf", Shrink())
    assert (facts["status"], facts["frames"]) == ("ok", COUNT)


AVIS = {
    "mjpeg.avi": FIXED,
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "8", "qscale": "3"}},
    "h264.avi": {"options": {"g": "8", "bf": "0"}},
}


@pytest.mark.parametrize("name", AVIS)
def test_a_chunk_that_is_not_where_the_index_says_is_a_damaged_frame(tmp_path, name):
    path = made(tmp_path / name, **AVIS[name])
    true = read(path)
    assert true.status == "ok"
    at = places(path)[13][0]
    data = bytearray(path.read_bytes())
    data[at - 8 : at + 40] = bytes(48)
    path.write_bytes(data)
    found = read(path)
    assert found.status == "degraded"
    assert len(found.frames) == COUNT - 1
    assert inspect((name, str(path)))[0]["status"] == "degraded"
    if name == "mjpeg.avi":  # whose frames are fetched by the index, so that their times are known
        kept = np.flatnonzero(np.isin(true.times.round(3), found.times.round(3)))
        assert 13 not in kept
        assert far(found.frames, true.frames[kept]) < 1
    some = read_clip(path, ClipSpec(Frames("uniform", 8), SIZE, decoder="pyav"))
    assert some.status == "degraded"


@pytest.mark.parametrize("first", [0, 4])
def test_an_index_of_which_most_is_wrong_is_no_damage(tmp_path, first):
    path = made(tmp_path / "mpeg4.avi", **AVIS["mpeg4.avi"])
    data = bytearray(path.read_bytes())
    begin = data.rindex(b"idx1") + 8
    for at in range(begin + 16 * first, begin + 16 * COUNT, 16):
        place = struct.unpack_from("<I", data, at + 8)[0]
        struct.pack_into("<I", data, at + 8, place + 2)
    path.write_bytes(data)
    found = read(path)
    assert (found.status, len(found.frames)) == ("ok", COUNT)


def test_a_recording_of_which_a_part_is_anothers_is_no_joined_one(tmp_path):
    how = {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}, "audio_s": 2.4}
    one, other = tmp_path / "a.ts", tmp_path / "b.ts"
    write_clip(one, moving(), fps=10, **how)
    write_clip(other, moving()[::-1], fps=10, **how)
    true, data, stale = read(one), one.read_bytes(), other.read_bytes()
    assert true.status == "ok"
    wrong = 0
    # Not within the first frame: there both are packed alike, and the packets' counters go on.
    for at in range(6144, len(data) - 8192, 4096):
        (tmp_path / "c.ts").write_bytes(data[:at] + stale[at : at + 4096] + data[at + 4096 :])
        found = read(tmp_path / "c.ts")
        wrong += found.status == "ok" and far(found.frames, true.frames) > 15
    assert wrong == 0


def test_what_lost_its_beginning_is_not_whole(tmp_path):
    path = made(tmp_path / "a.mov", **FIXED)
    data = path.read_bytes()
    assert read(path).status == "ok"
    (first, size), *_ = places(path)
    path.write_bytes(bytes(first) + data[first:])
    assert "beginning of the file is lost" in read(path).reason
    assert inspect(("a", str(path)))[0]["status"] == "degraded"
    paper = tmp_path / "paper.mp4"
    paper.write_bytes(b"%PDF-1.4\n" + data[first : first + size] + b"\n%%EOF")
    assert read(paper).status == "degraded"
    frames = b"".join(data[at : at + size] for at, size in places(made(tmp_path / "b.mov", **FIXED)))
    (tmp_path / "raw.mjpeg").write_bytes(frames)
    assert read(tmp_path / "raw.mjpeg").status == "ok"


def test_odd_exif_is_no_damage():
    assert not is_sign(ERROR, "error decoding EXIF data: Invalid data found when processing input")
    assert not is_sign(ERROR, "not enough bytes remaining in EXIF buffer: 2 required")
    assert is_sign(ERROR, "overread 8")


def test_bytes_behind_the_last_box_are_damage_only_in_place_of_a_fragment(film, tmp_path):
    path = tmp_path / "a.mov"
    path.write_bytes(film[0].read_bytes() + np.random.default_rng(1).bytes(3000))
    assert read(path).status == "ok"
    whole = made(tmp_path / "b.mp4", container_options={"movflags": "frag_keyframe+empty_moov"})
    data = whole.read_bytes()
    assert read(whole).status == "ok"
    begins = [at for at in range(len(data)) if data.startswith(b"moof", at)]
    for at in begins[1:]:
        for lost in (bytes(8), b"\xff" * 8):
            whole.write_bytes(data[: at - 4] + lost + data[at + 4 :])
            assert read(whole).status == "degraded"


def test_times_that_cannot_be_are_damage(film, tmp_path):
    def stopped(data: bytearray, at: int) -> None:
        data[at + 8 : at + 16] = bytes(8)

    def rate_gone(data: bytearray, at: int) -> None:
        data[at + 8 : at + 20] = bytes(12)

    for box, change in ((b"stts", stopped), (b"mdhd", rate_gone)):
        path = patched(tmp_path / "a.mov", film[0], box, change)
        assert "times of its frames are wrong" in read(path).reason


@pytest.mark.parametrize("decoder", DECODERS)
def test_checksums_of_hevc_are_compared(tmp_path, decoder):
    params = "log-level=none:keyint=12:bframes=0:hash=1"
    path = made(tmp_path / "a.mp4", codec="libx265", options={"x265-params": params})
    true = read(path, decoder)
    assert (true.status, len(true.frames)) == ("ok", COUNT)
    data, rng, unseen = path.read_bytes(), np.random.default_rng(2), 0
    for _ in range(6):
        at, size = places(path)[int(rng.integers(1, COUNT))]
        rotten = bytearray(data)
        rotten[at + size // 2] ^= 0x10
        (tmp_path / "b.mp4").write_bytes(rotten)
        unseen += read(tmp_path / "b.mp4", decoder).status == "ok"
    assert unseen == 0


def test_checksums_of_matroska_are_compared(tmp_path):
    path = made(tmp_path / "a.mkv", codec="ffv1", options={"level": "1"})
    data = path.read_bytes()
    assert read(path).status == "ok"
    assert b"\x1f\x43\xb6\x75" in data
    for part in (0.3, 0.6, 0.9):
        rotten = bytearray(data)
        rotten[places(path)[int(COUNT * part)][0] + 60] ^= 4
        (tmp_path / "b.mkv").write_bytes(rotten)
        assert read(tmp_path / "b.mkv").status == "degraded"
        assert inspect(("b", str(tmp_path / "b.mkv")))[0]["status"] == "degraded"


def test_a_lost_sector_in_jpeg_is_seen_where_its_tables_allow(tmp_path):
    path = made(tmp_path / "a.avi", **FIXED)
    assert read(path).status == "ok"
    at, size = places(path)[7]
    for lost in (bytes(100), b"\xff" * 100):
        data = path.read_bytes()
        (tmp_path / "b.avi").write_bytes(data[: at + size // 2] + lost + data[at + size // 2 + 100 :])
        found = read(tmp_path / "b.avi")
        assert found.status == "degraded"
        assert len(found.frames) == COUNT - 1
    # Tables of one's own make zeros of a dark night.
    night = tmp_path / "night.avi"
    own = {**FIXED["options"], "huffman": "optimal"}
    write_clip(night, [np.zeros((480, 640, 3), np.uint8)] * 5, fps=10, **{**FIXED, "options": own})
    packet = night.read_bytes()[slice(*np.cumsum(places(night)[2]))]
    assert bytes(64) in packet[600:-2]
    assert not has_blank("mjpeg", None, packet)
    assert read(night).status == "ok"


@pytest.mark.parametrize("decoder", DECODERS[1:])
def test_a_decoder_that_is_not_asked_for_checks_is_not_believed(tmp_path, decoder):
    path, rotten = tmp_path / "a.avi", tmp_path / "b.avi"
    made(path, codec="msmpeg4", options={"g": "12", "qscale": "4"})
    assert read(path, decoder).decoder == decoder
    data, rng, seen = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(12):
        at = int(rng.integers(len(data) // 8, 7 * len(data) // 8))
        rotten.write_bytes(data[:at] + rng.bytes(40) + data[at + 40 :])
        statuses = {read(rotten, d).status for d in ("pyav", decoder)}
        assert len(statuses) == 1
        seen += statuses == {"degraded"}
    assert seen > 3


def test_a_track_header_without_content_at_the_end_of_a_file_says_nothing(tmp_path):
    path = tmp_path / "a.mov"
    tkhd = struct.pack(">I4s", 8, b"tkhd")
    trak = struct.pack(">I4s", 8 + len(tkhd), b"trak") + tkhd
    path.write_bytes(struct.pack(">I4s", 8 + len(trak), b"moov") + trak)
    assert read_turn(path, "mov,mp4,m4a,3gp,3g2,mj2", 1) is None
