"""The device that a command is asked to use."""

import re

from jungle.errors import UsageError


def device_of(asked: str, setting: str = "device=") -> str:
    """Return `cpu` or `cuda:<number>` for `auto`, `cpu`, `cuda` or `cuda:<number>`.

    Args:
        asked: by a person.
        setting: what names it, for messages.

    Raises:
        UsageError: it is no device, or one that this machine does not have.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", asked):
        raise UsageError(f"{setting}{asked}: auto, cpu, cuda or cuda:<number>")
    if asked in ("auto", "cpu"):
        return "cuda:0" if asked == "auto" and torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available():
        raise UsageError(
            f"{setting}{asked}: no GPU can be used here (jungle doctor says why); {setting}cpu works"
        )
    number = int(asked[5:] or 0)
    if number >= torch.cuda.device_count():
        raise UsageError(
            f"{setting}{asked}: this machine has {torch.cuda.device_count()} GPUs, counted from 0"
        )
    return f"cuda:{number}"
