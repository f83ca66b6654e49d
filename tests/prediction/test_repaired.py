"""A clip that was damaged where its content key does not look, and is repaired there, is read again."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data.clip_reader import VideoReader
from jungle.data.clips import Clips
from jungle.data.content_key import CHUNK, Content, read_content
from jungle.data.datamodule import ClipData
from jungle.data.frame_cache.cache import FrameCache
from jungle.data.predictions import ClipPrediction
from jungle.features.extract import extract
from jungle.features.reader import FeatureReader
from jungle.features.spec import Extraction, make_feature_spec
from jungle.features.wanted import Wanted
from jungle.models.backbones.backbone import Backbone, BackboneSpec
from jungle.pipelines.preparation import Preparations
from jungle.prediction.writer import Rows
from jungle.video import ClipSpec, Frames
from jungle.video.indexing.index import index_clips
from jungle.video.indexing.inspect_file import is_current, read_stamp
from jungle.video.transcode.dataset import shrink_clips
from jungle.video.transcode.spec import Shrink
from jungle.video.transcode.writer import write_clip

SPEC = ClipSpec(Frames("uniform", 6), (32, 48))
CLASSES = ("lion", "hog")


class Film:
    """A clip whose middle can be damaged and repaired: its size, times and content key stay as they are."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        self.path = path
        rng = np.random.default_rng(seed)
        path.parent.mkdir(exist_ok=True, parents=True)
        pictures = list(rng.integers(0, 255, (12, 240, 320, 3), np.uint8))
        write_clip(path, pictures, fps=6, options={"crf": "10", "g": "4", "bf": "0"})
        self._sound, self._written = path.read_bytes(), path.stat().st_mtime_ns
        self._hole = len(self._sound) // 2 - 2 * CHUNK
        assert self._hole > CHUNK

    def damage(self) -> None:
        self.write(self._sound[:CHUNK] + bytes(self._hole) + self._sound[CHUNK + self._hole :])

    def repair(self) -> None:
        self.write(self._sound)

    def write(self, content: bytes) -> None:
        time.sleep(0.02)  # times of change are as fine as the clock of the disk
        self.path.write_bytes(content)
        os.utime(self.path, ns=(self._written, self._written))  # as `cp -p` does


@pytest.fixture
def film(tmp_path: Path) -> Film:
    made = Film(tmp_path / "clips" / "a.avi")
    made.damage()
    return made


def test_the_keys_of_a_file(film: Film, tmp_path: Path) -> None:
    damaged = read_content(film.path)
    assert read_content(film.path) == damaged
    film.repair()
    sound = read_content(film.path)
    assert sound.key == damaged.key
    assert sound.if_damaged not in (damaged.if_damaged, sound.key)
    assert [sound.key_of(s) for s in ("ok", "degraded", "failed")] == [sound.key, *[sound.if_damaged] * 2]
    told = sound.with_facts("f")
    assert (told.key, told.if_damaged) == (f"{sound.key}-f", f"{sound.if_damaged}-f")


def extraction(folder: Path) -> tuple[Extraction, Backbone]:
    torch.manual_seed(0)
    spec = BackboneSpec(name="test_resnet", pretrained=False, size=(32, 48))
    backbone = Backbone(spec)
    shape = make_feature_spec(backbone, SPEC, "w", "float32")
    return Extraction(spec, SPEC, folder, "test_resnet", shape, workers=0), backbone


def features_of(folder: Path, *paths: Path) -> list[Any]:
    """Fill the store with what it lacks, and return what it has."""
    plan, backbone = extraction(folder)
    contents = {n: read_content(p) for n, p in enumerate(paths)}
    extract([plan], [Wanted(contents[n], p.name, str(p)) for n, p in enumerate(paths)], ["cpu"], [backbone])
    assert not plan.open().lacking(contents.values())
    reader = FeatureReader([plan.open()], contents)
    found = [sample for _, sample in reader(range(len(paths)), 0)]
    assert reader.damaged == {n for n, s in enumerate(found) if isinstance(s, str) or s.status != "ok"}
    return found


def test_features_are_made_again_once_the_file_was_written(film: Film, tmp_path: Path) -> None:
    before = features_of(tmp_path, film.path)[0]
    assert before.status == "degraded"
    assert np.array_equal(features_of(tmp_path, film.path)[0].values, before.values)
    film.repair()
    after = features_of(tmp_path, film.path)[0]
    assert after.status == "ok"
    assert not np.array_equal(after.values, before.values)
    film.damage()  # what was seen of the sound clip stays its answer
    assert np.array_equal(features_of(tmp_path, film.path)[0].values, after.values)


def test_a_clip_that_failed_is_tried_again_once_the_file_was_written(
    film: Film, tmp_path: Path, monkeypatch
) -> None:
    from jungle.video import ClipError, reader

    look = reader.read_or_plan

    def refuse(*_: object) -> None:
        raise ClipError("no frames")

    monkeypatch.setattr("jungle.video.workers.decode_pool.read_or_plan", refuse)
    assert features_of(tmp_path, film.path) == ["no frames"]
    monkeypatch.setattr("jungle.video.workers.decode_pool.read_or_plan", look)
    assert features_of(tmp_path, film.path) == ["no frames"]
    film.repair()
    assert features_of(tmp_path, film.path)[0].status == "ok"


@pytest.mark.parametrize("first", ["damaged", "sound"])
def test_a_sound_clip_has_no_part_in_the_damage_of_its_copy(film: Film, tmp_path: Path, first: str) -> None:
    copy = Film(tmp_path / "clips" / "copy.avi")  # the same content, not damaged
    assert read_content(copy.path).key == read_content(film.path).key
    paths = [film.path, copy.path] if first == "damaged" else [copy.path, film.path]
    found = dict(zip([p.name for p in paths], features_of(tmp_path, *paths), strict=True))
    assert found["copy.avi"].status == "ok"
    later = dict(zip([p.name for p in paths], features_of(tmp_path, *paths), strict=True))
    assert {name: sample.status for name, sample in later.items()} == {"copy.avi": "ok", "a.avi": "ok"}


def test_rows_of_a_store_that_does_not_tell_are_made_again(film: Film, tmp_path: Path) -> None:
    plan, _ = extraction(tmp_path)
    content = read_content(film.path)
    with plan.open().writer() as writer:  # as earlier versions did
        writer.add(content.key, "a", np.zeros((6, 512), np.float16), np.zeros(6, np.float32), "degraded", "x")
        writer.add("other", "b", np.zeros((6, 512), np.float16), np.zeros(6, np.float32))
    store = plan.open()
    assert store.lacking([content, Content("other", "o")]) == [content]
    assert store.held([content, Content("other", "o"), Content("none", "n")]) == [None, "other", None]


def frames_of(film: Film, cache: Path, kind: str = "uniform") -> Any:
    spec = ClipSpec(Frames(kind, 6), (32, 48))
    kept = FrameCache(cache, 1 << 30, [str(film.path)])
    reader = VideoReader([str(film.path)], spec, 0, 60, cache=kept)
    try:
        return next(sample for _, sample in reader([0], 0))
    finally:
        reader.close()
        kept.close()


def test_a_loader_notes_what_was_read_in_part(film: Film) -> None:
    sound = Film(film.path.with_name("b.avi"), seed=2)
    clips = Clips(
        pl.DataFrame({"clip": ["a", "b"], "path": ["a", "b"], "lion": [1, 0], "hog": [0, 1]}), CLASSES
    )
    read = VideoReader([str(film.path), str(sound.path)], SPEC, 0, 60)
    data = ClipData(clips, read_train=read, read_eval=read, key="frames_BTHWC", batch_size=2)
    assert len(list(data.loader_of(np.array([0, 1]), train=True))) == 1
    assert data.damaged == {0}


@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_cached_frames_are_decoded_again_once_the_file_was_written(
    film: Film, tmp_path: Path, kind: str
) -> None:
    cache = tmp_path / "frames"
    before = frames_of(film, cache, kind)
    assert before.status == "degraded"
    if kind == "uniform":
        assert len(list(cache.rglob("*.safetensors"))) == 1
        assert np.array_equal(frames_of(film, cache, kind).values, before.values)
        assert len(list(cache.rglob("*.safetensors"))) == 1
    film.repair()
    after = frames_of(film, cache, kind)
    assert after.status == "ok"
    assert np.array_equal(frames_of(film, cache, kind).values, after.values)


def test_a_cached_file_that_does_not_tell_when_its_clip_was_damaged_goes(film: Film, tmp_path: Path) -> None:
    cache = tmp_path / "frames"
    frames_of(film, cache)
    (kept,) = cache.rglob("*.safetensors")
    content = read_content(film.path)
    old = kept.parents[1] / content.key[:2] / f"{content.key}.safetensors"
    old.parent.mkdir(exist_ok=True)
    kept.rename(old)  # as earlier versions named it
    film.repair()
    assert frames_of(film, cache).status == "ok"


def test_a_prediction_is_made_again_once_the_file_was_written(film: Film, tmp_path: Path) -> None:
    damaged = read_content(film.path)
    probs = np.array([0.5, 0.5], np.float32)
    for status in ("degraded", "failed"):
        with Rows(tmp_path / status, {"ckpt": ["a"]}, CLASSES, False) as rows:
            row = ClipPrediction(status, "x", probs if status == "degraded" else None)
            rows.add("a.avi", damaged.key_of(status), row)
            rows.flush()
        with Rows(tmp_path / status, {"ckpt": ["a"]}, CLASSES, False) as rows:
            assert rows.find("a.avi", damaged)
            assert rows.is_damaged("a.avi")
            film.repair()
            assert not rows.find("a.avi", read_content(film.path))
            film.damage()
            damaged = read_content(film.path)
    with Rows(tmp_path / "ok", {"ckpt": ["a"]}, CLASSES, False) as rows:
        rows.add("a.avi", damaged.key, ClipPrediction(probs=probs))
        rows.flush()
    with Rows(tmp_path / "ok", {"ckpt": ["a"]}, CLASSES, False) as rows:
        film.repair()
        assert rows.find("a.avi", read_content(film.path))
        assert not rows.is_damaged("a.avi")


def test_an_index_looks_again_once_the_file_was_written(film: Film, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")

    def status() -> str:
        return index_clips([film.path], tmp_path / "index.parquet", workers=0)["status"].item()

    assert status() == "degraded"
    assert status() == "degraded"
    assert caplog.text.count("1 of 1 file known from before") == 1
    film.repair()
    assert status() == "ok"
    os.utime(film.path, ns=(0, read_stamp(str(film.path))["mtime_ns"]))  # sets the time of change alone
    caplog.clear()
    assert status() == "ok"
    assert "1 of 1 file known from before" in caplog.text


def test_a_small_copy_is_made_again_once_the_file_was_written(film: Film, tmp_path: Path) -> None:
    def status() -> str:
        spec = Shrink(short_side=32)
        return shrink_clips([film.path], film.path.parent, tmp_path / "small", spec, workers=0)[
            "status"
        ].item()

    assert status() == "degraded"
    film.repair()
    assert status() == "ok"


def test_which_times_count(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    now = read_stamp(str(path))
    assert set(now) == {"size", "mtime_ns", "ctime_ns"}
    for status in ("ok", "degraded", "failed"):
        assert is_current({**now, "status": status}, str(path))
        assert is_current({**now, "status": status, "ctime_ns": None}, str(path)) is (status == "ok")
        assert not is_current({**now, "status": status, "mtime_ns": 1}, str(path))
        assert not is_current({**now, "status": status}, str(tmp_path / "none"))


def test_a_recipe_counts_what_its_stores_have_of_clips_as_they_are(film: Film, tmp_path: Path) -> None:
    features_of(tmp_path / "features", film.path)
    plan, _ = extraction(tmp_path / "features")
    noted = Preparations.__new__(Preparations)
    noted._clips, noted._note = tmp_path / "clips.parquet", tmp_path / "note.json"
    noted.into([plan.open().folder])

    def done() -> Any:
        noted.begin([Wanted(read_content(film.path), "a.avi", str(film.path))])
        return noted.done("features")

    assert done() == (1, 1)
    film.repair()
    assert done() == (0, 1)
    noted.begin([])
    assert noted.done("features") == (0, 0)
