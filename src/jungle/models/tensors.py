"""Read weights and plain values from files that `torch.save` has written; no code of theirs is run."""

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from jungle.errors import UserError
from jungle.files import replace_atomically
from jungle.models.archives import MAX_LETTERS, check_saved, one_line, one_name


def load_archive(path: Path) -> Any:
    """Return what `torch.save` wrote, on the CPU, its tensors mapped from the file.

    Raises:
        UserError: it cannot be read, is another kind of file, or needs more than weights and plain values;
            the message does not name the file.
    """
    try:
        check_saved(path)
        # mmap: a file that claims more than it holds is refused instead of being read into memory.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UserError:
        raise
    except OSError as e:
        raise UserError((e.strerror or "cannot be read").lower()) from None
    except Exception as e:
        raise UserError(f"damaged ({one_line(e)})") from None


def save_archive(value: object, path: str | Path) -> None:
    """Write weights and plain values in one step.

    Raises:
        OSError: the disk is full (torch, writing to a path, raises a RuntimeError without the reason).
    """
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with replace_atomically(path) as part:
        part.write_bytes(buffer.getbuffer())


def check_weights(state: object, file_bytes: int) -> dict[str, torch.Tensor]:
    """Return a table of weights if they are plain tensors that fit into a file of that size.

    Raises:
        UserError: they are not.
    """
    if not isinstance(state, (dict, OrderedDict)) or not state:
        raise UserError("holds no table of weights")
    total = 0
    for name, value in state.items():
        if not isinstance(name, str) or len(name) > MAX_LETTERS or not isinstance(value, torch.Tensor):
            raise UserError("its table of weights holds something else than named tensors")
        if value.device.type != "cpu" or value.layout != torch.strided or value.is_quantized:
            raise UserError(f"its weights {one_name(name)} are not held as plain numbers")
        # A stride of 0 claims any size.
        total += value.nbytes
        if value.nbytes > value.untyped_storage().nbytes() or total > 2 * file_bytes:
            raise UserError(f"its weights {one_name(name)} claim to be larger than the file")
    return dict(state)
