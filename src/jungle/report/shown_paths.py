"""How a page names files: a page is sent to others, whom the folders of this machine do not concern."""

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
class Places:
    """Turns absolute paths into what is below a known folder, or into the name of the file alone.

    Attributes:
        roots: known folders, absolute, those inside others first.
        whole: whether paths are shown as they are.
    """

    roots: tuple[str, ...] = ()
    whole: bool = False

    def path(self, text: str) -> str:
        """Return how a path is shown; one that is not absolute is shown as it is."""
        if self.whole or not ABSOLUTE.match(text):
            return text
        plain = text.rstrip("/\\") or text
        for root in self.roots:
            if plain.startswith(root + "/") or plain.startswith(root + "\\"):
                return plain[len(root) + 1 :]
        return re.split(r"[\\/]", plain)[-1] or plain

    def text(self, text: str) -> str:
        """Return text with each absolute path in it as `path` shows it; pictures are left alone."""
        if self.whole or text.startswith("data:") or ("/" not in text and "\\" not in text):
            return text
        if ABSOLUTE.match(text) and ": " not in text and "\n" not in text:
            return self.path(text)
        for root in self.roots:  # known folders first: their names may have blanks
            text = re.sub(rf"(?<![\w.~/:<\\-]){re.escape(root)}[\\/](?=[^\s\\/])", "", text)
        return PATH.sub(lambda found: self.path(found[0]), text)


def places_of(folders: Iterable[str | Path | None], clips: Iterable[str] = (), whole: bool = False) -> Places:
    """Return the places of a page.

    Args:
        folders: whose files are named by what comes below: of the clips, of the run. The working folder too.
        clips: names of clips; of those that are whole paths the folder that all are in is known too.
        whole: whether paths are shown as they are.
    """
    known: dict[str, None] = {}
    for folder in [*(f for f in folders if f), Path.cwd()]:
        for form in (os.path.abspath(folder), os.path.realpath(folder)):
            known[form] = None
    named = [os.path.dirname(c) for c in clips if os.path.isabs(c)]
    if named:
        with suppress(ValueError):  # of several drives
            known[os.path.commonpath(named)] = None
    roots = sorted((k for k in known if k != os.sep), key=len, reverse=True)
    return Places(tuple(roots), whole)
