"""Files from the web that may take hours: resumed where they were cut, checked, and renamed when whole.

download(PRIMATRIX, Path("data"))
"""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from jungle.console import Progress, log
from jungle.data.download.partial import Part
from jungle.errors import UserError
from jungle.files import Held, Lock, expanded, named_after

if TYPE_CHECKING:
    import requests

# The public files of DrivenData competition 49. How to get the full set of 1 TB: docs/competition-data.md
PRIMATRIX = {
    "train_labels.csv": "https://s3.amazonaws.com/drivendata/data/49/public/train_labels.csv",
    "submission_format.csv": "https://s3.amazonaws.com/drivendata/data/49/public/submission_format.csv",
    "micro_chimps.tgz": "https://s3.amazonaws.com/drivendata-public-assets/micro_chimps.tgz",
}
CHUNK = 1 << 16  # what a cut loses of bytes that had come
RETRIED = (429, 500, 502, 503, 504)


class _Cut(Exception):
    """The transfer stopped early; it is worth another try."""


def download(
    files: Mapping[str, str],
    out: str | Path,
    *,
    again: bool = False,
    tries: int = 6,
    backoff_s: float = 0.5,
    timeout_s: float = 30,
) -> dict[str, Path]:
    """Fetch `files` (name under `out` -> address). Killed or cut, the same call goes on where it was.

    Bytes gather in `<name>.part`; a file that changed on the server since then (ETag or Last-Modified) is
    begun again, as is one whose server gives no ranges.

    Args:
        files: name -> http or https address.
        out: the folder.
        again: fetch files that are there already.
        tries: attempts in a row that bring nothing new before giving up.
        backoff_s: wait after the first of them in seconds, doubled each time, at most 30.
        timeout_s: seconds without a byte after which an attempt counts as cut.

    Returns:
        name -> path.

    Raises:
        UserError: the server refuses, cannot be reached, keeps cutting, or the disk has no room.
    """
    out = expanded(out)
    done: dict[str, Path] = {}
    for name, url in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{name!r} is not a name under the output folder")
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Lock(named_after(path, ".", ".lock")).take():
                if path.exists() and not again:
                    log.info(f"{path}: already there")
                else:
                    _fetch(url, path, tries, backoff_s, timeout_s)
        except Held:
            raise UserError(f"{path}: another process is fetching it. Wait for it, or stop it.") from None
        done[name] = path
    return done


def _session(backoff_s: float) -> "requests.Session":
    retry = Retry(
        total=3,
        redirect=10,
        backoff_factor=backoff_s,
        backoff_max=30,
        status_forcelist=RETRIED,
        allowed_methods=["GET"],
        respect_retry_after_header=False,  # a server could ask for a year
        raise_on_status=False,
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


def _fetch(url: str, path: Path, tries: int, backoff_s: float, timeout_s: float) -> None:
    part = Part.of(named_after(path, suffix=".part"), url)
    most = part.size
    failed = 0
    with _session(backoff_s) as session:
        while True:
            try:
                _attempt(session, part, path.name, timeout_s)
                break
            except _Cut as cut:
                # Only bytes beyond the furthest point count, or a server that always begins again is asked
                # for ever.
                failed = 0 if part.size > most else failed + 1
                most = max(most, part.size)
                if failed >= tries:
                    raise UserError(
                        f"{url}: {cut}; {tries} tries brought nothing more. What came is kept: run the same "
                        "command later to go on."
                    ) from None
                wait = min(backoff_s * 2**failed, 30)
                log.warning(f"{path.name}: {cut}; trying again in {wait:.1f} s")
                time.sleep(wait)
    with part.path.open("rb") as f:
        os.fsync(f.fileno())
    part.path.replace(path)
    part.note.unlink(missing_ok=True)


def _attempt(session: "requests.Session", part: Part, name: str, timeout_s: float) -> None:
    """Get what is missing of a file.

    Raises:
        _Cut: not all of it came.
        UserError: asking again would not help.
    """
    have = part.size
    headers = {"Accept-Encoding": "identity"}  # a compressed answer could be neither resumed nor measured
    if have and part.validator:
        if have == part.total:
            return
        headers |= {"Range": f"bytes={have}-", "If-Range": part.validator}
    try:
        with session.get(part.url, headers=headers, stream=True, timeout=timeout_s) as response:
            if urlsplit(part.url).scheme == "https" and urlsplit(response.url).scheme != "https":
                raise UserError(f"{part.url}: leads to an address that is not encrypted, {response.url}.")
            if response.status_code == 416:
                part.drop()
                raise _Cut("the server has another file than the one begun")
            if response.status_code in RETRIED:
                raise _Cut(f"the server answers {response.status_code} {response.reason}")
            if response.status_code not in (200, 206):
                raise UserError(
                    f"{part.url}: the server answers {response.status_code} {response.reason}. Is it the "
                    "right address?"
                )
            if response.status_code == 206 and not _continues(response, part, have):
                part.drop()
                raise _Cut("the file changed on the server; beginning again")
            if response.status_code == 200:
                part.begin(response)
                have = 0
            _room(part, have)
            with (
                part.path.open("ab") as f,
                Progress(f"{name} (MB)", _mb(part.total), done=_mb(have) or 0) as bar,
            ):
                while block := response.raw.read(CHUNK, decode_content=False):
                    f.write(block)
                    have += len(block)
                    bar.advance((_mb(have) or 0) - bar.done)
    except (requests.RequestException, HTTPError) as e:
        if isinstance(e, ValueError):  # how requests marks an address it cannot use
            raise UserError(f"{part.url}: not an http address.") from None
        raise _Cut(f"cut after {part.size} bytes ({type(e).__name__})") from None
    except OSError as e:
        raise UserError(f"{part.path}: cannot be written: {e.strerror or e}.") from None
    if part.total is not None and have != part.total:
        too_much = have > part.total
        if too_much:
            part.drop()
        raise _Cut(f"{have} bytes came, {part.total} were announced")


def _continues(response: "requests.Response", part: Part, have: int) -> bool:
    """Whether a partial answer goes on where the file begun ends, and is of the same version."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    same = unit == "bytes" and span.partition("-")[0] == str(have)
    if part.total is not None and total.isdigit():
        same &= int(total) == part.total
    tag = response.headers.get("ETag", "")
    return same and (not tag or not part.etag or tag == part.etag)


def _room(part: Part, have: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if part.total is not None and part.total - have > free:
        raise UserError(
            f"{part.path.parent}: {part.url} needs {_mb(part.total - have)} MB more, {_mb(free)} MB are "
            "free. Make room, or choose another folder."
        )


def _mb(size: int | None) -> int | None:
    return None if size is None else round(size / 1e6)
