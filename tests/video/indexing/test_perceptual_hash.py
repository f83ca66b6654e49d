"""Copies of a clip are found though they were shrunk, shortened and encoded anew."""

import json

import cv2
import numpy as np
import polars as pl
import pytest

from jungle.video.indexing.index import index_clips
from jungle.video.indexing.perceptual_hash import NEAR, compute_hash, mark_copies
from jungle.video.transcode.writer import write_clip


def scene(seed: int, frames: int = 12) -> list[np.ndarray]:
    """A place with things of all sizes in it, and something that moves through it."""
    draw = np.random.default_rng(seed)
    ground = sum(
        cv2.resize(draw.uniform(0, 255, (n, 2 * n, 3)), (320, 180), interpolation=cv2.INTER_CUBIC) / n**0.5
        for n in (3, 6, 12, 24, 48)
    )
    ground = np.clip((ground - ground.mean()) / ground.std() * 45 + 110, 0, 255).astype(np.uint8)
    made = []
    for t in range(frames):
        image = ground.copy()
        cv2.ellipse(image, (20 + 12 * t, 120), (30, 18), 0, 0, 360, (30, 20, 10), -1)
        made.append(image)
    return made


def test_copies_encoded_anew_are_alike_and_other_clips_are_not(tmp_path) -> None:
    for seed in range(6):
        write_clip(tmp_path / f"{seed}.mp4", scene(seed), fps=8, options={"crf": "20", "g": "4"})
    half = [cv2.resize(f, (160, 90), interpolation=cv2.INTER_AREA) for f in scene(2)]
    write_clip(tmp_path / "half.mp4", half[:7], fps=8, options={"crf": "35"})
    mjpeg = [cv2.resize(f, (240, 136), interpolation=cv2.INTER_AREA) for f in scene(4)]
    write_clip(tmp_path / "mjpeg.avi", mjpeg, fps=8, codec="mjpeg", pix_fmt="yuvj420p")
    (tmp_path / "same.mp4").write_bytes((tmp_path / "5.mp4").read_bytes())
    write_clip(tmp_path / "black.mp4", [np.zeros((90, 160, 3), np.uint8)] * 5, fps=8)
    write_clip(tmp_path / "fog.mp4", [np.full((90, 160, 3), 90, np.uint8)] * 5, fps=8)
    out = tmp_path / "out" / "index.parquet"
    table = index_clips(tmp_path.glob("*.*"), out, root=tmp_path)
    found = dict(table.select("clip", "copy_of").rows())
    copies = {"2.mp4": ("half.mp4",), "4.mp4": ("mjpeg.avi",), "5.mp4": ("same.mp4",)}
    assert found == dict.fromkeys(found) | {c: f for f, more in copies.items() for c in (f, *more)}
    assert table.filter(pl.col("looks").is_null())["clip"].to_list() == ["black.mp4", "fog.mp4"]

    (tmp_path / "2.mp4").unlink()
    again = index_clips(tmp_path.glob("*.*"), out, root=tmp_path)
    assert again.filter(clip="half.mp4")["copy_of"].to_list() == [None]


@pytest.mark.parametrize("lacks", [("looks", "copy_of", "rules"), ("rules",)])
def test_an_index_of_an_earlier_version_is_made_again(tmp_path, caplog, lacks) -> None:
    write_clip(tmp_path / "a.mp4", scene(0), fps=8)
    out = tmp_path / "index.parquet"
    whole = index_clips([tmp_path / "a.mp4"], out)
    whole.drop(lacks).write_parquet(out)
    caplog.set_level("INFO", "jungle")
    assert index_clips([tmp_path / "a.mp4"], out).equals(whole)
    assert "earlier version" in caplog.text
    row = {k: v for k, v in whole.row(0, named=True).items() if k not in (*lacks, "time")}
    out.unlink()
    out.with_name(f".{out.name}.journal").write_text(json.dumps(row) + "\n")  # killed, and then upgraded
    assert index_clips([tmp_path / "a.mp4"], out).equals(whole)


@pytest.mark.parametrize("held", [1, 10_000])
def test_groups_are_those_of_comparing_all_pairs(held, monkeypatch) -> None:
    monkeypatch.setattr("jungle.video.indexing.perceptual_hash.HELD", held)
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2, (40, 256), dtype=np.uint8)
    rows = list(bits)
    for _ in range(160):  # chains: a copy of a copy of a copy
        copy = rows[draw.integers(len(rows))].copy()
        copy[draw.choice(64, draw.integers(0, 8), replace=False)] ^= 1
        copy[64 + draw.choice(192, draw.integers(0, 40), replace=False)] ^= 1
        rows.append(copy)
    order = draw.permutation(len(rows))
    rows = [rows[i] for i in order]
    names = [f"{i:03d}" for i in range(len(rows))]
    hashes = [f"h{i}" for i in range(len(rows))]
    hashes[7] = hashes[150] = "same"
    looks: list[str | None] = [np.packbits(r).tobytes().hex() for r in rows]
    looks[3] = looks[7] = None
    looks[5] = looks[6] = "zz"  # of another's making: equal it is, near to nothing
    table = mark_copies(pl.DataFrame({"clip": names, "hash": hashes, "looks": looks}))

    group = list(range(len(rows)))
    for a in range(len(rows)):
        for b in range(a):
            known = not {a, b} & {3, 5, 6, 7}
            off = (rows[a] ^ rows[b]).sum(), (rows[a] ^ rows[b])[:64].sum()
            if hashes[a] == hashes[b] or {a, b} == {5, 6} or (known and off[0] <= NEAR and off[1] <= 5):
                group = [min(group[a], group[b]) if g in (group[a], group[b]) else g for g in group]
    wanted = [names[g] if group.count(g) > 1 else None for g in group]
    assert 20 < len(set(wanted)) < 60
    assert table["copy_of"].to_list() == wanted


def test_a_hash_begins_with_what_is_coarsest() -> None:
    frame = cv2.resize(scene(1)[0], (64, 36), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, 25, frame.shape[:2])[..., None]
    fine = (frame + noise - cv2.GaussianBlur(noise, (0, 0), 4)[..., None]).clip(0, 255).astype(np.uint8)
    a, b = (int(compute_hash(f) or "", 16) for f in (frame, fine))
    coarse = ((a ^ b) >> 192).bit_count()
    assert coarse / 64 < ((a ^ b).bit_count() - coarse) / 192 / 2
    assert compute_hash(np.full((36, 64, 3), 128, np.uint8)) is None


def test_an_empty_table() -> None:
    none = pl.DataFrame(schema={"clip": pl.String, "hash": pl.String, "looks": pl.String})
    assert mark_copies(none)["copy_of"].to_list() == []
