"""Archives from the web, unpacked so that no member can reach outside the folder."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO

from jungle.console import Progress, log
from jungle.data.download.http import PRIMATRIX, download
from jungle.errors import UserError
from jungle.files import name_beside, read_json, replace_atomically, write_json
from jungle.names import show

MAX_BYTES = 64 * 2**30
MAX_MEMBERS = 5_000_000
CHUNK = 1 << 20


class _ProgressReader:
    """A file that shows how much of it was read."""

    def __init__(self, file: IO[bytes], bar: Progress) -> None:
        self.file, self.bar, self.read_bytes = file, bar, 0

    def read(self, n: int = -1) -> bytes:
        data = self.file.read(n)
        self.read_bytes += len(data)
        self.bar.advance(round(self.read_bytes / 1e6) - self.bar.done)
        return data


def unpack(archive: str | Path, out: str | Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Unpack a .tgz into `out`; after a kill the same call resumes, skipping files that are complete.

    Only files and folders are made, with the permissions of any new file. Hidden files are skipped.

    Args:
        archive: a gzipped tar.
        out: the folder; made if it does not exist.
        max_bytes: the most that its files may take.

    Returns:
        The number of files in it.

    Raises:
        UserError: the archive is broken, larger than allowed or than the free disk, or holds a link, a
            device, or a name that leads out of `out`.
    """
    archive, out = Path(archive), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    note = name_beside(archive, ".", ".unpacked.json")
    info = archive.stat()
    mark = {"size": info.st_size, "mtime": info.st_mtime_ns, "out": str(out.resolve())}
    found = read_json(note)
    files = found.pop("files", None)
    if files and found == mark:
        log.info(f"{archive}: already unpacked")
        return int(files)
    room = min(max_bytes, shutil.disk_usage(out).free)
    try:
        with (
            archive.open("rb") as raw,
            Progress(f"unpack {archive.name} (MB)", round(info.st_size / 1e6)) as bar,
            gzip.GzipFile(fileobj=_ProgressReader(raw, bar)) as plain,  # type: ignore[arg-type]  # only read is called
        ):
            with tarfile.open(fileobj=plain, mode="r|") as tar:
                files = _extract(tar, archive, out=out, room=room)
            while plain.read(CHUNK):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise UserError(f"{archive}: broken ({show(e)}); delete it and fetch it again") from None
    write_json(note, {**mark, "files": files})
    return files


def _extract(tar: tarfile.TarFile, archive: Path, *, out: Path, room: int) -> int:
    """Write the members of a tar that are missing, at most `room` bytes; return how many files it has."""
    files = written = 0
    root = out.resolve()
    for i, member in enumerate(tar, start=1):
        if i > MAX_MEMBERS:
            raise UserError(f"{archive}: more than {MAX_MEMBERS} members.")
        path = _resolve_member(member, archive, root)
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
        with replace_atomically(path) as part, part.open("wb") as f:
            shutil.copyfileobj(source, f, CHUNK)
    return files


def _resolve_member(member: tarfile.TarInfo, archive: Path, root: Path) -> Path:
    """Return the path of a member.

    Raises:
        UserError: it is neither a file nor a folder, or would not lie in `root`.
    """
    fault = "is a link or a device"
    if member.isreg() or member.isdir():
        try:
            return (root / tarfile.data_filter(member, str(root)).name).resolve()
        except (tarfile.FilterError, ValueError):
            fault = f"leads out of {root}"
    raise UserError(f"{archive}: {show(member.name)!r} {fault}; unpacking stopped there.")


def fetch_primatrix(out: str | Path, micro: bool) -> dict[str, Path]:
    """Fetch the competition's two public tables and its 64x64 clips (`micro/*.mp4`) into `out`.

    Args:
        out: the folder, for example `data`.
        micro: fetch the clips too (3 GB), not only the tables.

    Returns:
        name -> path; `micro` stands for the folder of the clips.

    Raises:
        UserError: as `download` and `unpack`.
    """
    files = {name: url for name, url in PRIMATRIX.items() if micro or not name.endswith(".tgz")}
    paths = download(files, out)
    if micro:
        unpack(paths["micro_chimps.tgz"], out)
        paths["micro"] = Path(out) / "micro"
    return paths
