"""Files written beside their name and renamed into place, so that a kill never leaves half of one."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jungle.errors import UserError
from jungle.names import escaped

MAX_JSON = 64 << 20  # bytes
MAX_DEPTH = 32  # of settings within settings
MAX_YAML = 256 << 10  # bytes; the settings of a run take 10,000


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
    """Return the object in a JSON file; empty where there is no such file, or it holds no object of ours."""
    try:
        found = json.loads(_read_text(path, MAX_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the settings in a YAML file that may be anybody's.

    Raises:
        UserError: it cannot be read, holds no settings, or is too large; without YAML's aliases, by which a
            file of some lines stands for billions of values.
    """
    import yaml

    try:
        text = _read_text(path, MAX_YAML)
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{path}: holds a YAML alias (*name); write the values out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UserError(f"{path}: holds settings within settings, deeper than {MAX_DEPTH}")
        found = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:
        said = str(e).split("\n")[0] or type(e).__name__
        raise UserError(f"{path}: cannot be read as settings: {escaped(said)[:160]}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no settings (a list of `name: value`)")
    return found


def _read_text(path: str | Path, most: int) -> str:
    """Return the text of a file of at most so many bytes.

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
