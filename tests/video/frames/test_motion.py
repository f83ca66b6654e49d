import numpy as np
import pytest

from jungle.video import ClipSpec, Frames, read_clip
from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """An animal crosses a still scene between frames 60 and 79 of 120."""
    path = tmp_path_factory.mktemp("motion") / "crossing.mp4"
    scene = next(numbered(1, 72, 128))

    def frames():
        for n in range(120):
            image = scene.copy()
            if 60 <= n < 80:
                left = (n - 60) * 5
                image[30:45, left : left + 22] = 250
            yield image

    write_clip(path, frames(), options={"g": "20"})
    return path


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_motion_finds_the_crossing_with_any_decoder(crossing, decoder):
    clip = read_clip(crossing, ClipSpec(Frames("motion", 4), (36, 64), decoder=decoder))
    numbers = np.round(clip.times * 30)
    assert len(numbers) == 4
    # Of 16 candidates, 3 are in the crossing.
    assert ((numbers >= 60) & (numbers < 80)).sum() == 3
    assert clip.decoder == decoder


@pytest.mark.parametrize("name", ["mjpeg.avi", "h264_b.avi", "six_frames.mp4", "one_frame.mp4"])
def test_motion_reads_every_kind_of_file(case, name):
    clip = read_clip(case(name), ClipSpec(Frames("motion", 8), (36, 64)))
    assert clip.status == "ok"
    assert 1 <= len(clip.times) <= 8
