"""Writer of a feature store: collects clips, then publishes them as one shard.

Any number of writers may fill the same store from any number of machines. Each publishes files of its own
under names that no other can take, so none waits for another and nothing is locked; a clip that two of them
did is in the store twice, and one of the two is read.
"""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from jungle.console import log
from jungle.errors import UserError
from jungle.features.shard import FAILED, MAX_COLUMN, MAX_KEY, STATUSES, Rows, compute_crc, write_shard
from jungle.wording import count

STALE_S = 6 * 3600  # seconds; a shard is written in a few, so an older unfinished file has no writer
MAX_TEXT = 4096  # bytes kept of a clip's name or of a reason
MAX_ROWS = MAX_COLUMN // (2 * MAX_TEXT)


class Writer:
    """Collector of clips that publishes them together. Create it with `FeatureStore.writer`; for one thread.

    A kill loses what was added since the last shard was published, never more.
    """

    def __init__(
        self, folder: Path, dim: int | None, flush_mb: float, flush_s: float, published: Callable[[], None]
    ) -> None:
        self._folder, self._dim, self._published = folder, dim, published
        self._flush_bytes, self._flush_s = flush_mb * 1e6, flush_s
        self._clear()

    def add(
        self,
        key: str,
        clip: str,
        values: np.ndarray,
        times: np.ndarray,
        status: str = "ok",
        reason: str = "",
    ) -> None:
        """Add the features of one clip.

        Args:
            key: content digest of the clip's file, at most 256 bytes.
            clip: the clip's name, for people.
            values: frame features [T, D], T >= 1; kept as float16.
            times: seconds [T] of each frame; kept as float32.
            status: `ok` or `degraded`.
            reason: why it is degraded.

        Raises:
            ValueError: a value or time is NaN or infinite, or does not fit float16, or a shape is wrong.
            UserError: the shard that this clip filled cannot be written.
        """
        if status not in STATUSES[:FAILED]:
            raise ValueError(
                f"{clip}: status {status!r} is neither ok nor degraded; failed clips go to fail()"
            )
        values_TD, times_T = _check_arrays(clip, values, times)
        if self._dim not in (None, values_TD.shape[1]):
            raise ValueError(
                f"{clip}: {values_TD.shape[1]} values a frame, in a store of {self._dim}: "
                "what sets the width of the features is missing from the store's spec"
            )
        self._row(key, clip, STATUSES.index(status), reason, len(values_TD), compute_crc(values_TD, times_T))
        self._dim = values_TD.shape[1]
        self._values.append(values_TD)
        self._times.append(times_T)
        self._bytes += values_TD.nbytes
        self._flush_if_due()

    def fail(self, key: str, clip: str, reason: str) -> None:
        """Record that a clip has no features, and why, so that it is not tried again unless requested.

        Raises:
            UserError: the shard that this clip filled cannot be written.
        """
        self._row(key, clip, FAILED, reason or "unknown", 0, 0)
        self._flush_if_due()

    def flush(self) -> None:
        """Publish what was added, if anything was.

        Raises:
            UserError: it cannot be written, for example on a full disk. It is kept for another try.
        """
        if not self._keys:
            return
        # Names sort by time, so that the first to do a clip is the one that is read
        name = f"shard-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(8)}.safetensors"
        rows = Rows(
            np.array(self._keys),
            b"\0".join(self._clips),
            b"\0".join(self._reasons),
            np.array(self._status, np.uint8),
            np.array(self._frames, np.uint32),
            np.array(self._crc, np.uint32),
        )
        try:
            write_shard(self._folder / name, rows, self._times, self._values)
        except OSError as e:
            raise UserError(
                f"{self._folder}: {count(len(self._keys), 'clip')} ({self._bytes / 1e6:.0f} MB) cannot be "
                f"written: {e.strerror or e}. Make room there or put the feature store on another disk, then "
                "start again: all clips before these are kept."
            ) from e
        self._clear()

    def __enter__(self) -> "Writer":
        _delete_stale(self._folder)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.flush()
        except UserError as e:
            if kind is None:
                raise
            log.warning(e)  # the exception that ended the block is the one to show
        self._published()

    def _row(self, key: str, clip: str, status: int, reason: str, frames: int, crc: int) -> None:
        coded = key.encode()
        if not 0 < len(coded) <= MAX_KEY or b"\0" in coded:
            raise ValueError(f"{clip}: a key has 1 to {MAX_KEY} bytes and no NUL, not {key[:80]!r}")
        self._keys.append(coded)
        self._clips.append(_encode(clip))
        self._reasons.append(_encode(reason))
        self._status.append(status)
        self._frames.append(frames)
        self._crc.append(crc)
        self._since = self._since or time.monotonic()

    def _flush_if_due(self) -> None:
        old = time.monotonic() - self._since >= self._flush_s
        if old or self._bytes >= self._flush_bytes or len(self._keys) >= MAX_ROWS:
            self.flush()

    def _clear(self) -> None:
        self._keys: list[bytes] = []
        self._clips: list[bytes] = []
        self._reasons: list[bytes] = []
        self._status: list[int] = []
        self._frames: list[int] = []
        self._crc: list[int] = []
        self._values: list[np.ndarray] = []
        self._times: list[np.ndarray] = []
        self._bytes, self._since = 0, 0.0


def _check_arrays(clip: str, values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return own copies of `values` as float16 and `times` as float32, or say what is wrong with them."""
    if values.ndim != 2 or 0 in values.shape or times.shape != values.shape[:1]:
        raise ValueError(
            f"{clip}: values {list(values.shape)} and times {list(times.shape)} are not [T, D] and [T]"
        )
    with np.errstate(over="ignore"):
        values_TD = np.array(values, np.float16, order="C")
    # Ten times faster than isfinite: float16 is NaN or infinite where all bits of its exponent are set
    if (values_TD.view(np.uint16) & 0x7FFF).max() >= 0x7C00:
        if np.isfinite(values).all():
            most = np.abs(values).max()
            raise ValueError(f"{clip}: a feature of {most:.6g} does not fit float16, whose limit is 65504")
        raise ValueError(f"{clip}: its features hold NaN or infinity")
    times_T = np.array(times, np.float32)
    if not np.isfinite(times_T).all():
        raise ValueError(f"{clip}: its frame times hold NaN or infinity")
    return values_TD, times_T


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:MAX_TEXT].replace(b"\0", b" ")


def _delete_stale(folder: Path) -> None:
    """Delete the unfinished files of writers that were killed."""
    for part in folder.glob(".*.part.*"):
        try:
            if time.time() - part.stat().st_mtime > STALE_S:
                part.unlink()
        except OSError:  # another writer swept it, or may not be touched
            continue
