"""Everything about one video file that takes opening it: what a worker of `indexing.index` does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jungle.video.container.open import check_file
from jungle.video.indexing.infrared import light_of
from jungle.video.indexing.perceptual_hash import likeness
from jungle.video.probing import probe
from jungle.video.reader import read_clip
from jungle.video.types import ClipError, ClipSpec, Frames
from jungle.video.workers.protocol import Answer

THUMBNAILS = ClipSpec(Frames("opening", 4), (36, 64), decoder="pyav")
BLOCK = 1 << 20
RULES = 3
"""Which frames are read and called sound; another number where a change of this program changes that. 2: the
main picture of several streams, and no frame that a decoder made up. 3: mirrored pictures, streams without
times, and damage that containers, checksums and lost sectors tell."""


def look(order: tuple[str, str]) -> Answer:
    """Facts about the file of `order`, a pair of clip name and path; `status` says whether it can be read."""
    path = order[1]
    facts: dict[str, Any] = stamp(path)
    try:
        probed = asdict(probe(path))
        damage = probed.pop("damage")
        del probed["decord_refusal"]
        clip = read_clip(path, THUMBNAILS)
        facts |= probed | asdict(light_of(clip.frames))
        facts["reason"] = damage or clip.reason
        facts["status"] = "degraded" if facts["reason"] else "ok"
        # Of a damaged clip the first frame that can be read may be another than its copies'.
        facts["looks"] = None if clip.reason else likeness(clip.frames[0])
    except ClipError as error:
        facts |= {"status": "failed", "reason": str(error)}
    facts["hash"] = _hash(path)
    facts["rules"] = RULES
    return facts, []


def stamp(path: str) -> dict[str, int]:
    """Size and times of a file, by which a change is noticed; empty where it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def is_current(row: Mapping[str, Any], path: str) -> bool:
    """Tell whether a row is of a file as it is now: by its size and its time of modification.

    A file that was not `ok` may have been repaired by a copy that took over the time of its original: there
    the time of change, which every write sets, counts too. Rows of earlier versions do not tell it.
    """
    now = stamp(path)
    counts = ("size", "mtime_ns") if row.get("status") == "ok" else ("size", "mtime_ns", "ctime_ns")
    return bool(now) and all(now[name] == row.get(name) for name in counts)


def _hash(path: str) -> str | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        check_file(path)
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except (OSError, ClipError):
        return None
    return digest.hexdigest()
