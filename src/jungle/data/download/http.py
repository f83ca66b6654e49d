"""Downloads that may take hours: resumed where they were cut, checked, and renamed when whole.

Neither requests, nor urllib3's Retry, nor pooch resumes a partial file, or checks that it is of the same
version: this module does.

download(PRIMATRIX, Path("data"))
"""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from jungle.console import Progress, log
from jungle.errors import UserError
from jungle.files import Held, Lock, expand_user, name_beside, read_json, write_json

# The public files of DrivenData competition 49. How to get the full set of 1 TB: docs/competition-data.md
PRIMATRIX = {
    "train_labels.csv": "https://s3.amazonaws.com/drivendata/data/49/public/train_labels.csv",
    "submission_format.csv": "https://s3.amazonaws.com/drivendata/data/49/public/submission_format.csv",
    "micro_chimps.tgz": "https://s3.amazonaws.com/drivendata-public-assets/micro_chimps.tgz",
}
CHUNK = 1 << 16  # bytes; a cut loses at most so many that had arrived
RETRIED = (429, 500, 502, 503, 504)
MAX_WAIT_S = 30.0
TIMEOUT_S = 30  # without a byte, after which an attempt counts as cut


class _TransferCut(Exception):
    """A transfer that stopped early; another try may help."""


@dataclass(slots=True)
class _Version:
    """The file on the server that a partial file belongs to."""

    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """The value for If-Range; a weak tag cannot be used there."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class _PartialFile:
    """The bytes of a download so far, and a file that notes their version.

    Args:
        path: where the bytes are collected.
        url: what is fetched; a note of another address is ignored.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.note = name_beside(path, suffix=".json")
        self.version = _Version(url)
        found = read_json(self.note)
        if found.get("url") == url:
            try:
                total = None if found["total"] is None else int(found["total"])
                self.version = _Version(url, str(found["etag"]), str(found["modified"]), total)
            except (KeyError, TypeError, ValueError):
                pass

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def restart(self, response: requests.Response) -> None:
        """Drop what was fetched: the bytes of this response are the first."""
        headers = response.headers
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdigit() and "Content-Encoding" not in headers else None
        self.version = _Version(
            self.version.url, headers.get("ETag", ""), headers.get("Last-Modified", ""), total
        )
        self.path.unlink(missing_ok=True)
        write_json(self.note, asdict(self.version))

    def delete(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    files: Mapping[str, str],
    out: str | Path,
    *,
    tries: int = 6,
    backoff_s: float = 0.5,
) -> dict[str, Path]:
    """Fetch `files`; after a kill or a cut the same call resumes.

    Bytes are collected in `<name>.part`. If the file has changed on the server since then (ETag or
    Last-Modified), or the server gives no ranges, it is fetched from the start.

    Args:
        files: name under `out` -> http or https address.
        out: the folder.
        tries: attempts in a row that bring nothing new before giving up.
        backoff_s: wait after the first of them in seconds, doubled each time, at most `MAX_WAIT_S`.

    Returns:
        name -> path.

    Raises:
        UserError: the server refuses, cannot be reached, keeps cutting, or the disk has no room.
    """
    out = expand_user(out)
    done: dict[str, Path] = {}
    for name, url in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{name!r} is not a name under the output folder")
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Lock(name_beside(path, ".", ".lock")).take():
                if path.exists():
                    log.info(f"{path}: exists already")
                else:
                    _fetch(url, path, tries=tries, backoff_s=backoff_s)
        except Held:
            raise UserError(f"{path}: another process is fetching it; wait for it, or stop it") from None
        done[name] = path
    return done


def _fetch(url: str, path: Path, *, tries: int, backoff_s: float) -> None:
    part = _PartialFile(name_beside(path, suffix=".part"), url)
    most = part.size
    failed = 0
    with requests.Session() as session:
        while True:
            try:
                _fetch_missing(session, part, path.name)
                break
            except _TransferCut as cut:
                # Only bytes beyond the furthest point count: else a server that starts over is asked forever.
                failed = 0 if part.size > most else failed + 1
                most = max(most, part.size)
                if failed >= tries:
                    raise UserError(
                        f"{url}: {cut}; {tries} tries brought nothing more; the partial file is kept: "
                        "run the same command later to resume"
                    ) from None
                wait = min(backoff_s * 2**failed, MAX_WAIT_S)
                log.warning(f"{path.name}: {cut}; trying again in {wait:.1f} s")
                time.sleep(wait)
    with part.path.open("rb") as f:
        os.fsync(f.fileno())
    part.path.replace(path)
    part.note.unlink(missing_ok=True)


def _fetch_missing(session: requests.Session, part: _PartialFile, name: str) -> None:
    """Fetch the missing bytes of a file.

    Raises:
        _TransferCut: not all of them arrived.
        UserError: another try would not help.
    """
    url, have = part.version.url, part.size
    headers = {"Accept-Encoding": "identity"}  # a compressed response could be neither resumed nor measured
    if have and part.version.validator:
        if have == part.version.total:
            return
        headers |= {"Range": f"bytes={have}-", "If-Range": part.version.validator}
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            have = _check_response(response, part)
            _check_room(part, have)
            with (
                part.path.open("ab") as f,
                Progress(f"{name} (MB)", _megabytes(part.version.total), done=_megabytes(have) or 0) as bar,
            ):
                while block := response.raw.read(CHUNK, decode_content=False):
                    f.write(block)
                    have += len(block)
                    bar.advance((_megabytes(have) or 0) - bar.done)
    except (requests.RequestException, HTTPError) as e:
        if isinstance(e, ValueError):  # how requests marks an address that it cannot use
            raise UserError(f"{url}: not an http address.") from None
        raise _TransferCut(f"cut after {part.size} bytes ({type(e).__name__})") from None
    except OSError as e:
        raise UserError(f"{part.path}: cannot be written: {e.strerror or e}.") from None
    total = part.version.total
    if total is not None and have != total:
        if have > total:
            part.delete()
        raise _TransferCut(f"{have} bytes arrived, {total} were announced")


def _check_response(response: requests.Response, part: _PartialFile) -> int:
    """Return the number of bytes before those of this response.

    Raises:
        _TransferCut: another try may help.
        UserError: another try would not help.
    """
    url, have = part.version.url, part.size
    status = f"the server answers {response.status_code} {response.reason}"
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
        raise UserError(f"{url}: redirects to an address that is not encrypted, {response.url}.")
    if response.status_code in RETRIED:
        raise _TransferCut(status)
    if response.status_code == 200:
        part.restart(response)
        return 0
    if response.status_code not in (206, 416):
        raise UserError(f"{url}: {status}; check the address")
    if response.status_code == 416 or not _is_same_version(response, part.version, have):
        part.delete()
        raise _TransferCut("the file changed on the server; starting from the beginning")
    return have


def _is_same_version(response: requests.Response, version: _Version, have: int) -> bool:
    """Return whether a partial response starts where the file ends, and is of the same version."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or span.partition("-")[0] != str(have):
        return False
    if version.total is not None and total.isdigit() and int(total) != version.total:
        return False
    return response.headers.get("ETag", "") in ("", version.etag) or not version.etag


def _check_room(part: _PartialFile, have: int) -> None:
    """Raise a UserError if the disk has no room for the rest of a file."""
    free, total = shutil.disk_usage(part.path.parent).free, part.version.total
    if total is not None and total - have > free:
        raise UserError(
            f"{part.path.parent}: {part.version.url} needs {_megabytes(total - have)} MB more, "
            f"{_megabytes(free)} MB are free; make room, or choose another folder"
        )


def _megabytes(size: int | None) -> int | None:
    return None if size is None else round(size / 1e6)
