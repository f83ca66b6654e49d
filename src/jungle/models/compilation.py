"""Check torch.compile, and explain its errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jungle.errors import UserError


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the compiler, wherever in a step it comes, into one line.

    Raises:
        UserError: with the compiler's own reason.
    """
    try:
        yield
    except RuntimeError as e:
        if not type(e).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        said = [line.strip() for line in str(e).splitlines() if line.strip()]
        why = said[0][:200] if said else type(e).__name__
        raise UserError(
            f"trainer.compile=true: torch.compile does not work here ({why}). It needs a C++ compiler (apt "
            "install g++), on a GPU Triton too; or leave trainer.compile out"
        ) from None


def check_compiler(device: str) -> None:
    """Compile a line of arithmetic, before anything is read.

    Raises:
        UserError: the compiler's tools are not on this machine.
    """
    with explained():
        torch.compile(lambda x: x.sin() + x.cos())(torch.ones(16, device=device))
