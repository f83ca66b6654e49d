"""Disk of clips, which may be away for a while: unplugged, or a network that is down."""

import time
from collections.abc import Iterable

from jungle.console import log
from jungle.data.predictions import ClipPrediction

SAMPLE = 32  # files that are tried
WAIT_S = 5.0
NOT_OPENED = ("no such file", "dangling link", "cannot be opened")
"""Beginnings of the reasons of `jungle.video.container.open.check_file`."""


class Disk:
    """Some files of a request, by which is known whether any file can be read.

    Args:
        paths: of all files; those of the sample that cannot be read now do not count.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        known = list(paths)
        step = max(len(known) // SAMPLE, 1)
        self.files = [path for path in known[::step] if _is_readable(path)]

    def is_away(self) -> bool:
        """Return whether no file can be read any more: a file that is gone alone was moved or deleted."""
        return bool(self.files) and not any(map(_is_readable, self.files))

    def was_away(self, path: str, row: ClipPrediction, may_be_back: bool) -> bool:
        """Return whether a clip was not read in full because the disk was away, not because it is damaged.

        The disk may be back already: then a file that could not even be opened can be now.

        Args:
            path: the clip's file.
            row: its prediction.
            may_be_back: whether to ask that.
        """
        if row.status == "ok":
            return False
        return self.is_away() or (may_be_back and row.reason.startswith(NOT_OPENED) and _is_readable(path))

    def wait(self) -> None:
        """Wait until files can be read again; return at once where they can."""
        if not self.is_away():
            return
        log.warning(
            f"no clip can be read any more, as {self.files[0]}: the disk seems to be away; attach it again "
            "and this goes on by itself, or stop it: the same command resumes"
        )
        while self.is_away():
            time.sleep(WAIT_S)
        log.info("the clips are back: going on")


def _is_readable(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            file.read(1)
    except (OSError, ValueError):
        return False
    return True
