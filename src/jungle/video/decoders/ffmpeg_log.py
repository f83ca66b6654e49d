"""What the FFmpeg inside another decoder says while it decodes, which that decoder keeps to itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jungle.video.decoders.trust import is_sign

# What PyAV, decord and OpenCV bring is theirs alone; any other copy in this process is torchcodec's.
OTHERS = ("av.libs", "decord", "opencv")

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_installed: dict[str, Any] = {}
_signs = 0


def _on_line(_: int | None, level: int, form: bytes | None, __: int | None) -> None:
    global _signs
    if level <= 32 and is_sign(
        level, (form or b"").decode("ascii", "replace")
    ):  # lines of debugging are many
        _signs += 1


_callback = _Callback(_on_line)  # kept for as long as the libraries are: they call it at any time


class Signs:
    """How many signs of damage there were since this was made."""

    def __init__(self) -> None:
        self._before = _signs

    def __bool__(self) -> bool:
        return _signs != self._before


def can_hear(load: Callable[[], Any], decoder: str) -> bool:
    """Begin to listen to a decoder; false where its FFmpeg is not found.

    Args:
        load: loads it, and with it its FFmpeg.
        decoder: its name.

    Raises:
        UserError: it cannot be loaded.
    """
    load()
    found = [p for p in _loaded() if _is_of(decoder, p)]
    for path in found:
        if path not in _installed:
            library = ctypes.CDLL(path)  # the copy that is loaded already
            library.av_log_set_callback(_callback)
            _installed[path] = library
    return bool(found)


def _is_of(decoder: str, path: str) -> bool:
    return decoder in path if decoder in OTHERS else not any(other in path for other in OTHERS)


def _loaded() -> list[str]:
    """Paths of the copies of FFmpeg's base library in this process; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[5] for line in lines if "libavutil" in line}
    return sorted(p for p in paths if Path(p).is_file())
