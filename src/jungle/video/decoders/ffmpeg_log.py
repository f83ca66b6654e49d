"""Log of the FFmpeg library inside another decoder, which that decoder does not pass on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from jungle.video.decoders.trust import INFO, is_sign

# PyAV, decord and OpenCV have their own copies; any other copy in this process is torchcodec's.
OTHERS = ("av.libs", "decord", "opencv")

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_installed: dict[str, ctypes.CDLL] = {}
_signs = 0


def _on_line(_: int | None, level: int, form: bytes | None, __: int | None) -> None:
    global _signs
    if level <= INFO and is_sign(level, (form or b"").decode("ascii", "replace")):
        _signs += 1


_callback = _Callback(_on_line)  # the libraries call it at any time: it must never be freed


class Signs:
    """Signs of damage since this object was made."""

    def __init__(self) -> None:
        self._before = _signs

    def __bool__(self) -> bool:
        return _signs != self._before


def can_hear(load: Callable[[], object], decoder: str) -> bool:
    """Load a decoder and listen to its FFmpeg; return whether that was found.

    Raises:
        UserError: the decoder cannot be loaded.
    """
    load()
    found = [p for p in _list_loaded() if _is_of(decoder, p)]
    for path in found:
        if path not in _installed:
            library = ctypes.CDLL(path)  # the copy that is loaded already
            library.av_log_set_callback(_callback)
            _installed[path] = library
    return bool(found)


def _is_of(decoder: str, path: str) -> bool:
    return decoder in path if decoder in OTHERS else not any(other in path for other in OTHERS)


def _list_loaded() -> list[str]:
    """Return the paths of FFmpeg's base libraries in this process; empty if the system does not list them."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[5] for line in lines if "libavutil" in line}
    return sorted(p for p in paths if Path(p).is_file())
