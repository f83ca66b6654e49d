"""One shard of the feature store: the features of some hundred clips, with the rows that describe them.

A shard is a safetensors file that holds everything about its clips, so that one rename publishes it, and
deleting it takes back exactly its clips. In file order:

    keys, clips, reasons  U8   texts of the R rows, each followed by a NUL except the last
    status                U8   [R] 0 ok, 1 degraded, 2 failed
    frames                U32  [R] frames of each row, 0 where failed
    crc                   U32  [R] CRC-32 of the row's values, then its times
    times                 F32  [N] seconds; N is the sum of `frames`, in row order
    values                F16  [N, D]
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open

from jungle.features.safetensors_io import Damaged, get_tensor_type, open_tensors, read_tensor, write_tensors
from jungle.files import replace_atomically

COLUMNS = ("keys", "clips", "reasons", "status", "frames", "crc")
STATUSES = ("ok", "degraded", "failed")
OK, FAILED = STATUSES.index("ok"), STATUSES.index("failed")
MAX_KEY = 256  # bytes; keys are held in memory at the length of the longest
MAX_COLUMN = 1 << 26  # bytes of one column of a shard
MAX_KEYS = 1 << 30  # bytes of all keys at the length of the longest


@dataclass(frozen=True)
class Shard:
    """What must be known of a shard to map a clip out of it."""

    name: str
    size: int
    """Bytes of the whole file."""
    rows: int
    frames: int
    dim: int

    @property
    def values_at(self) -> int:
        """Bytes from the start of the file to `values`, which ends it."""
        return self.size - 2 * self.frames * self.dim

    @property
    def times_at(self) -> int:
        """Bytes from the start of the file to `times`, which lies before `values`."""
        return self.values_at - 4 * self.frames


@dataclass(frozen=True)
class Rows:
    """The rows of one shard, or of several in a row."""

    keys: np.ndarray
    """Bytes strings [R]."""
    clip_text: bytes
    reason_text: bytes
    status: np.ndarray
    frames: np.ndarray
    crc: np.ndarray

    @cached_property
    def reasons(self) -> list[bytes]:
        """One reason a row, empty where there is none. Split when asked for: few readers need it."""
        return self.reason_text.split(b"\0")

    @property
    def clips(self) -> list[bytes]:
        """The clip's name a row."""
        return self.clip_text.split(b"\0")

    def take(self, which: np.ndarray) -> "Rows":
        """Return the rows of these numbers, at least one."""
        clips, reasons = self.clips, self.reasons
        return Rows(
            self.keys[which],
            b"\0".join(clips[i] for i in which.tolist()),
            b"\0".join(reasons[i] for i in which.tolist()),
            self.status[which],
            self.frames[which],
            self.crc[which],
        )

    def tensors(self) -> dict[str, np.ndarray]:
        """The columns as they are written."""
        return {
            "keys": np.frombuffer(b"\0".join(self.keys.tolist()), np.uint8),
            "clips": np.frombuffer(self.clip_text, np.uint8),
            "reasons": np.frombuffer(self.reason_text, np.uint8),
            "status": self.status,
            "frames": self.frames,
            "crc": self.crc,
        }


def join(rows: Sequence[Rows]) -> Rows:
    """Return the rows of several shards as one table."""
    return Rows(
        np.concatenate([r.keys for r in rows]),
        b"\0".join(r.clip_text for r in rows),
        b"\0".join(r.reason_text for r in rows),
        np.concatenate([r.status for r in rows]),
        np.concatenate([r.frames for r in rows]),
        np.concatenate([r.crc for r in rows]),
    )


def compute_crc(values_TD: np.ndarray, times_T: np.ndarray) -> int:
    """Return the checksum of one clip's features as they lie in the file."""
    return zlib.crc32(times_T.data, zlib.crc32(values_TD.data))


def write_shard(path: Path, rows: Rows, times: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> None:
    """Write a shard beside `path` and rename it there.

    Args:
        path: the shard's file.
        rows: one row a clip, the failed ones included.
        times: float32 [T] of each clip that did not fail.
        values: float16 [T, D] of each clip that did not fail, of one D.

    Raises:
        OSError: it cannot be written in full; nothing is left behind.
    """
    with replace_atomically(path) as part:
        write_tensors(
            part,
            rows.tensors()
            | {
                "times": list(times) or np.zeros(0, np.float32),
                "values": list(values) or np.zeros((0, 0), np.float16),
            },
        )


def read_shard(path: Path) -> tuple[Shard, Rows]:
    """Read what a shard holds, without its times and values.

    Raises:
        Damaged: the file is not a whole shard.
        OSError: it cannot be read.
    """
    with open_tensors(path) as file:
        names = file.offset_keys()
        if {*names} != {*COLUMNS, "times", "values"}:
            raise Damaged("it is not a shard of a feature store")
        rows = read_rows(file, MAX_COLUMN)
        times, (values_type, values_shape) = get_tensor_type(file, "times"), get_tensor_type(file, "values")
    frames = int(rows.frames.sum(dtype=np.int64))
    if (
        times != (np.dtype("<f4"), (frames,))
        or values_type != np.dtype("<f2")
        or len(values_shape) != 2
        or values_shape[0] != frames
        or (frames and names[-2:] != ["times", "values"])
    ):
        raise Damaged("its rows and its features disagree")
    return Shard(path.name, path.stat().st_size, len(rows.status), frames, values_shape[1]), rows


def read_rows(file: safe_open, most: int) -> Rows:
    """Read the columns that describe clips, each of at most `most` bytes, and check that they fit each other.

    Raises:
        Damaged: they do not.
    """
    columns = {name: read_tensor(file, name, most) for name in COLUMNS}
    status, frames, crc = columns["status"], columns["frames"], columns["crc"]
    n = len(status) if status.ndim == 1 else 0
    texts = {name: columns[name].tobytes() for name in ("keys", "clips", "reasons")}
    if (
        n == 0
        or frames.shape != (n,)
        or crc.shape != (n,)
        or [columns[c].dtype.str for c in columns] != ["|u1", "|u1", "|u1", "|u1", "<u4", "<u4"]
        or any(text.count(b"\0") != n - 1 for text in texts.values())
        or status.max() > FAILED
        or ((frames == 0) != (status == FAILED)).any()
    ):
        raise Damaged("the columns of its rows disagree")
    return Rows(_read_keys(texts["keys"], n), texts["clips"], texts["reasons"], status, frames, crc)


def _read_keys(text: bytes, n: int) -> np.ndarray:
    """Return `n` NUL-separated keys as an array; those of one length, as digests are, without a list."""
    width = (len(text) + 1) // n
    if 1 < width <= MAX_KEY + 1 and width * n == len(text) + 1 and not any(text[width - 1 :: width]):
        return np.frombuffer(text + b"\0", f"S{width}").astype(f"S{width - 1}")
    keys = text.split(b"\0")
    longest = max(map(len, keys))
    if not min(map(len, keys)) or longest > MAX_KEY or longest * n > MAX_KEYS:
        raise Damaged("its keys are not keys of clips")
    return np.array(keys)
