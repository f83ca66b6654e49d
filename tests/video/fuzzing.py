"""Broken files made from good ones, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from jungle.video.transcode.writer import write_clip
from tests.video.clip_cases import numbered

LENGTH = 30
GOP = {"options": {"g": "10"}}
BASES: dict[str, dict] = {
    "h264.mp4": GOP,
    "faststart.mp4": {**GOP, "container_options": {"movflags": "faststart"}},
    "open.mp4": {"options": {"g": "10", "x264-params": "open-gop=1"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=10"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj422p", "audio_s": 1.0},
    "mpeg4.avi": {"codec": "mpeg4", **GOP},
    "h264.avi": GOP,
    "msmpeg4.asf": {"codec": "msmpeg4", **GOP},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.mkv": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime", "g": "10"}},
    "h264.mts": GOP,
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "g": "10"}},
}


def write_bases(folder: Path) -> dict[str, bytes]:
    """The good files."""
    found = {}
    for name, how in BASES.items():
        write_clip(folder / name, numbered(LENGTH, 64, 80), **how)
        found[name] = (folder / name).read_bytes()
    return found


def truncated(data: bytes) -> Iterator[bytes]:
    """Cut at every tenth."""
    for tenth in range(1, 10):
        yield data[: len(data) * tenth // 10]


def mutant(data: bytes, draw: random.Random) -> bytes:
    """One broken copy."""
    out = bytearray(data)
    kind = draw.randrange(7)
    # Half of all damage is where containers keep what they believe: the ends of the file.
    ends = draw.random() < 0.5

    def place() -> int:
        if ends and len(out) > 2048:
            return draw.choice([draw.randrange(1024), len(out) - 1 - draw.randrange(1024)])
        return draw.randrange(len(out))

    size = draw.randrange(1, max(2, len(out) // 8))
    if kind == 0:
        for _ in range(draw.choice([1, 4, 30, 400])):
            out[place()] = draw.randrange(256)
    elif kind == 1:
        at = place()
        out[at : at + size] = bytes(min(size, len(out) - at))
    elif kind == 2:
        at = place()
        del out[at : at + size]
    elif kind == 3:
        at = place()
        out[at:at] = draw.randbytes(size)
    elif kind == 4:
        at, other = place(), place()
        out[at : at + size] = out[other : other + size]
    elif kind == 5:
        # Lengths and counts are 32 bits in one byte order or the other.
        for _ in range(draw.choice([1, 3])):
            at = place() // 4 * 4
            number = draw.choice([0, 1, 30_000, 10**9, 2**31 - 1, 2**31, 2**32 - 1, draw.randrange(2**32)])
            out[at : at + 4] = number.to_bytes(4, draw.choice(["big", "little"]))
    else:
        for _ in range(8):
            at = place()
            out[at] ^= 1 << draw.randrange(8)
        out = out[: draw.randrange(len(out) // 2, len(out) + 1)]
    return bytes(out)


def mutants(bases: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """All truncations, then random damage, to `count` files in all."""
    made = 0
    for name, data in bases.items():
        for i, broken in enumerate(truncated(data)):
            if made < count // 3:
                made += 1
                yield f"cut{i}_{name}", broken
    draw, names = random.Random(seed), sorted(bases)
    for number in range(count - made):
        name = draw.choice(names)
        yield f"m{number:05d}_{name}", mutant(bases[name], draw)
