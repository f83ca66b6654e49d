"""Damage that no decoder tells of: between the packets of a stream, or said while the file is opened."""

import numpy as np
import pytest

from jungle.video.container.mpegts import has_gap
from jungle.video.reader import read_clip
from jungle.video.transcode.writer import write_clip
from jungle.video.types import ClipError, ClipSpec, Frames

COUNT = 48
MOVING = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8).repeat(2, 0).repeat(2, 1)
EVERY = ClipSpec(Frames("uniform", 400), (48, 64), decoder="pyav")
REFRESHED = {"options": {"g": "12", "crf": "23", "x264-params": "intra-refresh=1:scenecut=0"}}
CASES = {
    "a.ts": REFRESHED,
    "a.mts": REFRESHED,
    "a.asf": {"codec": "wmv2", "options": {"g": "12", "qscale": "4"}},
    "a.flv": {"codec": "flv", "options": {"g": "12", "qscale": "4"}},
}


@pytest.fixture(scope="module", params=list(CASES))
def clip(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("unheard") / request.param
    images = (MOVING[3 * n : 3 * n + 128, 5 * n : 5 * n + 160] for n in range(COUNT))
    write_clip(path, images, fps=10, **CASES[request.param])
    assert (read_clip(path, EVERY).status, len(read_clip(path, EVERY).frames)) == ("ok", COUNT)
    return path


def test_frames_that_zeros_swallowed_are_missed(clip, tmp_path):
    data = clip.read_bytes()
    for part in range(3, 17):
        at, lost = len(data) * part // 20, len(data) // 12
        path = tmp_path / clip.name
        path.write_bytes(data[:at] + bytes(lost) + data[at + lost :])
        try:
            found = read_clip(path, EVERY)
        except ClipError:
            continue
        assert found.status == "degraded" or len(found.frames) == COUNT, (part, len(found.frames))


@pytest.mark.parametrize(("length", "before"), [(188, 0), (192, 4), (204, 0)])
def test_what_is_no_packet_is_a_gap_only_between_packets(tmp_path, length, before):
    rows = np.full((40, length), 0x11, np.uint8)
    rows[:, before] = 0x47
    path = tmp_path / "a.ts"

    def gap(data: bytes) -> bool:
        path.write_bytes(data)
        return has_gap(path)

    whole = rows.tobytes()
    assert not gap(whole)
    assert not gap(b"\x22" * 77 + whole + bytes(5 * length + 3))
    assert gap(whole[: 2 * length] + bytes(length) + whole[3 * length :])
    assert gap(whole[: 20 * length + 50] + whole[21 * length :])


@pytest.mark.parametrize("codec", ["msmpeg4", "wmv2"])
def test_rotten_bits_are_seen_by_what_is_left_of_a_frame(tmp_path, codec):
    path, rotten = tmp_path / "a.avi", tmp_path / "b.avi"
    images = [MOVING[3 * n : 3 * n + 128, 5 * n : 5 * n + 160] for n in range(COUNT)]
    write_clip(path, images, fps=10, codec=codec, options={"g": "12", "qscale": "4"})
    true = read_clip(path, EVERY)
    assert (true.status, len(true.frames)) == ("ok", COUNT)
    data, rng, untrue = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(30):
        at = int(rng.integers(len(data) // 8, 7 * len(data) // 8))
        rotten.write_bytes(data[:at] + rng.bytes(60) + data[at + 60 :])
        found = read_clip(rotten, EVERY)
        if found.status == "ok" and len(found.frames) == COUNT:
            far = np.abs(found.frames.astype(float) - true.frames).mean((1, 2, 3)).max()
            untrue += far > 15
    assert untrue == 0
