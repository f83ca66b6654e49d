import signal
import subprocess
import sys
import time

import av
import numpy as np
import polars as pl
import pytest

from jungle.errors import UsageError, UserError
from jungle.video import ClipSpec, Frames, probe, read_clip
from jungle.video.transcode.clip import shrink_clip
from jungle.video.transcode.dataset import SCHEMA, shrink_clips
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered


def files(root):
    return [p for p in root.rglob("*") if p.suffix.lower() in (".mp4", ".avi", ".asf", ".mov")]


@pytest.fixture
def disk(tmp_path):
    root = tmp_path / "disk"
    (root / "Site Á").mkdir(parents=True)
    write_clip(root / "Site Á" / "a 1.MP4", numbered(48), fps=24, options={"g": "12"}, audio_s=2)
    write_clip(root / "b.avi", numbered(48), fps=24, codec="mjpeg", pix_fmt="yuvj420p")
    write_clip(root / "c.ASF".lower(), numbered(48), fps=24, codec="msmpeg4")
    (root / "d.mp4").write_text("no video")
    (root / "train_labels.csv").write_text("filename,blank\nb.avi,1\n")
    return root


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_the_copy_has_the_same_names_tables_and_frames(disk, tmp_path, codec):
    out = tmp_path / "small"
    table = shrink_clips(files(disk), disk, out, Shrink.parse("64x48@6fps", codec), workers=2)
    assert dict(table.schema) == SCHEMA
    assert pl.read_parquet(out / "shrink.parquet").equals(table)
    assert table["clip"].to_list() == ["Site Á/a 1.MP4", "b.avi", "c.asf", "d.mp4"]
    assert table["status"].to_list() == ["ok", "ok", "ok", "failed"]
    assert (out / "train_labels.csv").read_text() == (disk / "train_labels.csv").read_text()
    assert not (out / "d.mp4").exists()
    for name in table["clip"][:3]:
        facts = probe(out / name)
        assert (facts.width, facts.height, facts.frames) == (64, 48, 12)
        assert facts.codec == codec
        assert not facts.audio
        assert facts.fps == pytest.approx(6, rel=0.01)
        assert not facts.open_gop
        small = read_clip(out / name, ClipSpec(Frames("uniform", 100)))
        large = read_clip(disk / name, ClipSpec(Frames("fps", 100, 6.0), (48, 64)))
        np.testing.assert_allclose(small.times, large.times - large.times[0], atol=0.01)
        assert np.abs(small.frames.astype(int) - large.frames).mean() < 6


@pytest.mark.parametrize(
    "name", ["rotated_90.mp4", "vfr.mp4", "h264_b.avi", "edit_list.mp4", "one_frame.mp4"]
)
@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_all_frames_of_odd_clips_are_kept_upright_with_their_times(case, tmp_path, name, codec):
    target = tmp_path / name
    spec = Shrink(short_side=48, codec=codec)
    copied = shrink_clip(case(name), target, spec)
    assert (copied["status"], copied["reason"]) == ("ok", "")
    small = read_clip(target, ClipSpec(Frames("uniform", 500)))
    large = read_clip(case(name), ClipSpec(Frames("uniform", 500), small.frames.shape[1:3]))
    assert min(small.frames.shape[1:3]) == 48
    assert len(small.times) == len(large.times) == copied["frames"]
    np.testing.assert_allclose(small.times, large.times, atol=0.002)
    assert np.abs(small.frames.astype(int) - large.frames).mean() < 6


def test_a_cut_clip_is_copied_as_far_as_it_goes(disk, tmp_path):
    data = (disk / "b.avi").read_bytes()
    (disk / "b.avi").write_bytes(data[: len(data) * 7 // 10])
    table = shrink_clips([disk / "b.avi"], disk, tmp_path / "small", Shrink(short_side=32))
    assert table["status"].item() == "degraded"
    assert "cut short" in table["reason"].item()
    assert 20 < probe(tmp_path / "small" / "b.avi").frames < 48


def test_only_what_is_new_or_changed_is_copied_again(disk, tmp_path):
    out = tmp_path / "small"
    spec = Shrink(short_side=32)
    first = shrink_clips(files(disk), disk, out, spec)
    written = {n: (out / n).stat().st_mtime_ns for n in first.filter(pl.col("status") == "ok")["clip"]}
    write_clip(disk / "b.avi", numbered(10), fps=24, codec="mjpeg", pix_fmt="yuvj420p")
    (out / "c.asf").unlink()
    second = shrink_clips(files(disk), disk, out, spec)
    changed = {n for n in written if (out / n).stat().st_mtime_ns != written[n]}
    assert changed == {"b.avi", "c.asf"}
    assert second.filter(clip="b.avi")["frames"].item() == 10
    with pytest.raises(UserError, match="made with"):
        shrink_clips(files(disk), disk, out, Shrink(short_side=48))
    with pytest.raises(UserError, match="lies in"):
        shrink_clips(files(disk), disk, disk / "small", spec)


def test_killed_it_goes_on_and_ends_with_the_same_copies(disk, tmp_path):
    for n in range(30):
        (disk / f"more {n}.avi").write_bytes((disk / "b.avi").read_bytes())
    spec = "Shrink(short_side=32, fps=4.0)"
    whole = shrink_clips(files(disk), disk, tmp_path / "whole", Shrink(short_side=32, fps=4.0), workers=2)
    out = tmp_path / "killed"
    code = (
        "import sys, pathlib; from jungle.video.transcode.dataset import shrink_clips; "
        "from jungle.video.transcode.spec import Shrink; root = pathlib.Path(sys.argv[1]); "
        f"shrink_clips([p for p in root.rglob('*.avi')], root, sys.argv[2], {spec}, workers=1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(disk), str(out)], stderr=subprocess.DEVNULL
    ) as run:
        for _ in range(1000):
            if len(list(out.rglob("*.avi"))) > 5:
                break
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    time.sleep(1)  # its worker ends by itself
    table = shrink_clips(files(disk), disk, out, Shrink(short_side=32, fps=4.0), workers=2)
    assert table.drop("mtime_ns").equals(whole.drop("mtime_ns"))
    for name in table.filter(pl.col("status") == "ok")["clip"]:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(out.rglob("*.part*"))


def test_the_micro_set_is_written_as_the_competition_has_it(tmp_path):
    write_clip(tmp_path / "in.mp4", numbered(120, 96, 128), fps=24, options={"preset": "ultrafast"})
    shrink_clip(tmp_path / "in.mp4", tmp_path / "out.mp4", Shrink.parse("64x64@2fps"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.format.name.startswith("mov")
        frames = list(container.decode(video=0))
    assert len(frames) == 10
    assert {(f.width, f.height) for f in frames} == {(64, 64)}


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("64x32@2fps", Shrink(size=(32, 64), fps=2.0)),
        ("224", Shrink(short_side=224)),
        ("360@7.5fps", Shrink(short_side=360, fps=7.5)),
        ("@2fps", Shrink(fps=2.0)),
    ],
)
def test_specs_are_read(text, spec):
    assert Shrink.parse(text) == spec


@pytest.mark.parametrize("text", ["", "64*64", "64x64@fps", "x", "4", "64x64@0fps", "99999"])
def test_wrong_specs_are_refused(text):
    with pytest.raises(UsageError, match="shrink"):
        Shrink.parse(text)


def test_clips_are_never_enlarged_and_keep_their_shape():
    assert Shrink(short_side=224).output_size(180, 320) == (180, 320)
    assert Shrink(short_side=224).output_size(720, 1280) == (224, 398)
    assert Shrink(short_side=224).output_size(1280, 721) == (398, 224)


def test_a_folder_that_holds_other_files_is_left_alone(disk, tmp_path):
    out = tmp_path / "mine"
    (out / "deep").mkdir(parents=True)
    (out / "train_labels.csv").write_text("mine")
    (out / "deep" / ".notes.1.part.csv").write_text("mine")
    with pytest.raises(UserError, match="new or an empty folder"):
        shrink_clips(files(disk), disk, out, Shrink.parse("32@2fps"), workers=1)
    assert (out / "train_labels.csv").read_text() == "mine"
    assert (out / "deep" / ".notes.1.part.csv").exists()


def test_linked_clips_are_copied_under_the_names_of_their_links(disk, tmp_path):
    root = tmp_path / "links"
    root.mkdir()
    (root / "x.avi").symlink_to(disk / "b.avi")
    (root / "gone.avi").symlink_to(disk / "gone.avi")
    table = shrink_clips([root / "x.avi", root / "gone.avi"], root, tmp_path / "out", Shrink.parse("32@2fps"))
    assert table.select("clip", "status").rows() == [("gone.avi", "failed"), ("x.avi", "ok")]
