"""Check files of weights and plain values, as `torch.save` writes them, before they are read.

They are untrusted. `weights_only` keeps their code from running; the checks here bound the time and memory
they cost: nothing is compressed, and the description is small and builds tensors only. They do without torch,
so a command refuses a file before it imports that.
"""

import io
import os
import pickletools
import zipfile
from pathlib import Path

from jungle.errors import UserError, shorten_error

MAX_MEMBERS = 100_000
MAX_PLAIN = 8 << 20  # bytes of an archive without its tensors; ours take 0.1 MB
MAX_STEPS = 2_000_000  # steps of the description; ours take 15,000
MAX_DEPTH = 32
MAX_VALUES = 200_000
MAX_LETTERS = 1000  # of one text
_CALLED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short")),
    *(f"torch {kind}Storage" for kind in ("Char", "Byte", "Bool")),
}


def check_checkpoint(path: Path) -> None:
    """Refuse a file that cannot be a checkpoint.

    Raises:
        UserError: with the fix.
    """
    try:
        check_saved(path)
    except UserError as e:
        raise UserError(
            f"ckpt={path}: not a checkpoint: {e}. Give the best.ckpt or last.ckpt of a training run"
        ) from None


def check_archive(path: Path) -> None:
    """Refuse a zip archive that would cost more to read than its size suggests; other files pass.

    Raises:
        UserError: it would; the message does not name the file.
    """
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        check_saved(path, any_call=True)


def one_line(error: BaseException) -> str:
    """Return the text of an exception as one line of at most 160 printable characters."""
    return "".join(c if c.isprintable() else "?" for c in shorten_error(error, 160))


def check_plain(value: object, what: str) -> None:
    """Refuse a value with too many texts, numbers, lists and tables.

    The same list may occur in many places, so a small file can describe billions of values: each occurrence
    counts.

    Raises:
        UserError: it is too large, too deep, or has other types.
    """
    left: list[tuple[object, int]] = [(value, 0)]
    values = 0
    while left:
        one, depth = left.pop()
        if isinstance(one, (dict, list, tuple)):
            values += len(one)
            if depth == MAX_DEPTH or values > MAX_VALUES:
                raise UserError(
                    f"{what} is larger or deeper than that of any model (at most {MAX_VALUES:,} values, "
                    f"{MAX_DEPTH} levels)"
                )
            if isinstance(one, dict):
                if odd := next((k for k in one if not isinstance(k, str)), None):
                    raise UserError(f"{what} has a name that is no text: {type(odd).__name__}")
                left += [(key, depth) for key in one]
                one = list(one.values())
            left += [(inner, depth + 1) for inner in one]
        elif isinstance(one, str):
            if len(one) > MAX_LETTERS:
                raise UserError(f"{what} holds a text of {len(one):,} letters; at most {MAX_LETTERS}")
        elif one is not None and not isinstance(one, (bool, int, float)):
            raise UserError(f"{what} holds a {type(one).__name__}, which is no plain value")


def one_name(name: str) -> str:
    """Return a name of weights for a message."""
    return "".join(c if c.isprintable() else "?" for c in name)[:100]


def check_saved(path: Path, any_call: bool = False) -> None:
    """Refuse a file unless it is an archive of weights and plain values that costs no more than its size.

    `any_call`: its description may call more than what builds tensors; `weights_only` refuses the rest.

    Raises:
        UserError: the message does not name the file.
    """
    size = os.stat(path).st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise UserError(f"holds {len(members):,} parts, more than any model")
            if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in members):
                raise UserError("a part of it is compressed, which no program that saves weights does")
            if sum(m.file_size for m in members) > size:
                raise UserError("its parts claim to be larger than the file")
            plain = [m for m in members if "/data/" not in m.filename]
            if sum(m.file_size for m in plain) > MAX_PLAIN:
                raise UserError(f"its description is larger than {MAX_PLAIN >> 20} MiB")
            pickles = [m for m in plain if m.filename.endswith(".pkl")]
            if not pickles:
                raise UserError("not a file of weights (an archive of something else)")
            for pickle in pickles:
                _check_steps(archive.read(pickle), any_call)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):  # odd compression, a password
        raise UserError("not a whole file of weights (no archive as torch.save writes it)") from None


def _check_steps(text: bytes, any_call: bool) -> None:
    """Refuse a pickle that builds anything but tensors, or takes too long to build."""
    try:
        for number, (step, argument, _) in enumerate(pickletools.genops(io.BytesIO(text))):
            if number > MAX_STEPS:
                raise UserError(f"its description takes more than {MAX_STEPS:,} steps to build")
            if any_call or step.name not in ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                continue
            if step.name != "GLOBAL" or argument not in _CALLED:
                what = one_name(str(argument or "something").replace(" ", "."))
                raise UserError(f"would have to call {what} to load: it is not made of weights alone")
    except (ValueError, IndexError, KeyError, AttributeError):
        raise UserError("its description is damaged") from None
