"""How many frames that were never filmed pass as sound, over broken copies of good clips.

    python benchmarks/damage.py --count 1000 --seed 1 --decoder pyav --clips FOLDER --keep FOLDER

Every copy is broken in one way (`KINDS`), read as training reads it, and each frame that comes out is
compared with all true frames of the clip. A frame further than `FAR` from every true one, in a clip of status
`ok`, is a fault: the exit code is 1 where there are any. Clips that cannot be read are given to the ffmpeg
program where it is installed, to tell how many of them it would have read. The same seed gives the same
copies.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from jungle.video.transcode.writer import write_clip
from jungle.video.types import Clip, ClipError, ClipSpec, Frames
from jungle.video.workers.decode_pool import DecodePool, Job

FAR = 15.0
"""Levels of 255, in the mean over a frame, by which it may leave the nearest true frame."""
SIZE = (45, 80)
ALL = ClipSpec(Frames("uniform", 4096), SIZE, decoder="pyav")
SECTOR = 512
BUILT: dict[str, dict] = {
    "h264_b.mp4": {"options": {"g": "16", "crf": "28"}},
    "h264_p.mp4": {"options": {"g": "16", "bf": "0", "crf": "28"}},
    "h264_cavlc.mp4": {"options": {"g": "16", "profile": "baseline", "crf": "28"}},
    "h264_open.mp4": {"options": {"g": "12", "crf": "28", "x264-params": "open-gop=1"}},
    "h264_slices.avi": {"options": {"g": "16", "crf": "28", "x264-params": "slices=4"}},
    "h264.mts": {"options": {"g": "16", "crf": "28"}},
    "h264.mkv": {"options": {"g": "16", "crf": "28"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=16", "crf": "28"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "12", "qscale": "5"}},
    "mpeg4_b.mp4": {"codec": "mpeg4", "options": {"g": "12", "qscale": "5", "bf": "2"}},
    "msmpeg4.asf": {"codec": "msmpeg4", "options": {"g": "12", "qscale": "5"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "fps": 25, "options": {"g": "12", "qscale": "5", "bf": "2"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "fps": 25, "options": {"g": "12", "qscale": "5"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "16", "cpu-used": "8", "deadline": "realtime"}},
    "vp9.mkv": {"codec": "libvpx-vp9", "options": {"g": "16", "cpu-used": "8", "deadline": "realtime"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"g": "16", "preset": "12", "crf": "35"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj422p", "options": {"qscale": "5"}},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qscale": "5"}},
}


def scene(count: int = 48, height: int = 120, width: int = 160, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames like a camera trap's: leaves that stay, an animal that walks through, sensor noise."""
    draw = np.random.default_rng(seed)
    rough = draw.integers(20, 235, (height // 6, width // 6, 3), dtype=np.uint8)
    still = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    for number in range(count):
        image = still + draw.integers(-6, 7, still.shape)
        at = int((number / count) * (width + 60)) - 60
        left, right = max(at, 0), min(at + 60, width)
        if left < right:
            image[height // 3 : height - 15, left:right] = np.add((200, 150, 40), draw.integers(-20, 20, 3))
        yield np.clip(image, 0, 255).astype(np.uint8)


def write_bases(folder: Path, names: Sequence[str] = tuple(BUILT)) -> list[Path]:
    """One clip for each codec and container of `BUILT`, or those of `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed, (name, how) in enumerate(BUILT.items()):
        if name not in names:
            continue
        write_clip(folder / name, scene(seed=seed), **how)
        paths.append(folder / name)
    return paths


@dataclass(frozen=True)
class Base:
    """A good clip and where its video packets lie."""

    path: Path
    data: bytes
    codec: str
    packets: tuple[tuple[int, int, bool], ...]
    """Place and size in bytes, and whether it is a key packet, of those whose place the container tells."""

    @classmethod
    def of(cls, path: Path) -> Base:
        """Look into a clip."""
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            found = [(p.pos, p.size, p.is_keyframe) for p in container.demux(stream) if p.size]
            codec = stream.codec_context.name
        rows = tuple((int(at), size, key) for at, size, key in found if at is not None and at >= 0)
        return cls(path, path.read_bytes(), codec, rows)


def _over(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new[: len(data) - at] + data[at + len(new) :]


def _area(base: Base, draw: random.Random) -> tuple[int, int]:
    """Place and size of some sectors, as a bad card loses them."""
    size = min(SECTOR * draw.choice([1, 2, 8, 32]), max(1, len(base.data) // 3))
    at = draw.randrange(len(base.data)) // SECTOR * SECTOR
    return at, size


def zeros(base: Base, draw: random.Random) -> bytes:
    """Sectors that come back empty."""
    at, size = _area(base, draw)
    return _over(base.data, at, bytes(size))


def noise(base: Base, draw: random.Random) -> bytes:
    """Sectors of something else."""
    at, size = _area(base, draw)
    return _over(base.data, at, draw.randbytes(size))


def swap(base: Base, draw: random.Random) -> bytes:
    """Sectors in each other's places."""
    at, size = _area(base, draw)
    other = draw.randrange(len(base.data)) // SECTOR * SECTOR
    one, two = base.data[at : at + size], base.data[other : other + size]
    return _over(_over(base.data, at, two), other, one[: len(two)])


def _flipped(data: bytes, bits: list[int]) -> bytes:
    out = bytearray(data)
    for bit in bits:
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def flip_head(base: Base, draw: random.Random) -> bytes:
    """A few bits of what comes before the first frame."""
    end = min(base.packets[0][0] if base.packets else 2048, 4096) or 64
    return _flipped(base.data, [draw.randrange(8 * max(end, 64)) for _ in range(draw.choice([1, 3, 8]))])


def flip_body(base: Base, draw: random.Random) -> bytes:
    """A few bits anywhere."""
    count = draw.choice([1, 4, 16, 64])
    return _flipped(base.data, [draw.randrange(8 * len(base.data)) for _ in range(count)])


def half(base: Base, draw: random.Random) -> bytes:
    """Cut short."""
    return base.data[: int(len(base.data) * draw.uniform(0.3, 0.95))]


def dropped(base: Base, draw: random.Random) -> bytes:
    """A region that is not there."""
    at, size = _area(base, draw)
    return base.data[:at] + base.data[at + size :]


def boxes(base: Base, draw: random.Random) -> bytes:
    """Lengths and counts of the container that lie."""
    out = bytearray(base.data)
    ends = [draw.randrange(min(1024, len(out) - 4)), len(out) - 5 - draw.randrange(min(1024, len(out) - 5))]
    for _ in range(draw.choice([1, 3, 9])):
        at = draw.choice(ends) // 4 * 4
        number = draw.choice([0, 1, 3, 30_000, 2**31, 2**32 - 1, draw.randrange(2**32)])
        out[at : at + 4] = number.to_bytes(4, draw.choice(["big", "little"]))
        ends = [draw.randrange(min(1024, len(out) - 4)), ends[1]]
    return bytes(out)


def _packet(base: Base, draw: random.Random, key: bool | None) -> bytes:
    rows = [r for r in base.packets if key is None or r[2] == key] or list(base.packets)
    if not rows:
        return zeros(base, draw)
    at, size, _ = rows[0] if key and draw.random() < 0.6 else draw.choice(rows)
    skip = min(draw.choice([0, 8, 8, size // 2]), size)
    new = draw.choice([bytes(size), draw.randbytes(size)])
    return _over(base.data, at + skip, new[: size - skip])


def key_packet(base: Base, draw: random.Random) -> bytes:
    """A key frame that is lost, as a whole or in half."""
    return _packet(base, draw, True)


def packet(base: Base, draw: random.Random) -> bytes:
    """Any frame that is lost, as a whole or in half."""
    return _packet(base, draw, None)


KINDS: dict[str, Callable[[Base, random.Random], bytes]] = {
    "zeros": zeros,
    "noise": noise,
    "swap": swap,
    "flip_head": flip_head,
    "flip_body": flip_body,
    "half": half,
    "dropped": dropped,
    "boxes": boxes,
    "key_packet": key_packet,
    "packet": packet,
}


def mutants(bases: list[Base], count: int, seed: int) -> Iterator[tuple[str, str, Base, bytes]]:
    """`count` broken copies: name, kind, what it was made of, bytes."""
    draw = random.Random(seed)
    kinds = list(KINDS)
    for number in range(count):
        base, kind = bases[draw.randrange(len(bases))], kinds[number % len(kinds)]
        yield f"{number:05d}_{kind}_{base.path.name}", kind, base, KINDS[kind](base, draw)


def distances(frames: np.ndarray, true: np.ndarray) -> np.ndarray:
    """float64 `[T]`: levels by which each frame leaves the true frame nearest to it."""
    wide = true.astype(np.int16)
    return np.array([np.abs(wide - frame.astype(np.int16)).mean(axis=(1, 2, 3)).min() for frame in frames])


def ffmpeg_frames(path: Path) -> int:
    """Frames that the ffmpeg program gets out of a file."""
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return sum(bool(line) and not line.startswith(b"#") for line in done.stdout.splitlines())


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 where a frame that was never filmed passed as sound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--decoder", default="pyav")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="folders of further good clips")
    parser.add_argument("--keep", type=Path, help="folder for the broken copies that are faults")
    parser.add_argument("--no-built", action="store_true", help="only the clips of --clips")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        return measure(asked, Path(name))


def measure(asked: argparse.Namespace, work: Path) -> int:
    """Break, read, compare and say."""
    paths = [] if asked.no_built else write_bases(work / "bases")
    paths += sorted(p for folder in asked.clips for p in folder.rglob("*") if p.is_file())
    bases = [Base.of(p) for p in paths]
    spec = ClipSpec(Frames("uniform", asked.frames), SIZE, decoder=asked.decoder)
    true: dict[Path, np.ndarray] = {}
    with DecodePool(ALL, workers=asked.workers) as pool:
        for job, clip in pool.map((Job(str(p), str(p)) for p in paths), ahead=4):
            if isinstance(clip, ClipError) or clip.status != "ok":
                raise SystemExit(
                    f"{job.key} is no good clip: {clip if isinstance(clip, ClipError) else clip.reason}"
                )
            true[Path(job.key)] = clip.frames
    made: dict[str, tuple[str, Base]] = {}

    def jobs() -> Iterator[Job]:
        for key, kind, base, data in mutants(bases, asked.count, asked.seed):
            made[key] = (kind, base)
            (work / key).write_bytes(data)
            yield Job(key, str(work / key))

    said: Counter[tuple[str, str]] = Counter()
    faults, lost, untrue = [], [], 0
    with DecodePool(spec, workers=asked.workers) as pool:
        for job, clip in pool.map(jobs(), ahead=8):
            kind, base = made[job.key]
            path = Path(job.path)
            said[kind, clip.status if isinstance(clip, Clip) else "failed"] += 1
            if isinstance(clip, ClipError):
                given = ffmpeg_frames(path) if shutil.which("ffmpeg") else 0
                if given:
                    lost.append(f"{job.key}: {clip} (the ffmpeg program gives {given} frames)")
            else:
                far = distances(clip.frames, true[base.path])
                wrong = int((far > FAR).sum())
                if wrong and clip.status == "ok":
                    faults.append(
                        f"{job.key} ({base.codec}): {wrong} of {len(far)}, by {far.max():.0f} levels"
                    )
                    if asked.keep:
                        asked.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, asked.keep / job.key)
                elif wrong:
                    untrue += 1
            path.unlink()
    for kind in KINDS:
        counts = ", ".join(f"{said[kind, s]} {s}" for s in ("ok", "degraded", "failed"))
        print(f"{kind:10} {counts}")
    for title, lines in (("untrue frames called ok", faults), ("failed, though ffmpeg gives frames", lost)):
        print(f"{title}: {len(lines)} of {asked.count} clips")
        for line in lines:
            print("  " + line)
    print(f"degraded clips with an untrue frame among theirs: {untrue}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
