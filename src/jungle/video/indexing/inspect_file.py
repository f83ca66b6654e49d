"""Inspect one video file, the task of the workers of `indexing.index`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict

from jungle.video.container.open import check_file
from jungle.video.indexing.infrared import measure_light
from jungle.video.indexing.perceptual_hash import compute_hash
from jungle.video.probing import probe
from jungle.video.reader import read_clip
from jungle.video.types import ClipError, ClipSpec, Frames
from jungle.video.workers.protocol import Answer

THUMBNAILS = ClipSpec(Frames("opening", 4), (36, 64), decoder="pyav")
BLOCK = 1 << 20
RULES = 3
"""Version of which frames are read and called sound. 2: the main picture of several streams, and no frame
that a decoder made up. 3: mirrored pictures, streams without times, and damage that containers, checksums
and lost sectors reveal."""


def inspect(order: tuple[str, str]) -> Answer:
    """Return the facts of the file of `order`, a pair of clip name and path."""
    path = order[1]
    facts: dict[str, object] = {**read_stamp(path)}
    try:
        probed = asdict(probe(path))
        damage = probed.pop("damage")
        del probed["decord_refusal"]
        clip = read_clip(path, THUMBNAILS)
        facts |= probed | asdict(measure_light(clip.frames))
        facts["reason"] = damage or clip.reason
        facts["status"] = "degraded" if facts["reason"] else "ok"
        # The first readable frame of a damaged clip may differ from that of its copies.
        facts["looks"] = None if clip.reason else compute_hash(clip.frames[0])
    except ClipError as error:
        facts |= {"status": "failed", "reason": str(error)}
    facts["hash"] = _hash_file(path)
    facts["rules"] = RULES
    return facts, []


def to_text(name: str) -> str:
    """Return a name that a table can hold: bytes that are not UTF-8 become `?`."""
    return name.encode("utf-8", "replace").decode()


def read_stamp(path: str) -> dict[str, int]:
    """Return a file's size and times, by which a change is noticed; empty if it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def is_current(row: Mapping[str, object], path: str) -> bool:
    """Return whether a row is that of the file as it is now, by its size and time of modification.

    A file that was not `ok` may have been repaired by a copy that kept the time of its original; for those
    the time of change, which every write sets, counts too. Rows of earlier versions lack it.
    """
    now = read_stamp(path)
    counts = ("size", "mtime_ns") if row.get("status") == "ok" else ("size", "mtime_ns", "ctime_ns")
    return bool(now) and all(now[name] == row.get(name) for name in counts)


def _hash_file(path: str) -> str | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        check_file(path)
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except (OSError, ClipError):
        return None
    return digest.hexdigest()
