import hashlib
import os

import pytest

from jungle.data.content_key import CHUNK, compute_content_key, read_content_keys


def write(path, data):
    path.write_bytes(data)
    return path


def test_the_key_is_of_size_start_middle_and_end(tmp_path):
    data = bytearray(os.urandom(10 * CHUNK))
    path = write(tmp_path / "a.mp4", data)
    key = compute_content_key(path)
    middle = (len(data) - CHUNK) // 2
    told = len(data).to_bytes(8, "little") + data[:CHUNK] + data[middle : middle + CHUNK] + data[-CHUNK:]
    assert key == hashlib.blake2b(told, digest_size=16).hexdigest()
    for at, same in ((0, False), (len(data) // 2, False), (len(data) - 1, False), (3 * CHUNK, True)):
        other = data.copy()
        other[at] ^= 1
        assert (compute_content_key(write(tmp_path / "b.mp4", other)) == key) is same
    assert compute_content_key(write(tmp_path / "c.mp4", data + b"x")) != key


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 5, 3 * CHUNK])
def test_a_small_file_is_read_whole(tmp_path, size):
    data = bytearray(os.urandom(size))
    told = size.to_bytes(8, "little") + bytes(data)
    assert (
        compute_content_key(write(tmp_path / "a", data)) == hashlib.blake2b(told, digest_size=16).hexdigest()
    )


def test_the_key_does_not_depend_on_name_or_time(tmp_path):
    write(tmp_path / "a", b"clip")
    write(tmp_path / "b", b"clip")
    os.utime(tmp_path / "b", (1, 1))
    assert compute_content_key(tmp_path / "a") == compute_content_key(str(tmp_path / "b"))


def test_many_keys_keep_their_order_and_their_failures(tmp_path):
    paths = [write(tmp_path / f"{i}.mp4", str(i).encode()) for i in range(50)]
    asked = [*paths[:20], tmp_path / "gone.mp4", tmp_path, "a\0b", *paths[20:]]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        asked.append(tmp_path / "pipe.mp4")
    keys = read_content_keys(asked)
    assert keys[:20] + keys[23:53] == [compute_content_key(p) for p in paths]
    failed = [str(k) for k in keys if isinstance(k, OSError)]
    assert failed[0] == "no such file"
    assert failed[1] in ("not a regular file", "is a directory")
    assert failed[2] == "not a file name"
    assert failed[3:] in ([], ["not a regular file"])


def test_more_than_one_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("jungle.data.content_key.BATCH", 2)
    monkeypatch.setattr("jungle.data.content_key.RUN", 2)
    paths = [write(tmp_path / f"{i}.mp4", str(i).encode()) for i in range(10)]
    assert read_content_keys(paths) == [compute_content_key(p) for p in paths]
