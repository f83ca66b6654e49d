"""Files that are written under a temporary name and renamed, so that a kill never leaves half a file."""

import difflib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from jungle.console import log
from jungle.errors import UsageError

NOT_OFFERED = {
    getattr(errno, name) for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EINVAL", "ENOTTY")
}
"""What a disk says of what it cannot do at all: locks, syncing."""

NAME_BYTES = 255  # of one name: what the usual disks take
SUFFIX_BYTES = 16  # of a suffix that a writer may know a format by

MAX_JSON = 64 << 20  # bytes


def expand_user(path: str | Path) -> Path:
    """Return a path with `~` and `~name` expanded.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        if os.path.lexists(path):  # a folder that is named like that
            return Path(path)
        name = str(path).split(os.sep)[0]
        raise UsageError(f"{path}: there is no user {name[1:]}; write the folder out") from None


@contextmanager
def replace_atomically(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is synced and renamed to `path`.

    Without `sync` a power cut may leave a renamed file without its content.

    The temporary name, such as `.k3x_v9qa.part.mp4`, starts with a dot, so that listings and globs pass over
    it. It holds nothing of the stem: a disk that takes the file's own name takes this one.

    Raises:
        OSError: the folder cannot be written, the name is too long for the disk, or that of a folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # what the disk refuses is told before the work, not after it
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The suffix stays at the end because some writers choose the format by it.
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= SUFFIX_BYTES else ""
    fd, name = tempfile.mkstemp(prefix=".", suffix=f".part{suffix}", dir=path.parent)
    os.close(fd)
    part = Path(name)
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        with suppress(OSError):  # FAT, exFAT and SMB have no modes
            part.chmod(0o666 & ~umask)  # mkstemp makes files private; a rename keeps that mode
        if sync:
            _sync(part)
        part.replace(path)
    except Exception as e:
        # Writers leave out which file it was, and polars which kind of error.
        said = re.search(r"\(os error (\d+)\)", str(e))
        number = int(said[1]) if said else e.errno if isinstance(e, OSError) else None
        if number is None or getattr(e, "filename", None):
            raise
        raise OSError(number, os.strerror(number), str(path)) from e
    finally:
        part.unlink(missing_ok=True)


def name_beside(path: Path, prefix: str = "", suffix: str = "") -> Path:
    """The file `<prefix><name of path><suffix>` beside `path`: a note, a journal or a lock.

    Where that is longer than a name may be, a hash stands for the name of `path`, the same one each time.
    """
    name = f"{prefix}{path.name}{suffix}"
    if len(os.fsencode(name)) > NAME_BYTES:
        digest = hashlib.blake2b(os.fsencode(path.name), digest_size=16).hexdigest()
        name = f"{prefix}{digest}{suffix}"
    return path.with_name(name)


def _sync(path: Path) -> None:
    """Sync a file to the disk, where the disk supports it.

    Raises:
        OSError: the disk is full or broken.
    """
    with path.open("rb") as f:
        try:
            os.fsync(f.fileno())
        except OSError as e:
            if e.errno not in NOT_OFFERED:
                raise


def describe_absent(path: Path, what: str = "file") -> str:
    """Describe a missing file, with the file in the same folder that was probably meant.

    Args:
        path: where nothing lies.
        what: "file", "folder" (a folder alone is named then) or "file or folder".
    """
    try:
        names = [f.name for f in path.parent.iterdir() if what != "folder" or f.is_dir()]
    except OSError:
        names = []
    beside = difflib.get_close_matches(path.name, names, 1)
    return f"no such {what}." + (f" There is {beside[0]}." if beside else "")


class Held(Exception):
    """Another process has the lock."""


class Lock:
    """Lock of a folder for one process at a time; as a context manager it waits.

    It goes with the process, however that ends. Where a disk has no locks (some network mounts), that is said
    once, and the work goes on without one.

    Args:
        path: of the lock's file.
    """

    _said: ClassVar[set[Path]] = set()  # folders of which it was said

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def take(self, wait: bool = False) -> "Lock":
        """Take the lock.

        Raises:
            Held: another process has it, and `wait` is not given.
            OSError: the lock's file cannot be made.
        """
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as e:
            if e.errno not in NOT_OFFERED:
                self.release()
                if e.errno in (errno.EAGAIN, errno.EACCES):
                    raise Held(self.path) from None
                raise OSError(e.errno, e.strerror, str(self.path)) from None
            if self.path.parent not in self._said:
                self._said.add(self.path.parent)
                log.warning(
                    f"{self.path.parent}: this disk has no locks: let one command at a time work there"
                )
        except BaseException:  # told to stop while it waited
            self.release()
            raise
        return self

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)  # processes forked meanwhile have the file open too
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Lock":
        return self.take(wait=True) if self._file is None else self

    def __exit__(self, *_: object) -> None:
        self.release()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` in one step."""
    with replace_atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON to `path` in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no such file, or it is not one of ours."""
    try:
        found = json.loads(_read_text(path, MAX_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_text(path: str | Path, most: int) -> str:
    """Return the text of a file that is not too large.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: it is larger, or not UTF-8.
    """
    if not os.path.isfile(path):  # opening a pipe would wait for ever
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    with open(path, "rb") as file:
        held = file.read(most + 1)
    if len(held) > most:
        raise ValueError(f"it is larger than {most >> 10} KiB")
    return held.decode("utf-8")
