"""Undamaged files of odd make, and damaged ones that look whole, by the numbers written on their frames."""

from collections.abc import Iterator

import av
import numpy as np
import pytest
from av.packet import Packet

from jungle.video import ClipSpec, Frames, read_clip
from jungle.video.container.mpegts import is_whole
from jungle.video.transcode.writer import write_clip

COUNT = 48
SPEC = ClipSpec(Frames("uniform", 16), (64, 80))
SHOWN = [(2 * i + 1) * COUNT // 32 for i in range(16)]
MOVING = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8).repeat(2, 0).repeat(2, 1)


def numbered() -> Iterator[np.ndarray]:
    """Frames `[128, 160, 3]` with their number in black and white bars above, and detail that moves below."""
    for n in range(COUNT):
        image = MOVING[3 * n : 3 * n + 128, 5 * n : 5 * n + 160].copy()
        bits = np.array([n >> b & 1 for b in range(7, -1, -1)], np.uint8) * 215 + 20
        image[:40] = bits.repeat(20)[None, :, None]
        yield image


def numbers(frames: np.ndarray) -> list[int]:
    bars = frames[:, 6:14].mean((1, 3)).reshape(len(frames), 8, 10)[:, :, 3:7].mean(2) > 128
    return [int(n) for n in bars @ (1 << np.arange(7, -1, -1))]


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_key_frames_that_are_none(tmp_path, decoder):
    path = tmp_path / "a.mp4"
    write_clip(path, numbered(), codec="mpeg2video", fps=25, options={"g": "12", "qscale": "3"})
    data = path.read_bytes()
    assert data.count(b"stss") == 1
    path.write_bytes(data.replace(b"stss", b"free"))
    clip = read_clip(path, ClipSpec(SPEC.frames, SPEC.size, decoder=decoder))
    assert (clip.status, numbers(clip.frames)) == ("ok", SHOWN)


def test_avi_with_places_at_which_no_frame_is_new(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=20, options={"g": "12", "qscale": "3"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for n, image in enumerate(numbered()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = 2 * n
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    with av.open(str(path)) as made:
        assert made.streams.video[0].frames >= 2 * COUNT - 1
    clip = read_clip(path, SPEC)
    assert (clip.status, clip.reason, numbers(clip.frames)) == ("ok", "", SHOWN)


def test_bytes_lost_just_before_a_key_frame_are_no_join(tmp_path):
    path = tmp_path / "a.ts"
    write_clip(path, numbered(), fps=10, options={"g": "12", "crf": "20", "bf": "0"})
    data = path.read_bytes()
    with av.open(str(path)) as made:
        pid = made.streams.video[0].id
        packets: list[Packet] = [p for p in made.demux(video=0) if p.size]
    keys = [i for i, p in enumerate(packets) if p.is_keyframe]
    assert len(keys) > 2
    assert is_whole(path, pid)
    twice = tmp_path / "twice.ts"
    twice.write_bytes(data + data)
    assert is_whole(twice, pid)
    assert read_clip(twice, SPEC).status == "ok"
    for place in (keys[2] - 2, keys[2] - 1, keys[2]):
        at = (packets[place].pos or 0) + 2 * 188
        for lost in (188, 700):
            path.write_bytes(data[:at] + data[at + lost :])
            assert not is_whole(path, pid)
            assert read_clip(path, SPEC).status == "degraded"
