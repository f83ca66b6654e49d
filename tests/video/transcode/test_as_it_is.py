"""Clips that are small enough already do not grow in a smaller copy of their data set."""

import pytest

from jungle.cli.entry import main
from jungle.video import probe
from jungle.video.transcode.clip import AS_IT_IS, shrink_clip
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "in" / "a.mp4"
    path.parent.mkdir()
    write_clip(path, numbered(48), fps=8, options={"crf": "35"})
    return path


@pytest.mark.parametrize("spec", [Shrink(short_side=720, fps=8.0), Shrink(short_side=720), Shrink(fps=30.0)])
def test_where_nothing_changes_the_file_itself_is_the_copy(small, tmp_path, spec):
    copied = shrink_clip(small, tmp_path / "a.mp4", spec)
    assert (copied["status"], copied["reason"]) == ("ok", AS_IT_IS)
    assert (tmp_path / "a.mp4").read_bytes() == small.read_bytes()
    facts = probe(small)
    assert (copied["frames"], copied["height"], copied["width"]) == (facts.frames, facts.height, facts.width)
    assert copied["size_after"] == small.stat().st_size


@pytest.mark.parametrize(
    "spec", [Shrink(short_side=32), Shrink(fps=4.0), Shrink(short_side=720, crop_bottom=0.1)]
)
def test_what_is_smaller_slower_or_cut_is_a_copy_of_its_own(small, tmp_path, spec):
    copied = shrink_clip(small, tmp_path / "a.mp4", spec)
    assert copied["reason"] == ""
    assert probe(tmp_path / "a.mp4").codec == "mjpeg"


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_copies_that_grew_are_said_with_both_sizes_and_no_advice_that_was_followed(
    small, tmp_path, capsys, monkeypatch, codec
):
    asked = [f"videos={small.parent}", f"out={tmp_path / 'small'}", "shrink=@8fps", "workers=1"]
    assert main(["shrink", *asked, f"codec={codec}"]) == 0
    said = capsys.readouterr().err
    assert "larger than the clips" not in said
    assert ("copied as they are: 1 clip" in said) or codec == "h264"
    grown = 64 * small.stat().st_size
    monkeypatch.setattr("jungle.commands.shrink.shrink_clips", lambda *_, **__: table(small, grown))
    main(["shrink", *asked, f"codec={codec}"])
    said = capsys.readouterr().err
    assert f"({grown / 1e6:.1f} MB of {small.stat().st_size / 1e6:.1f} MB)" in said
    assert ("codec=h264" in said) == (codec == "mjpeg")


def table(clip, grown):
    import polars as pl

    from jungle.video.transcode.dataset import SCHEMA

    row = {"clip": clip.name, "status": "ok", "reason": "", "size": clip.stat().st_size, "size_after": grown}
    return pl.DataFrame([row], schema={k: SCHEMA[k] for k in row})
