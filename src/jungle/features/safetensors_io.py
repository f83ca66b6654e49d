"""The safetensors file format, read and written without copying what is large.

The format is eight bytes (the length of a JSON header, little-endian), the header, then the tensors end
to end. The `safetensors` package reads these files too; it is not used here because it returns copies of
whole tensors, where the feature store maps a few frames out of a large one. A header is never trusted: every
name, shape and offset is checked against the size of the file before anything is allocated, and nothing in
it can run.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

DTYPES = {
    "U8": np.dtype("<u1"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_HEADER = 1 << 16  # bytes; the headers written here have under 1,000
ALIGN = 64  # bytes; a cache line, so that mapped tensors are aligned for any element type


class Damaged(Exception):
    """A file is not what its header or the index says. The text is the reason, without the file's name."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies in its file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    at: int
    """Bytes from the start of the file."""

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray | Sequence[np.ndarray]]) -> None:
    """Write `tensors` to `path` in the order given; a sequence is written as one tensor, joined along axis 0.

    Byte tensors come first in `tensors`: the header is padded so that the first wider one is aligned.

    Raises:
        OSError: the file cannot be written in full.
    """
    header, at, unaligned = {}, 0, 0
    for name, value in tensors.items():
        parts = _parts(value)
        shape = [sum(len(p) for p in parts), *parts[0].shape[1:]]
        nbytes = sum(p.nbytes for p in parts)
        header[name] = {"dtype": NAMES[parts[0].dtype], "shape": shape, "data_offsets": [at, at + nbytes]}
        if parts[0].dtype.itemsize == 1 and unaligned == at:
            unaligned = at + nbytes
        at += nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text) + unaligned) % ALIGN)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            for part in _parts(value):
                if part.nbytes:
                    file.write(np.ascontiguousarray(part).data.cast("B"))


def read_header(file: BinaryIO) -> dict[str, Tensor]:
    """Return where each tensor of an open safetensors file lies, in file order.

    Raises:
        Damaged: the header is not valid, or the tensors do not fill the file exactly.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little") if size >= 8 else size
    if length > min(MAX_HEADER, size - 8):
        raise Damaged("its header is cut off or too long")
    try:
        header = json.loads(file.read(length))
        tensors = dict(_entries(header, 8 + length))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise Damaged("its header is not a safetensors header") from e
    end = 8 + length
    for tensor in tensors.values():
        if tensor.at != end:
            raise Damaged("its tensors do not lie end to end")
        end += tensor.nbytes
    if end != size:
        raise Damaged(f"it has {size:,} bytes where its header says {end:,}")
    return tensors


def read_tensor(file: BinaryIO, tensor: Tensor, most: int) -> np.ndarray:
    """Read one tensor into memory.

    Raises:
        Damaged: it has more than `most` bytes, or the file ends before it does.
    """
    if tensor.nbytes > most:
        raise Damaged(f"a table in it has {tensor.nbytes:,} bytes, over the limit of {most:,}")
    file.seek(tensor.at)
    data = file.read(tensor.nbytes)
    if len(data) != tensor.nbytes:
        raise Damaged("it ends before its tensors do")
    return np.frombuffer(data, tensor.dtype).reshape(tensor.shape)


def _entries(header: dict, start: int) -> Iterator[tuple[str, Tensor]]:
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    for name, entry in sorted(entries, key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        shape = entry["shape"]
        if not all(type(n) is int and 0 <= n < 1 << 48 for n in (begin, end, *shape)) or len(shape) > 2:
            raise ValueError("sizes are whole numbers")
        tensor = Tensor(DTYPES[entry["dtype"]], tuple(shape), start + begin)
        if tensor.nbytes != end - begin:
            raise ValueError("a shape and its offsets disagree")
        yield name, tensor


def _parts(value: np.ndarray | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    return [value] if isinstance(value, np.ndarray) else value
