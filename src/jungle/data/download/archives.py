"""Archives from the web, unpacked so that nothing in them can reach outside their folder."""

import gzip
import json
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO

from jungle.console import Progress, log
from jungle.data.download.http import PRIMATRIX, download
from jungle.data.validation_report import shown
from jungle.errors import UserError
from jungle.files import named_after, replacing, write_json

MAX_BYTES = 64 * 2**30
MAX_MEMBERS = 5_000_000
CHUNK = 1 << 20


class _Counted:
    """A file that reports how much of it was read."""

    def __init__(self, file: IO[bytes], bar: Progress) -> None:
        self.file, self.bar, self.read_bytes = file, bar, 0

    def read(self, n: int = -1) -> bytes:
        data = self.file.read(n)
        self.read_bytes += len(data)
        self.bar.advance(round(self.read_bytes / 1e6) - self.bar.done)
        return data


def unpack(archive: str | Path, out: str | Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Unpack a .tgz into `out`; killed, the same call goes on, passing over files that are there whole.

    Only files and folders are made, with the permissions any new file has. Hidden files are passed over.

    Args:
        archive: a gzipped tar.
        out: the folder; made where it is not there.
        max_bytes: the most its files may take.

    Returns:
        The number of files it holds.

    Raises:
        UserError: the archive is broken, larger than allowed or than the disk has room for, or holds a link,
            a device, or a name that leads out of `out`.
    """
    archive, out = Path(archive), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    note = named_after(archive, ".", ".unpacked.json")
    info = archive.stat()
    mark = {"size": info.st_size, "mtime": info.st_mtime_ns, "out": str(out.resolve())}
    if known := _marked(note, mark):
        log.info(f"{archive}: already unpacked")
        return known
    room = min(max_bytes, shutil.disk_usage(out).free)
    try:
        with (
            archive.open("rb") as raw,
            Progress(f"unpack {archive.name} (MB)", round(info.st_size / 1e6)) as bar,
            gzip.GzipFile(fileobj=_Counted(raw, bar)) as plain,  # type: ignore[arg-type]  # it reads, no more is asked
        ):
            with tarfile.open(fileobj=plain, mode="r|") as tar:
                files = _members(tar, archive, out, room)
            while plain.read(CHUNK):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise UserError(f"{archive}: broken ({shown(e)}). Delete it and fetch it again.") from None
    write_json(note, {**mark, "files": files})
    return files


def _marked(note: Path, mark: dict[str, object]) -> int | None:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        return int(known.pop("files")) if all(known.get(k) == v for k, v in mark.items()) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _members(tar: tarfile.TarFile, archive: Path, out: Path, room: int) -> int:
    files = members = written = 0
    root = out.resolve()
    for member in tar:
        members += 1
        if members > MAX_MEMBERS:
            raise UserError(f"{archive}: more than {MAX_MEMBERS} members.")
        path = _place(member, archive, root)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        if path.name.startswith("."):
            continue
        files += 1
        if path.is_file() and path.stat().st_size == member.size:
            continue
        written += member.size
        if written > room:
            raise UserError(
                f"{archive}: its files take more than {room / 1e9:.1f} GB, the most allowed or free here."
            )
        source = tar.extractfile(member)
        assert source is not None
        with replacing(path) as part, part.open("wb") as f:
            shutil.copyfileobj(source, f, CHUNK)
    return files


def _place(member: tarfile.TarInfo, archive: Path, root: Path) -> Path:
    """Where a member goes.

    Raises:
        UserError: it is no file or folder, or would not lie in `root`.
    """
    if not (member.isreg() or member.isdir()):
        raise UserError(
            f"{archive}: {shown(member.name)!r} is a link or a device; nothing of it is unpacked further."
        )
    try:
        name = tarfile.data_filter(member, str(root)).name
        path = (root / name).resolve()
    except (tarfile.FilterError, ValueError, OSError):
        path = root.parent
    if not path.is_relative_to(root):
        raise UserError(
            f"{archive}: {shown(member.name)!r} leads out of {root}; nothing of it is unpacked further."
        )
    return path


def fetch_primatrix(out: str | Path, micro: bool = True) -> dict[str, Path]:
    """Fetch the competition's two public tables and its 64x64 clips (`micro/*.mp4`) into `out`.

    Args:
        out: the folder, for example `data`.
        micro: the clips too (3 GB); else the tables only.

    Returns:
        name -> path; `micro` is the folder of the clips.

    Raises:
        UserError: as `download` and `unpack`.
    """
    files = {name: url for name, url in PRIMATRIX.items() if micro or not name.endswith(".tgz")}
    paths = download(files, out)
    if micro:
        unpack(paths["micro_chimps.tgz"], out)
        paths["micro"] = Path(out) / "micro"
    return paths
