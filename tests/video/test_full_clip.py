from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video.frames.sampling import pick
from jungle.video.full_clip import TOO_LONG, NotWhole, read_whole

SPEC = ClipSpec(Frames("random", 5), (48, 64))
SOUND = (
    "h264_gop250.mp4",
    "h264_b_pyramid.mp4",
    "h264_open_gop.mp4",
    "hevc_open.mp4",
    "h264_b.avi",
    "mjpeg_two_formats.avi",
    "msmpeg4.asf",
    "vfr.mp4",
)


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("decoder", ["auto", "decord"])
def test_any_choice_of_a_whole_clip_is_what_is_read_for_it_alone(case, name: str, decoder: str) -> None:
    spec = replace(SPEC, decoder=decoder)
    first = read_clip(case(name), spec, 1)
    if decoder == "decord" and first.decoder != "decord":
        with pytest.raises(NotWhole, match="read by pyav instead of decord"):
            read_whole(case(name), spec, 1 << 30)
        return
    whole = read_whole(case(name), spec, 1 << 30)
    for seed in range(3):
        alone = read_clip(case(name), spec, seed)
        picks = pick(spec.frames, whole.times, whole.times >= 0, seed)
        facts = {k: v for k, v in vars(whole).items() if k not in ("frames", "times")}
        assert facts == {k: v for k, v in vars(alone).items() if k not in ("frames", "times")}
        np.testing.assert_array_equal(whole.frames[picks], alone.frames)
        np.testing.assert_array_equal(whole.times[picks], alone.times)


def test_what_would_hang_on_the_choice_is_refused(case, tmp_path: Path) -> None:
    sound = case("h264_gop30.mp4")
    one = 48 * 64 * 3
    assert len(read_whole(sound, SPEC, 80 * one).times) == 80
    with pytest.raises(NotWhole, match=TOO_LONG):
        read_whole(sound, SPEC, 80 * one - 1)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(case("mjpeg.avi").read_bytes()[:-20_000])
    assert read_clip(cut, SPEC).status == "degraded"
    with pytest.raises(NotWhole, match="damaged"):
        read_whole(cut, SPEC, 1 << 30)
    # All frames are there, and yet what is said of them is not what is said of a sound clip.
    cut.write_bytes(case("mpeg4.avi").read_bytes()[:-1])
    every = read_clip(cut, replace(SPEC, frames=Frames("uniform", 100)))
    assert (len(every.times), every.status) == (80, "degraded")
    with pytest.raises(NotWhole, match="damaged"):
        read_whole(cut, SPEC, 1 << 30)
    cut.write_bytes(b"no video")
    with pytest.raises(ClipError):
        read_clip(cut, SPEC)
    with pytest.raises(NotWhole, match="damaged"):
        read_whole(cut, SPEC, 1 << 30)
