import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from jungle.errors import UserError
from jungle.features import index as indices
from jungle.features.fingerprint import compute_fingerprint
from jungle.features.mmap import ShardMaps
from jungle.features.safetensors_io import write_tensors
from jungle.features.store import FeatureStore

SHARD_COLUMNS = ("keys", "clips", "reasons", "status", "frames", "crc", "times", "values")
SPEC = {"backbone": "toy", "frames": {"kind": "uniform", "count": 16}, "size": [224, 224], "crop_bottom": 0}

# A writer in a process of its own: argv are root, first clip, last clip, clips a shard, seconds a clip
WRITER = f"""
import sys, time
import numpy as np
from jungle.features.store import FeatureStore
root, first, last, group, pause = sys.argv[1], *map(float, sys.argv[2:])
store = FeatureStore.open(root, "toy", {SPEC!r})
print("open", flush=True)
with store.writer(flush_mb=1e9, flush_s=1e9) as writer:
    for n, key in enumerate(store.missing([f"key-{{i:04d}}" for i in range(int(first), int(last))]), 1):
        i = int(key[4:])
        writer.add(key, f"{{i}}.mp4", np.full((i % 7 + 1, 24), i, np.float32), np.arange(i % 7 + 1.0))
        time.sleep(pause)
        if n % int(group) == 0:
            writer.flush()
            print(n, flush=True)
"""


def start_writer(root: Path, *args: float) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(root), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def toy(i: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((i % 7 + 1, 24), i, np.float32), np.arange(i % 7 + 1.0)


def keys_of(n: int) -> list[str]:
    return [f"key-{i:04d}" for i in range(n)]


def open_toy(root: Path) -> FeatureStore:
    return FeatureStore.open(root, "toy", SPEC)


def fill(root: Path, n: int, group: int = 1000) -> FeatureStore:
    store = open_toy(root)
    with store.writer(flush_s=1e9) as writer:
        for i, key in enumerate(keys_of(n)):
            writer.add(key, f"{i}.mp4", *toy(i))
            if (i + 1) % group == 0:
                writer.flush()
    return store


def shards(store: FeatureStore) -> list[Path]:
    return sorted(store.folder.glob("shard-*.safetensors"))


def assert_holds(store: FeatureStore, n: int) -> None:
    assert store.missing(keys_of(n)) == []
    for i, clip in enumerate(store.read_many(keys_of(n))):
        values, times = toy(i)
        np.testing.assert_array_equal(clip.values, values.astype(np.float16))
        np.testing.assert_array_equal(clip.times, times)


def test_features_of_any_length_come_back_in_the_order_asked(tmp_path):
    rng = np.random.default_rng(0)
    clips = {
        f"k{t}": (rng.standard_normal((t, 33)).astype(np.float32), rng.random(t)) for t in (1, 90, 3, 45, 2)
    }
    store = open_toy(tmp_path)
    with store.writer() as writer:
        for key, (values, times) in clips.items():
            writer.add(key, f"{key}.mp4", values, times)
        writer.add("late", "é\0 .AVI", np.ones((2, 33), np.float16), np.zeros(2), "degraded", "2 of 9 frames")
    assert len(store) == 6
    assert store.dim == 33
    order = ["k45", "late", "k1", "k45", "k90"]
    for key, clip in zip(order, store.read_many(order), strict=True):
        assert clip.values.dtype == np.float16
        assert clip.times.dtype == np.float32
        assert not clip.values.flags.writeable
        if key == "late":
            assert (clip.status, clip.reason) == ("degraded", "2 of 9 frames")
        else:
            assert (clip.status, clip.reason) == ("ok", "")
            np.testing.assert_array_equal(clip.values, clips[key][0].astype(np.float16))
            np.testing.assert_array_equal(clip.times, clips[key][1].astype(np.float32))
    assert store.table().filter(key="late").row(0) == ("late", "é  .AVI", "degraded", "2 of 9 frames", 2)


def test_values_are_copied_when_added_not_when_written(tmp_path):
    store, values = open_toy(tmp_path), np.ones((2, 3), np.float16)
    with store.writer() as writer:
        writer.add("a", "a.mp4", values, np.zeros(2))
        values[:] = 7
    assert store.read("a").values.max() == 1


def test_shards_are_safetensors_files_with_aligned_tensors(tmp_path):
    from safetensors.numpy import load_file

    path = shards(fill(tmp_path, 9))[0]
    tensors = load_file(path)
    assert tensors["values"].shape == (sum(i % 7 + 1 for i in range(9)), 24)
    assert bytes(tensors["clips"]).split(b"\0")[8] == b"8.mp4"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert (8 + length + header["frames"]["data_offsets"][0]) % 64 == 0


def test_fingerprint_is_stable_and_sees_every_change():
    assert compute_fingerprint(SPEC) == "c7c2d8de0637115bb7760fdf3d0a28ca"
    same = {
        "crop_bottom": 0.0,
        "size": (224, 224),
        "frames": {"count": 16, "kind": "uniform"},
        "backbone": "toy",
    }
    assert compute_fingerprint(same) == compute_fingerprint(SPEC)
    others = [
        SPEC | {"backbone": "toy2"},
        SPEC | {"size": [224, 225]},
        SPEC | {"crop_bottom": 0.1},
        SPEC | {"crop_bottom": False},
        SPEC | {"frames": {"kind": "uniform", "count": 17}},
        SPEC | {"taps": None},
        {k: v for k, v in SPEC.items() if k != "size"},
    ]
    assert len({compute_fingerprint(s) for s in [SPEC, *others]}) == len(others) + 1


@pytest.mark.parametrize("bad", [np.float32(1), float("nan"), float("inf"), {1: 2}, Path("x"), b"x"])
def test_fingerprint_refuses_what_json_would_blur(bad):
    with pytest.raises(ValueError, match=r"spec\.size\[1\]"):
        compute_fingerprint({"size": [1, bad]})


def test_each_spec_has_its_own_folder_inside_the_root(tmp_path):
    one = FeatureStore.open(tmp_path, "../../hf:x/y", SPEC)
    two = FeatureStore.open(tmp_path, "../../hf:x/y", SPEC | {"size": [1, 1]})
    assert one.folder != two.folder
    assert {one.folder.parent, two.folder.parent} == {tmp_path}
    assert one.folder.name == f"hf-x-y-{compute_fingerprint(SPEC)[:12]}"


def test_a_folder_of_another_spec_is_refused(tmp_path):
    path = open_toy(tmp_path).folder / "spec.json"
    path.write_text(path.read_text().replace("224", "331"))
    with pytest.raises(UserError, match=r"another spec \(size: \[331, 331\] there, \[224, 224\] here\)"):
        open_toy(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match=r"spec\.json is damaged. Delete that one file"):
        open_toy(tmp_path)
    path.unlink()
    open_toy(tmp_path)


@pytest.mark.parametrize(
    ("values", "times", "why"),
    [
        ([[1, np.nan]], [0], "NaN or infinity"),
        ([[1, np.inf]], [0], "NaN or infinity"),
        ([[1, -70000]], [0], "70000 does not fit float16"),
        ([[1, 2]], [np.nan], "frame times hold NaN"),
        ([[1, 2]], [0, 1], "are not"),
        ([1, 2], [0, 1], "are not"),
        (np.zeros((0, 2)), [], "are not"),
        ([[1, 2, 3]], [0], "3 values a frame, in a store of 2"),
    ],
)
def test_features_that_cannot_be_kept_are_refused_and_leave_nothing(tmp_path, values, times, why):
    store = open_toy(tmp_path)
    with store.writer() as writer:
        writer.add("good", "good.mp4", np.ones((1, 2)), np.zeros(1))
        with pytest.raises(ValueError, match=rf"bad\.mp4: .*{why}"):
            writer.add("bad", "bad.mp4", np.array(values, np.float32), np.array(times, np.float32))
    assert store.missing(["good", "bad"]) == ["bad"]
    assert store.read("good").values.tolist() == [[1, 1]]


def test_failed_clips_are_kept_and_tried_again_only_when_asked(tmp_path):
    store = open_toy(tmp_path)
    with store.writer() as writer:
        writer.fail("bad", "bad.mp4", "no frames")
    assert "bad" in store
    assert store.dim is None
    assert store.missing(["bad", "new", "new"]) == ["new"]
    assert store.missing(["bad", "new"], retry_failed=True) == ["bad", "new"]
    assert store.failures() == {"bad": "no frames"}
    with pytest.raises(KeyError, match="bad has no features: no frames"):
        store.read_many(["bad"])
    with store.writer() as writer:
        writer.add("bad", "bad.mp4", *toy(3))
    assert store.failures() == {}
    assert store.read("bad").values[0, 0] == 3
    with pytest.raises(KeyError, match="nowhere"):
        store.read("nowhere")


def test_of_two_shards_with_a_clip_the_first_by_name_is_read(tmp_path):
    store = open_toy(tmp_path)
    for value in (1, 2):
        with store.writer() as writer:
            writer.add("a", "a.mp4", np.full((1, 2), value), np.zeros(1))
    assert store.read("a").values[0, 0] == 1
    assert len(store) == 1
    old = shards(store)[0]
    old.rename(old.with_name("shard-zzz.safetensors"))
    store.refresh()
    assert store.read("a").values[0, 0] == 2
    assert open_toy(tmp_path).read("a").values[0, 0] == 2


def test_shards_of_different_widths_are_refused(tmp_path):
    one, two = open_toy(tmp_path), open_toy(tmp_path)
    for store, dim in ((one, 3), (two, 4)):
        with store.writer() as writer:
            writer.add(str(dim), "", np.ones((1, dim)), np.zeros(1))
            writer.flush()
            if dim == 4:
                last = shards(store)[-1]
                with pytest.raises(
                    UserError, match=rf"{last.name} is damaged .*have 4 values a frame, others 3"
                ):
                    open_toy(tmp_path)
                last.unlink()


def test_writers_at_once_with_overlapping_clips(tmp_path):
    writers = [start_writer(tmp_path, a, b, 10, 0.001) for a, b in ((0, 150), (50, 200), (0, 200))]
    assert [w.wait(30) for w in writers] == [0, 0, 0]
    store = open_toy(tmp_path)
    assert len(store) == 200
    assert_holds(store, 200)
    assert not list(store.folder.glob(".*"))


def test_a_killed_writer_loses_only_what_it_had_not_published(tmp_path):
    writer = start_writer(tmp_path, 0, 400, 20, 0.002)
    assert writer.stdout is not None
    published = [writer.stdout.readline().strip() for _ in range(4)][-1]
    time.sleep(0.02)
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    store = open_toy(tmp_path)
    done = 400 - len(store.missing(keys_of(400)))
    assert int(published) == 60
    assert 60 <= done < 400
    assert done % 20 == 0
    assert_holds(store, done)
    with start_writer(tmp_path, 0, 400, 1000, 0) as again:
        assert again.wait(30) == 0
    store.refresh()
    assert_holds(store, 400)
    assert_holds(open_toy(tmp_path), 400)


def test_unfinished_files_are_passed_over_and_swept_when_old(tmp_path):
    store = fill(tmp_path, 5)
    cut = shards(store)[0].read_bytes()[:200]
    young, old = (store.folder / f".shard-{name}.part.safetensors" for name in ("young", "old"))
    young.write_bytes(cut)
    old.write_bytes(cut)
    os.utime(old, (time.time() - 86400,) * 2)
    assert_holds(open_toy(tmp_path), 5)
    with store.writer():
        pass
    assert young.exists()
    assert not old.exists()


@pytest.mark.parametrize("cached", [False, True])
def test_a_truncated_shard_is_named_and_redone_once_deleted(tmp_path, cached, monkeypatch):
    monkeypatch.setattr(indices, "WORTH_CACHING", 1 if cached else 1000)
    victim = shards(fill(tmp_path, 30, group=10))[1]
    assert (victim.parent / indices.CACHE).exists() == cached
    os.truncate(victim, victim.stat().st_size - 1)
    with pytest.raises(UserError, match=rf"{victim.name} is damaged .*Delete it and start again"):
        open_toy(tmp_path)
    victim.unlink()
    store = open_toy(tmp_path)
    assert store.missing(keys_of(30)) == keys_of(30)[10:20]
    with store.writer() as writer:
        for i in range(10, 20):
            writer.add(f"key-{i:04d}", f"{i}.mp4", *toy(i))
    assert_holds(store, 30)
    assert_holds(open_toy(tmp_path), 30)


def test_a_shard_cut_or_deleted_while_the_store_is_open_is_an_error_not_a_crash(tmp_path):
    store = fill(tmp_path, 20, group=10)
    cut, deleted = shards(store)
    os.truncate(cut, 100)
    deleted.unlink()
    with pytest.raises(UserError, match=rf"{cut.name} is damaged \(it has 100 bytes"):
        store.read("key-0003")
    with pytest.raises(UserError, match=rf"{deleted.name} cannot be read: No such file"):
        store.read("key-0013")


def test_a_flipped_bit_is_found_when_the_clip_is_read(tmp_path):
    store = fill(tmp_path, 5)
    path = shards(store)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    store = open_toy(tmp_path)
    store.read("key-0003")
    with pytest.raises(UserError, match=rf"{path.name} is damaged .*checksum"):
        store.read("key-0004")


def hostile_headers(good: bytes) -> dict[str, bytes]:
    length = int.from_bytes(good[:8], "little")
    body = good[8 + length :]
    header = json.loads(good[8 : 8 + length])

    def with_header(change: dict) -> bytes:
        text = json.dumps({name: entry | change.get(name, {}) for name, entry in header.items()}).encode()
        return len(text).to_bytes(8, "little") + text + body

    begin, end = header["values"]["data_offsets"]
    deep = b"[" * 60000
    return {
        "empty": b"",
        "short": good[:5],
        "a header of exabytes": b"\xff" * 8 + good[8:],
        "nested without end": len(deep).to_bytes(8, "little") + deep,
        "not JSON": good[:8] + b"}" * length + body,
        "a list": (2).to_bytes(8, "little") + b"[]",
        "an object type": with_header({"values": {"dtype": "O"}}),
        "terabytes": with_header(
            {"values": {"shape": [1 << 40, 24], "data_offsets": [begin, begin + (48 << 40)]}}
        ),
        "overflow": with_header({"values": {"shape": [1 << 62, 24]}}),
        "negative": with_header({"values": {"shape": [-1, 24]}}),
        "not a number": with_header({"values": {"shape": ["1", 24]}}),
        "overlap": with_header({"values": {"data_offsets": [begin - 48, end - 48]}}),
        "more frames": with_header({"values": {"shape": [(end - begin) // 2 // 12, 12]}}),
        "an end that is not one": with_header({"values": {"data_offsets": [begin, end + 48]}}),
        "a long tail": good + b"\0" * 100,
    }


HOSTILE = [
    "empty", "short", "a header of exabytes", "nested without end", "not JSON", "a list", "an object type",
    "terabytes", "overflow", "negative", "not a number", "overlap", "more frames", "an end that is not one",
    "a long tail",
]  # fmt: skip


@pytest.mark.parametrize("which", HOSTILE)
def test_hostile_headers_are_refused_without_memory(tmp_path, which):
    path = shards(fill(tmp_path, 8))[0]
    path.write_bytes(hostile_headers(path.read_bytes())[which])
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=rf"{path.name} is damaged"):
            open_toy(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", np.full(8, 9, np.uint8)),
        ("status", np.full(8, 2, np.uint8)),
        ("frames", np.full(8, 1000, np.uint32)),
        ("frames", np.full(8, 0, np.uint32)),
        ("crc", np.zeros(7, np.uint32)),
        ("keys", np.zeros(1 << 20, np.uint8)),
        ("keys", np.frombuffer(b"\0" * 7, np.uint8)),
        ("keys", np.frombuffer(b"\0".join([b"x" * 300] * 8), np.uint8)),
        ("clips", np.frombuffer(b"a\0b", np.uint8)),
        ("times", np.zeros(3, np.float32)),
    ],
)
def test_rows_that_disagree_are_refused(tmp_path, column, value):
    from safetensors.numpy import load_file

    path = shards(fill(tmp_path, 8))[0]
    tensors = load_file(path) | {column: value}
    write_tensors(path, {c: tensors[c] for c in SHARD_COLUMNS})
    with pytest.raises(UserError, match=rf"{path.name} is damaged"):
        open_toy(tmp_path)


def test_rewriting_a_shard_unchanged_is_not_refused(tmp_path):
    from safetensors.numpy import load_file

    path = shards(fill(tmp_path, 8))[0]
    write_tensors(path, {c: load_file(path)[c] for c in SHARD_COLUMNS})
    assert_holds(open_toy(tmp_path), 8)


def test_no_room_on_the_disk(tmp_path):
    store = fill(tmp_path, 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = store.writer()
    writer.add("big", "big.mp4", np.ones((1000, 24)), np.zeros(1000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"1 clip \(0 MB\) cannot be written: File too large. Make room"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(store.folder.glob(".*"))
    assert_holds(open_toy(tmp_path), 5)
    writer.flush()
    store.refresh()
    assert store.read("big").values.shape == (1000, 24)


def test_what_was_added_before_an_exception_is_kept(tmp_path):
    store = open_toy(tmp_path)

    def stopped_by_hand() -> None:
        with store.writer() as writer:
            writer.add("a", "a.mp4", *toy(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_by_hand()
    assert "a" in open_toy(tmp_path)


def test_shards_are_published_by_size_and_by_age(tmp_path):
    store = open_toy(tmp_path)
    with store.writer(flush_mb=0.001, flush_s=1e9) as writer:
        for i in range(7):  # 48 bytes a frame: 1,000 bytes are passed with the sixth clip, of 6 frames
            writer.add(str(i), "", *toy(i))
            assert len(shards(store)) == (i >= 5)
    other = open_toy(tmp_path)
    with store.writer(flush_s=0) as writer:
        writer.fail("7", "", "no frames")
        assert "7" not in other
        other.refresh()
        assert "7" in other


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts handles in /proc")
def test_handles_and_index_stay_bounded_over_many_shards(tmp_path, monkeypatch):
    store = fill(tmp_path, 300, group=1)
    assert len(shards(store)) == 300
    assert (store.folder / indices.CACHE).exists()
    monkeypatch.setattr(indices, "read_shard", lambda path: pytest.fail("the cached index holds this shard"))
    store = open_toy(tmp_path)
    store._maps = ShardMaps(store.folder, most_open=8)
    before = open_handles()
    kept = store.read_many(keys_of(300))
    assert open_handles() - before <= 3 * 8
    for i, clip in enumerate(kept):
        np.testing.assert_array_equal(clip.values, toy(i)[0])
    del kept, clip
    for key in keys_of(300):
        store.read(key)
    assert len(store._maps) <= 9
    assert open_handles() - before <= 9


def test_a_damaged_cached_index_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(indices, "WORTH_CACHING", 3)
    store = fill(tmp_path, 10, group=2)
    cache = store.folder / indices.CACHE
    good = cache.read_bytes()
    for bad in (
        b"",
        good[:-1],
        good[: len(good) // 2],
        b"\xff" * 8 + good[8:],
        shards(store)[0].read_bytes(),
    ):
        cache.write_bytes(bad)
        assert_holds(open_toy(tmp_path), 10)
        assert cache.read_bytes() == good


def test_a_store_pickles_as_its_folder_and_sees_others_after_refresh(tmp_path):
    store = open_toy(tmp_path)
    copy = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(fill(tmp_path, 50))) < 1000
    assert copy.missing(keys_of(50)) == keys_of(50)
    copy.refresh()
    assert_holds(copy, 50)


def test_keys_of_any_length_are_told_apart(tmp_path):
    keys = ["a", "ab", "b" * 256, "ä", "a" * 255]
    store = open_toy(tmp_path)
    with store.writer() as writer:
        for i, key in enumerate(keys):
            writer.add(key, "", *toy(i))
        for bad in ("", "x" * 257, "a\0b"):
            with pytest.raises(ValueError, match="key"):
                writer.add(bad, "", *toy(0))
    store = open_toy(tmp_path)
    assert [store.read(k).values[0, 0] for k in keys] == [0, 1, 2, 3, 4]
    unknown = ["", "b" * 255, "b" * 257, "aa", "abc", "ã", "x" * 5000]
    assert store.missing(unknown) == unknown


def test_the_store_needs_no_heavy_library():
    code = "import sys, jungle.features.store; print({'torch', 'polars', 'timm'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_a_store_of_version_0_1_stays_in_use_and_that_is_said(tmp_path: Path, caplog) -> None:
    FeatureStore.open(tmp_path, "a", {"x": 1})
    [spec] = tmp_path.glob("*/spec.json")
    assert "version 0.1" not in caplog.text
    held = json.loads(spec.read_text())
    del held["rules"]
    spec.write_text(json.dumps(held))
    FeatureStore.open(tmp_path, "a", {"x": 1})
    assert "read by version 0.1, which could take damaged frames for sound ones" in caplog.text
