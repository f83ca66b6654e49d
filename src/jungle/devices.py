"""The GPUs that a command is asked to use, and those that there are."""

import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jungle.errors import UsageError
from jungle.wording import tally

DEVICES = Path("/dev")
_OTHERS = ("kfd", "dxg", "nvmap", "nvhost-ctrl", "nvgpu")  # AMD, WSL, Jetson: no file nvidia<number>


def count_gpus() -> int | None:
    """Return how many GPUs torch can find here at most, without importing it; None: not known."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.split(",")[0].strip() in ("", "-1"):
        return 0
    if sys.platform != "linux" or any((DEVICES / name).exists() for name in _OTHERS):
        return None
    if visible is not None and "MIG" in visible:
        return None
    try:
        if "+cpu" in version("torch"):
            return 0
    except PackageNotFoundError:
        return None
    cards = sum(re.fullmatch(r"nvidia\d+", f.name) is not None for f in DEVICES.iterdir())
    return cards if visible is None else min(cards, len(visible.split(",")))


def require_gpus(wanted: int | Sequence[int], have: int | None, asked: str, instead: str) -> None:
    """Refuse GPUs that this machine has not.

    Args:
        wanted: how many, -1 for all, or the numbers of some.
        have: how many there are; None where that is not known.
        asked: the setting, as it was given.
        instead: what can be given where there is none.

    Raises:
        UsageError: with what can be given.
    """
    numbers = not isinstance(wanted, int)
    most = max(wanted) + 1 if not isinstance(wanted, int) else 1 if wanted == -1 else wanted
    if have is None or most <= have:
        return
    if have == 0:
        raise UsageError(f"{asked}: no GPU can be used here (jungle doctor says why): {instead}")
    setting = asked.split("=", 1)[0]
    fix = "they are numbered from 0" if numbers else f"give {setting}={have}, or {setting}=-1 for all"
    raise UsageError(f"{asked}: this machine has {tally(have, 'GPUs')}: {fix}")


def require_trainer(accelerator: str, devices: int | list[int], have: int | None) -> None:
    """Refuse what `trainer.accelerator` and `trainer.devices` ask for where it is not there.

    Args:
        accelerator: `auto`, `cpu`, `gpu` or `cuda`.
        devices: how many, -1 for all, or the numbers of GPUs.
        have: GPUs; None where their number is not known.

    Raises:
        UsageError: with what can be given.
    """
    listed = isinstance(devices, list)
    shown = f"trainer.devices={str(devices).replace(' ', '')}"
    if accelerator == "cpu":
        if listed:
            raise UsageError(f"{shown} names GPUs, and trainer.accelerator=cpu uses none: give a number")
        return
    if have == 0 and accelerator == "auto" and not listed:
        return  # as many processes on the CPU
    named = f"trainer.accelerator={accelerator}"
    require_gpus(devices, have, named if have == 0 and accelerator != "auto" else shown, "trainer=cpu works")


def resolve_device(asked: str, setting: str = "device=") -> str:
    """Return `cpu` or `cuda:<number>` for `auto`, `cpu`, `cuda` or `cuda:<number>`.

    Args:
        asked: by a person.
        setting: what names it, for messages.

    Raises:
        UsageError: it is no device, or one that this machine does not have.
    """
    require_device(asked, None, setting)
    if asked == "cpu":
        return "cpu"
    import torch  # here, since a command that only checks what was typed must not wait for it

    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda:0" if have else "cpu"
    require_device(asked, have, setting)
    return f"cuda:{int(asked[5:] or 0)}"


def require_device(asked: str, have: int | None, setting: str = "device=") -> None:
    """Refuse a word that is no device, or one of a GPU that is not there.

    Raises:
        UsageError: with what can be given.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", asked):
        raise UsageError(f"{setting}{asked}: auto, cpu, cuda or cuda:<number>")
    if asked.startswith("cuda"):
        require_gpus([int(asked[5:] or 0)], have, f"{setting}{asked}", f"{setting}cpu works")
