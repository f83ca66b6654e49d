"""Names that lead to another folder, such as `latest`: links, or text files on disks without links.

exFAT, FAT and many network mounts have no symbolic links. The file then holds the folder's name, and
`through` reads it wherever a person types a path that goes through it.
"""

import os
from contextlib import suppress
from pathlib import Path

NAME = "latest"
LONGEST = 255  # bytes of a folder's name


def point(link: Path, folder: str) -> bool:
    """Make `link` lead to a folder with the same parent, in one step; return whether it is a true link.

    A folder, or a file of other content, that has the name already is the user's and stays.

    Raises:
        OSError: the disk takes neither a link nor a file.
    """
    if not link.is_symlink() and link.exists() and read_target(link) is None:
        return True
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        try:
            beside.symlink_to(folder)
        except (OSError, NotImplementedError):  # a disk, or a system, without links
            beside.write_text(f"{folder}\n", encoding="utf-8", errors="surrogateescape")
        followed = beside.is_symlink()
        beside.replace(link)
        return followed
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def read_target(link: Path) -> Path | None:
    """Return the folder that `link` leads to; None where it is not a link, or leads nowhere."""
    try:
        if link.is_symlink():
            found = link.parent / os.readlink(link)
        elif link.is_file() and link.stat().st_size <= LONGEST + 1:
            name = link.read_text(encoding="utf-8", errors="surrogateescape").strip()
            if not name or name in (".", "..") or "/" in name or "\0" in name or "\n" in name:
                return None
            found = link.parent / name
        else:
            return None
        return found if found.is_dir() else None
    except (OSError, UnicodeError):
        return None


def follow_latest(path: Path) -> Path:
    """Return a path in which each `latest` that is a text file is replaced by the folder that it names."""
    if NAME not in path.parts:
        return path
    found = Path()
    for part in path.parts:
        found = found / part
        if part == NAME and found.is_file():
            found = read_target(found) or found
    return found
