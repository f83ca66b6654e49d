"""Files written beside their name and renamed into place, so that a kill never leaves half of one."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jungle.errors import UserError


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~name` as the folders that they stand for.

    Raises:
        UserError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = str(path).split(os.sep)[0]
        raise UserError(f"{path}: there is no user {name[1:]}; write the folder out, or ./{path}") from None


@contextmanager
def replacing(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is synced and renamed to `path`.

    Without `sync` a power cut may leave a renamed file without its content.

    The temporary name starts with a dot and ends with `.part`, so that listings and globs pass over it.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept inside the name because some writers choose the format by it.
    fd, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(fd)
    part = Path(name)
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # mkstemp makes files private; a rename keeps that mode
        if sync:
            with part.open("rb") as f:
                os.fsync(f.fileno())
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


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` in one step."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no such file, or it holds no object."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
