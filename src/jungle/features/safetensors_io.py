"""Safetensors files: read by the `safetensors` package, written in an order of our own.

The package writes tensors sorted by type and name, each from one array. A shard's features have to lie at its
end, where they are mapped, and come in one array a clip: so the writer is ours.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

DTYPES = {
    "U8": np.dtype("<u1"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGN = 64  # bytes; a cache line, so that mapped tensors are aligned for any element type


class Damaged(Exception):
    """A file is not what its header or the index says. The text is the reason, without the file's name."""


@contextmanager
def open_tensors(path: Path) -> Iterator[safe_open]:
    """Open a safetensors file of which the header fits the size.

    Raises:
        Damaged: the header is not valid, or a tensor read in the block is not in the file.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, "np") as file:
            yield file
    except SafetensorError as e:
        raise Damaged(f"not a whole safetensors file: {e}") from e


def get_tensor_type(file: safe_open, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the type and shape of a tensor, without reading it.

    Raises:
        Damaged: it has another type than those of the feature store.
    """
    view = file.get_slice(name)
    if view.get_dtype() not in DTYPES:
        raise Damaged(f"its {name} are of type {view.get_dtype()}")
    return DTYPES[view.get_dtype()], tuple(view.get_shape())


def read_tensor(file: safe_open, name: str, most: int) -> np.ndarray:
    """Read one tensor into memory.

    Raises:
        Damaged: it has more than `most` bytes.
    """
    dtype, shape = get_tensor_type(file, name)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > most:
        raise Damaged(f"a table in it has {nbytes:,} bytes, over the limit of {most:,}")
    return file.get_tensor(name)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray | Sequence[np.ndarray]]) -> None:
    """Write `tensors` to `path` in the order given; a sequence is written as one tensor, joined along axis 0.

    Byte tensors come first in `tensors`: the header is padded so that the first wider one is aligned.

    Raises:
        OSError: the file cannot be written in full.
    """
    header, at, unaligned = {}, 0, 0
    columns = {n: [v] if isinstance(v, np.ndarray) else v for n, v in tensors.items()}
    for name, parts in columns.items():
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
        for parts in columns.values():
            for part in parts:
                if part.nbytes:
                    file.write(np.ascontiguousarray(part).data.cast("B"))
