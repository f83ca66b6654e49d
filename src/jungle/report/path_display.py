"""Display of file paths on a page, which may be sent to people who need not know this machine's folders."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

END = r"""[^\s/\\:*?"'<>|,;()\[\]{}]"""
PATH = re.compile(
    # two parts at least, so that </b> and "and/or" are none; a drive's name, or a share's, is one
    rf"(?<![\w.~/:<\\-])(?:/{END}+(?:/{END}+)+/?|[A-Za-z]:[\\/]{END}+(?:[\\/]{END}+)*|\\\\{END}+(?:\\{END}+)+)"
)
ABSOLUTE = re.compile(r"/[^/\s]|[A-Za-z]:[\\/]|\\\\\w")


@dataclass(frozen=True)
class PathDisplay:
    """Shortens absolute paths to what is below a known folder, or to the name of the file.

    Attributes:
        roots: absolute folders, those inside others first.
        whole: whether paths are shown in full.
    """

    roots: tuple[str, ...] = ()
    whole: bool = False

    def shorten(self, text: str) -> str:
        """Return a path as displayed; one that is not absolute is unchanged."""
        if self.whole or not ABSOLUTE.match(text):
            return text
        plain = text.rstrip("/\\") or text
        for root in self.roots:
            if plain.startswith(root + "/") or plain.startswith(root + "\\"):
                return plain[len(root) + 1 :]
        return re.split(r"[\\/]", plain)[-1] or plain

    def shorten_all(self, text: str) -> str:
        """Return text with each absolute path in it shortened; pictures (data URIs) are unchanged."""
        if self.whole or text.startswith("data:") or ("/" not in text and "\\" not in text):
            return text
        if ABSOLUTE.match(text) and ": " not in text and "\n" not in text:
            return self.shorten(text)
        for root in self.roots:  # known folders first: their names may have blanks
            text = re.sub(rf"(?<![\w.~/:<\\-]){re.escape(root)}[\\/](?=[^\s\\/])", "", text)
        return PATH.sub(lambda found: self.shorten(found[0]), text)


def find_roots(folders: Iterable[str | Path | None], clips: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the folders of a page, absolute, those inside others first.

    Args:
        folders: of the clips and of the run; the working folder is added.
        clips: names of clips; the common folder of those that are absolute paths is added.
    """
    known: set[str] = set()
    for folder in [*(f for f in folders if f), Path.cwd()]:
        known |= {os.path.abspath(folder), os.path.realpath(folder)}
    if named := [os.path.dirname(c) for c in clips if os.path.isabs(c)]:
        with suppress(ValueError):  # on several drives
            known.add(os.path.commonpath(named))
    return tuple(sorted(known - {os.sep}, key=lambda k: (-len(k), k)))
