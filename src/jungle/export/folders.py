"""Folders of species: a link to each clip, or a copy, in the folder of each class that counts in it.

Nothing is written outside `by_species`, nor through a link that lies in it; the names of clips and classes
are made safe for every usual disk. Called again, it makes what is missing, and removes what an earlier call
made and no longer holds.
"""

import errno
import hashlib
import os
import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from jungle.console import log
from jungle.data import predictions
from jungle.data.spreadsheets import write_csv
from jungle.data.table_io import read_table
from jungle.errors import UsageError, UserError
from jungle.export.settings import ExportSettings, Links, Results
from jungle.files import NAME_BYTES, replace_atomically
from jungle.names import show
from jungle.wording import tally

FOLDER = "by_species"
LIST = "clips.csv"
FAILED, UNSURE = "_failed", "_unsure"
COLUMNS = ("clip", "folder", "file", "path")
WINDOWS = frozenset(
    ["con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))]
)
MADE = {"symbolic": "a symbolic link", "hard": "a hard link", "copy": "a copy"}
# What a disk, or a system, says of a kind of link that it does not have.
NO_LINKS = {
    getattr(errno, name)
    for name in ("EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK", "EINVAL")
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A clip in one folder: its file there, and the clip's own path."""

    clip: str
    folder: str
    file: str
    path: str


def write(results: Results, settings: ExportSettings) -> list[Path]:
    """Write the folders of species, and `clips.csv`, which lists what is in them.

    Raises:
        UsageError: no clip is on disk.
        UserError: a folder is a link, or the disk takes neither links nor copies.
    """
    out = settings.out / FOLDER
    entries, lost = _plan(results)
    if not entries:
        raise UsageError(
            f"folders: none of the {results.table.height} clips is on disk"
            + (f", as {show(lost[0])}" if lost else "")
            + ": give videos=<folder of the clips>"
        )
    if lost:
        log.warning(
            f"folders: {tally(len(lost), 'clips are')} not on disk and in no folder, as {show(lost[0])}"
        )
    for folder in sorted({e.folder for e in entries}):
        _make_folder(out, folder)
    before = _read_list(out / LIST)
    _write_list(out / LIST, entries, before)  # so that a later call can remove what this one does not
    removed = _remove_old(out, entries, before)
    kinds = dict.fromkeys(MADE, 0)
    allowed: list[Links] = ["symbolic", "hard", "copy"] if settings.links == "auto" else [settings.links]
    for entry in entries:
        kinds[_place(out, entry, allowed)] += 1
    _write_list(out / LIST, entries, {})
    said = ", ".join(f"{n} as {MADE[kind]}" for kind, n in kinds.items() if n)
    log.info(f"folders: {tally(len(entries), 'clips')} in {len({e.folder for e in entries})} folders: {said}")
    if removed:
        log.info(f"folders: {tally(removed, 'entries')} of an earlier export removed")
    return [out]


def _plan(results: Results) -> tuple[list[Entry], list[str]]:
    """Return what shall be in the folders, and the clips that are not on disk."""
    names = results.seen.group_by("row").agg("name")
    rows = results.table.with_row_index("row").join(names, on="row", how="left", maintain_order="left")
    folders = _Names({FAILED, UNSURE, LIST})
    files: dict[str, _Names] = {}
    entries: list[Entry] = []
    lost: list[str] = []
    for clip, status, path, seen in rows.select("clip", "status", "path", "name").iter_rows():
        if not path or not os.path.isfile(path):
            lost.append(clip)
            continue
        within = [FAILED] if status == predictions.FAILED else [folders.of(s) for s in seen or ()] or [UNSURE]
        for folder in within:
            file = files.setdefault(folder, _Names()).of(clip)
            entries.append(Entry(clip, folder, file, os.path.abspath(path)))
    return entries, lost


class _Names:
    """Safe names of one folder: different ones for different texts, also where a disk ignores case."""

    def __init__(self, taken: set[str] | None = None) -> None:
        self._of: dict[str, str] = {}
        self._taken = {_fold(name) for name in taken or ()}

    def of(self, text: str) -> str:
        """Return the name of a text: the same each time, numbered where it is another text's already."""
        if text not in self._of:
            whole = PurePosixPath(make_safe(text))
            stem, suffix = whole.stem, whole.suffix
            name, n = _cut(stem, suffix), 1
            while _fold(name) in self._taken:
                n += 1
                name = _cut(stem, f" ({n}){suffix}")
            self._taken.add(_fold(name))
            self._of[text] = name
        return self._of[text]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def make_safe(text: str) -> str:
    """Return a text as the name of one file: no separator, nothing that Windows or FAT refuses.

    >>> make_safe("site 1/100EK113/IMG_0001.AVI"), make_safe("../x"), make_safe("what?"), make_safe("con")
    ('site 1_100EK113_IMG_0001.AVI', '__x', 'what_', 'con_')
    """
    name = "".join(c if c.isprintable() else "_" for c in text)
    name = re.sub(r'[<>:"/\\|?*]', "_", name.replace("../", "_/"))
    name = name.rstrip(". ") or "_"
    name = f"_{name[1:]}" if name.startswith((".", " ")) else name
    return f"{name}_" if name.split(".")[0].lower() in WINDOWS else name


def _cut(stem: str, suffix: str) -> str:
    """Return a name that disks take: where it is too long, its end gives way to a hash of it."""
    name = f"{stem}{suffix}"
    if len(os.fsencode(name)) <= NAME_BYTES:
        return name
    digest = f"_{hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()}"
    suffix = suffix if len(os.fsencode(suffix)) < 32 else ""
    room = NAME_BYTES - len(os.fsencode(f"{digest}{suffix}"))
    return f"{os.fsencode(stem)[:room].decode(errors='ignore')}{digest}{suffix}"


def _make_folder(out: Path, name: str) -> None:
    """Make the folder of a species.

    Raises:
        UserError: it, or the folder of all species, is a link or a file.
    """
    for folder in (out, out / name):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(f"{folder}: is a link or a file, where a folder is to be: move it away")
        folder.mkdir(parents=True, exist_ok=True)


def _place(out: Path, entry: Entry, allowed: list[Links]) -> str:
    """Bring a clip into its folder in the first way that the disk allows; return which way it is there.

    Raises:
        UserError: something else has the name, or the disk allows none of the ways.
    """
    at, source = out / entry.folder / entry.file, Path(entry.path)
    if os.path.lexists(at):
        if (kind := _recognise(at, source)) is not None and kind in allowed:
            return kind
        if kind is None:
            raise UserError(f"{at}: is there and is not the clip {show(entry.clip)}: move it away")
        at.unlink()
    refused: OSError | None = None
    for kind in list(allowed):
        try:
            if kind == "symbolic":
                at.symlink_to(source)
            elif kind == "hard":
                os.link(source, at)
            else:
                with replace_atomically(at) as part:
                    shutil.copyfile(source, part)
                shutil.copystat(source, at)
            return kind
        except (OSError, NotImplementedError) as e:
            number = e.errno if isinstance(e, OSError) else errno.ENOSYS
            if kind == "copy" or number not in NO_LINKS:
                raise
            refused = OSError(number, os.strerror(number or 0))
            if len(allowed) > 1:
                allowed.remove(kind)  # the same disk would refuse it for the next clip too
    raise UserError(
        f"links={allowed[0]}: this disk does not take them ({refused.strerror if refused else ''}): "
        "links=auto copies instead"
    )


def _recognise(at: Path, source: Path) -> str | None:
    """Return in which way a file is a clip; None where it is something else, or the clip's own file."""
    own = Path(os.path.realpath(at.parent)) / at.name
    if os.path.realpath(source.parent) == str(own.parent) and source.name == own.name:
        return None
    try:
        if at.is_symlink():
            return "symbolic" if os.readlink(at) == str(source) else None
        if os.path.samefile(at, source):
            return "hard"
        a, b = at.stat(), source.stat()
    except OSError:
        return None
    same_time = abs(a.st_mtime - b.st_mtime) <= 2  # FAT keeps times to 2 seconds
    return "copy" if a.st_size == b.st_size and same_time else None


def _read_list(file: Path) -> dict[tuple[str, str], str]:
    """Return folder, file and the clip's path of what an earlier call made."""
    if not file.is_file() or file.is_symlink():
        return {}
    try:
        table = read_table(file, as_written=True).frame
        if not set(COLUMNS[1:]) <= set(table.columns):
            return {}
    except UserError:
        return {}
    return {(folder, name): path for folder, name, path in table.select(COLUMNS[1:]).iter_rows()}


def _write_list(file: Path, entries: list[Entry], before: dict[tuple[str, str], str]) -> None:
    rows = [(e.clip, e.folder, e.file, e.path) for e in entries]
    known = {(e.folder, e.file) for e in entries}
    rows += [(None, *key, path) for key, path in before.items() if key not in known]
    table = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    write_csv(table, file, exact=COLUMNS[1:])


def _remove_old(out: Path, entries: list[Entry], before: dict[tuple[str, str], str]) -> int:
    """Remove what an earlier call made and this one does not hold; what has changed since then stays."""
    kept = {(e.folder, e.file): e.path for e in entries}
    removed = 0
    for (folder, name), path in before.items():
        at = out / folder / name
        if kept.get((folder, name)) == path or not _is_inside(folder, name) or (out / folder).is_symlink():
            continue
        if os.path.lexists(at) and _recognise(at, Path(path)) is not None:
            at.unlink()
            removed += 1
            if not any(at.parent.iterdir()):
                at.parent.rmdir()
    return removed


def _is_inside(folder: str, name: str) -> bool:
    """Tell whether a folder and a file of a list are plain names."""
    return all(
        part and part == PurePosixPath(part).name and part not in (".", "..") for part in (folder, name)
    )
