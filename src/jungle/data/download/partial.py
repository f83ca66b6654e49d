"""A file half fetched: its bytes, and which version of it they are of."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jungle.files import named_after, write_json

if TYPE_CHECKING:
    import requests


@dataclass
class Part:
    """What is known of a file half fetched: its bytes beside the name, and which version of it they are."""

    path: Path
    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def note(self) -> Path:
        """The file that says which version the bytes are of."""
        return named_after(self.path, suffix=".json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        """What says whether the file is still the same one; a weak tag does not."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    @classmethod
    def of(cls, path: Path, url: str) -> "Part":
        """What an earlier try left of `url`; of another address its note counts for nothing."""
        part = cls(path, url)
        try:
            known = json.loads(part.note.read_text(encoding="utf-8"))
            if known["url"] == url:
                part.etag, part.modified = str(known["etag"]), str(known["modified"])
                part.total = None if known["total"] is None else int(known["total"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return part

    def begin(self, response: "requests.Response") -> None:
        """Forget what was fetched: the bytes of this answer are the first."""
        self.etag, self.modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        self.total = _length(response)
        self.path.unlink(missing_ok=True)
        known = {"url": self.url, "etag": self.etag, "modified": self.modified, "total": self.total}
        write_json(self.note, known)

    def drop(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _length(response: "requests.Response") -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Content-Encoding" not in response.headers else None
