"""The size of a file according to its own structure, which reveals a cut file that still plays."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

from jungle.video.container.checksums import read_ebml_number
from jungle.video.container.mp4_boxes import MAX_BOXES, iter_boxes
from jungle.video.container.open import MP4_BOXES, check_file

NEAR = 4 << 20  # bytes within which the first fragment begins, or the rest of one that lost its head
FRAGMENT = b"moof"
OF_FRAGMENTS = re.compile(rb"moof|mdat|mfra")
TYPE = re.compile(rb"[\xa9A-Za-z0-9][ -~]{3}")  # the type of a box; other bytes are no box
EBML_HEADER, MKV_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def describe_truncation(path: str | Path) -> str:
    """Describe a file that does not end where its own structure says; empty if it does, or does not say."""
    size, claimed = check_file(path), read_declared_size(path)
    if claimed is None or claimed == size:
        return ""
    if claimed > size:
        return f"the file is cut short: {size} of {claimed} bytes are there"
    return "the file is damaged (a part of it is lost)" if _has_more_fragments(path, claimed) else ""


def _has_more_fragments(path: str | Path, at: int) -> bool:
    """Return whether fragments of an MP4 follow bytes that are no box; anything else there is filler."""
    try:
        with open(path, "rb") as file:
            head = file.read(NEAR)
            file.seek(at)
            rest = file.read(NEAR)
    except OSError:
        return False
    return head[4:8] in MP4_BOXES and FRAGMENT in head[:at] and OF_FRAGMENTS.search(rest) is not None


def read_declared_size(path: str | Path) -> int | None:
    """Return the bytes that the file's outermost structure claims; None if it does not say."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            if head[:4] in (b"RIFF", b"RF64"):
                return _read_riff(head)
            if head[:4] == EBML_HEADER:
                return _read_matroska(file)
            if head == ASF_HEADER:
                return _read_asf(file)
            if head[4:8] in MP4_BOXES:
                return _read_mp4(file)
    except (OSError, struct.error):
        pass
    return None


def _read_riff(head: bytes) -> int | None:
    size = struct.unpack_from("<I", head, 4)[0]
    # A camera that lost power leaves the size at 0 or all ones.
    return size + 8 if 0 < size < 0xFFFFFFFF and head[8:12] == b"AVI " else None


def _read_mp4(file: BinaryIO) -> int | None:
    claimed = 0
    for number, (kind, _, end) in enumerate(iter_boxes(file)):
        if not TYPE.fullmatch(kind):
            break  # cameras pad their files after the last box
        if end is None or number == MAX_BOXES:
            return None
        claimed = end
    return claimed


def _read_matroska(file: BinaryIO) -> int | None:
    file.seek(4)
    header = read_ebml_number(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != MKV_SEGMENT:
        return None
    size = read_ebml_number(file)
    return None if size is None else file.tell() + size


def _read_asf(file: BinaryIO) -> int | None:
    file.seek(0)
    header = file.read(4096)
    at = header.find(ASF_FILE_PROPERTIES)
    if at < 0 or at + 48 > len(header):
        return None
    size = struct.unpack_from("<Q", header, at + 40)[0]
    return size or None
