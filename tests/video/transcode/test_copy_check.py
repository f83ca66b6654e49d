"""A copy is compared with its original before it is called done; what is not like it is not kept."""

import logging
import os
import shutil

import numpy as np
import polars as pl
import pytest

from jungle.errors import UserError
from jungle.video import ClipError, ClipSpec, Frames, read_clip
from jungle.video.transcode import clip, dataset
from jungle.video.transcode.clip import ShrinkTask, shrink_clip
from jungle.video.transcode.copy_check import OriginalRecord, check_copy, is_unlike, shrink_image
from jungle.video.transcode.dataset import shrink_clips
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import ClipWriter, write_clip
from tests.video.clip_cases import numbered

SPEC = Shrink(short_side=48)


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "disk" / "a.mp4"
    path.parent.mkdir()
    write_clip(path, numbered(48), fps=24, options={"g": "12"})
    return path


def _grey(add, self, image, time):
    add(self, np.full_like(image, 90), time)


def _upside_down(add, self, image, time):
    add(self, image[::-1], time)


def _lying(add, self, image, time):
    add(self, image.transpose(1, 0, 2), time)


def _every_other(add, self, image, time):
    self.count = getattr(self, "count", 0) + 1
    if self.count % 2:
        add(self, image, time)


def _end_is_black(add, self, image, time):
    self.count = getattr(self, "count", 0) + 1
    add(self, image if self.count < 40 else np.zeros_like(image), time)


def _late(add, self, image, time):
    add(self, image, time and time * 1.2)


@pytest.mark.parametrize("wrong", [_grey, _upside_down, _lying, _every_other, _end_is_black, _late])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_copy_that_is_not_like_its_original_is_not_kept(original, tmp_path, monkeypatch, wrong, suffix):
    if wrong is _late and suffix == ".avi":
        pytest.skip("AVI has a rate, no times")
    add = ClipWriter.add
    monkeypatch.setattr(ClipWriter, "add", lambda self, image, time=None: wrong(add, self, image, time))
    target = tmp_path / "small" / f"a{suffix}"
    with pytest.raises(ClipError, match=r"^the copy differs from its original \(.*\), so it was not kept$"):
        shrink_clip(original, target, SPEC)
    assert list(target.parent.iterdir()) == []


def test_a_rate_that_is_wrong_is_seen_in_avi_too(original, tmp_path, monkeypatch):
    made = ClipWriter.__init__

    def slower(self, *args, fps, **kwargs):
        made(self, *args, fps=0.8 * fps, **kwargs)

    monkeypatch.setattr(ClipWriter, "__init__", slower)
    with pytest.raises(ClipError, match=r"2\.45 s from first to last frame, not 1\.96 s"):
        shrink_clip(original, tmp_path / "a.avi", SPEC)


def test_a_copy_that_was_cut_on_its_way_to_the_disk_is_not_kept(original, tmp_path, monkeypatch):
    check = clip.check_copy

    def cut(part, *args):
        os.truncate(part, part.stat().st_size * 2 // 3)
        check(part, *args)

    monkeypatch.setattr(clip, "check_copy", cut)
    for suffix in (".mp4", ".mkv", ".avi"):
        row, _ = ShrinkTask(SPEC, str(tmp_path / "small"))((f"a{suffix}", str(original)))
        assert (row["status"], row["checked"]) == ("failed", False)
        assert "differs from its original" in row["reason"]
    assert list((tmp_path / "small").iterdir()) == []


def _replace(path):
    fresh = path.with_name("fresh.mp4")
    write_clip(fresh, numbered(30), fps=24)
    os.replace(fresh, path)


def _grow(path):
    with path.open("ab") as file:
        file.write(bytes(100))


def _vanish(path):
    path.unlink()


@pytest.mark.parametrize("change", [_replace, _grow, _vanish])
def test_an_original_that_changes_while_it_is_copied_fails(original, tmp_path, monkeypatch, change):
    check, changed = clip.check_copy, []

    def meanwhile(*args):
        if not changed:
            changed.append(True)
            change(original)
        check(*args)

    monkeypatch.setattr(clip, "check_copy", meanwhile)
    task = ShrinkTask(SPEC, str(tmp_path / "small"))
    row, _ = task(("a.mp4", str(original)))
    assert row["status"] == "failed"
    assert "changed while it was copied" in row["reason"]
    assert list((tmp_path / "small").iterdir()) == []
    if change is _replace:
        assert task(("a.mp4", str(original)))[0]["frames"] == 30


def test_a_copy_of_before_outlives_an_original_that_broke(original, tmp_path):
    task = ShrinkTask(SPEC, str(tmp_path / "small"))
    assert task(("a.mp4", str(original)))[0]["checked"]
    before = (tmp_path / "small" / "a.mp4").read_bytes()
    original.write_bytes(b"no video")
    row, _ = task(("a.mp4", str(original)))
    assert row["status"] == "failed"
    assert row["reason"].endswith("; the earlier copy stays")
    assert (tmp_path / "small" / "a.mp4").read_bytes() == before


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_an_original_cut_midway_gives_a_copy_that_says_so(tmp_path, suffix, codec):
    path = tmp_path / f"a{suffix}"
    ahead = {"container_options": {"movflags": "faststart"}} if suffix in (".mp4", ".mov") else {}
    kind = {"codec": "mjpeg", "pix_fmt": "yuvj420p"} if suffix == ".avi" else {"options": {"g": "12"}}
    write_clip(path, numbered(), **kind, **ahead)
    os.truncate(path, path.stat().st_size * 6 // 10)
    row, _ = ShrinkTask(Shrink(short_side=48, codec=codec), str(tmp_path / "small"))((path.name, str(path)))
    assert (row["status"], row["checked"]) == ("degraded", True)
    assert "cut short" in row["reason"]
    assert 10 < row["frames"] < 80
    copy = read_clip(tmp_path / "small" / path.name, ClipSpec(Frames("uniform", 500)))
    assert (copy.status, len(copy.times)) == ("ok", row["frames"])


def test_damaged_frames_of_an_original_are_counted(original, tmp_path, monkeypatch):
    from jungle.video.decoders.pyav import WantedFrames

    offer = WantedFrames.offer

    def breaking(self, frame, sound):
        offer(self, frame, sound and self._number_of.get(frame.pts) not in (3, 4))

    monkeypatch.setattr(WantedFrames, "offer", breaking)
    monkeypatch.setattr(clip, "check_copy", lambda *_: None)
    found = shrink_clip(original, tmp_path / "a.mp4", SPEC)
    assert (found["status"], found["reason"]) == ("degraded", "2 of 48 frames are damaged and left out")


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
@pytest.mark.parametrize("side", [8, 16, 48])
def test_noise_and_dark_and_saturated_pictures_are_copied(tmp_path, side, codec):
    rng = np.random.default_rng(side)
    noise = rng.integers(0, 256, (6, side, side * 2, 3), dtype=np.uint8)
    red_green = np.zeros((6, side, side * 2, 3), np.uint8)
    red_green[:, :, ::2, 0] = red_green[:, :, 1::2, 1] = 255
    for name, images in (("noise", noise), ("dark", noise // 40), ("saturated", red_green)):
        path = tmp_path / f"{name}.mkv"
        write_clip(path, images, codec="ffv1", pix_fmt="bgr0")
        found = shrink_clip(path, tmp_path / f"small {name}.mkv", Shrink(short_side=8, codec=codec))
        assert (found["status"], found["frames"]) == ("ok", 6), name


def test_dark_pictures_are_told_from_black_and_from_each_other():
    rng = np.random.default_rng(1)
    dark = rng.integers(0, 20, (8, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    assert is_unlike(shrink_image(np.zeros_like(dark)), shrink_image(dark))
    assert is_unlike(shrink_image(dark[::-1]), shrink_image(dark))
    assert not is_unlike(shrink_image(dark + 1), shrink_image(dark))


def test_a_foreign_file_is_no_copy(original, tmp_path):
    shown = OriginalRecord(2)
    for number in range(2):
        shown.add(np.full((48, 64, 3), 99, np.uint8), number / 24)
    (tmp_path / "a.mp4").write_text("no video")
    for path in (tmp_path / "a.mp4", tmp_path / "none.mp4", original):
        with pytest.raises(ClipError, match="differs from its original"):
            check_copy(path, shown, True)


def test_copies_of_an_earlier_version_are_made_again(original, tmp_path, caplog):
    out = tmp_path / "small"
    shrink_clips([original], original.parent, out, SPEC)
    unchecked = pl.read_parquet(out / "shrink.parquet").drop("checked")
    unchecked.write_parquet(out / "shrink.parquet")
    write_clip(out / "a.mp4", numbered(5))
    size = (out / "a.mp4").stat().st_size
    unchecked.with_columns(size_after=pl.lit(size)).write_parquet(out / "shrink.parquet")
    with caplog.at_level(logging.INFO, "jungle"):
        table = shrink_clips([original], original.parent, out, SPEC)
    assert "did not check" in caplog.text
    assert table["checked"].to_list() == [True]
    assert len(read_clip(out / "a.mp4", ClipSpec(Frames("uniform", 99))).times) == 48


def test_names_as_long_as_a_disk_takes_are_copied(original, tmp_path):
    root = original.parent
    names = ["x" * 251 + ".mp4", "ж" * 125 + ".mp4", "野" * 83 + ".MP4", "a.mp4"]
    for name in names[:3]:
        shutil.copy(original, root / name)
    table = shrink_clips([root / n for n in names], root, tmp_path / "small", SPEC)
    assert table["status"].to_list() == ["ok"] * 4
    assert {f.name for f in (tmp_path / "small").iterdir()} >= set(names)


def test_every_kind_of_table_is_copied_and_what_stays_behind_is_said(original, tmp_path, caplog):
    root = original.parent
    tables = ("labels.tsv", "labels.CSV", "sites.txt", "e.xlsx", "t.pq", "t.parquet", "i.json")
    for name in (*tables, "notes.docx", "b.DAV"):
        (root / name).write_text(name)
    (root / "labels.csv").symlink_to(root / "gone.csv")
    with caplog.at_level(logging.INFO, "jungle"):
        shrink_clips([original], root, tmp_path / "small", SPEC)
    for name in tables:
        assert (tmp_path / "small" / name).read_text() == name
    assert "neither clips nor tables: b.DAV, notes.docx" in caplog.text


def test_clips_that_a_disk_would_take_for_one_are_named_before_any_is_copied(original, tmp_path, monkeypatch):
    root = original.parent
    shutil.copy(original, root / "A.MP4")
    paths = [original, root / "A.MP4"]
    assert not dataset._ignores_case(tmp_path)  # as most disks of Linux
    assert shrink_clips(paths, root, tmp_path / "one", SPEC)["status"].to_list() == ["ok", "ok"]
    monkeypatch.setattr(dataset, "_ignores_case", lambda _: True)
    with pytest.raises(UserError, match=r"treats A\.MP4 and a\.mp4 as one name\. Rename them"):
        shrink_clips(paths, root, tmp_path / "two", SPEC)
    assert not list((tmp_path / "two").rglob("*.[mM][pP]4"))


def test_a_copy_that_cannot_be_written_says_why_in_words(original, tmp_path):
    (tmp_path / "small").write_text("a file where the folder should be")
    row, _ = ShrinkTask(SPEC, str(tmp_path / "small"))(("a.mp4", str(original)))
    assert row["status"] == "failed"
    assert row["reason"].startswith("its copy cannot be written: ")
    assert "Error" not in row["reason"]


@pytest.mark.parametrize("fps", [0.001, 0.3, 29.97])
@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_timelapses_keep_their_length(tmp_path, suffix, fps):
    path = tmp_path / f"a{suffix}"
    write_clip(path, numbered(20), fps=fps, codec="mjpeg", pix_fmt="yuvj420p")
    assert shrink_clip(path, tmp_path / f"b{suffix}", SPEC)["status"] == "ok"
    copy, original = (read_clip(p, ClipSpec(Frames("uniform", 99))) for p in (tmp_path / f"b{suffix}", path))
    np.testing.assert_allclose(copy.times, original.times, rtol=0.01, atol=0.003)
    assert original.times[-1] == pytest.approx(19 / fps, rel=0.01)
