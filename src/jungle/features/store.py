"""The feature store: the features of a frozen backbone for each clip, written once and read at random.

One store is one folder, `<name>-<fingerprint>`, for one spec: everything that shapes the features. It holds
`spec.json`, shards (see `shard.py`), and a cached index of them (see `index.py`). Why it is built this way,
with the measurements, is in `docs/feature-store.md`.

    store = FeatureStore.open(root, "nasnet", spec)
    with store.writer() as writer:
        for content in store.lacking(contents):
            writer.add(content.key_of(status), clip, values_TD, times_T, status, reason)
    batch = store.read_many(store.held(contents[:64]))
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jungle.console import log
from jungle.data.content_key import Content
from jungle.errors import UserError
from jungle.features import index as indices
from jungle.features.fingerprint import compute_fingerprint, describe_differences, make_canonical_spec
from jungle.features.mmap import ShardMaps
from jungle.features.shard import FAILED, STATUSES, compute_crc
from jungle.features.writer import Writer
from jungle.files import write_json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FeatureStore", "Features", "compute_fingerprint"]
FORMAT = 1
SPEC = "spec.json"
RULES = 2
"""Version of the rules by which clips were read: 2 since frames that a decoder made up count as damaged.
Stores of version 0.1 have none, and stay in use."""
LATER = ("mean", "std")
"""Entries of a spec that stores of version 0.1 lack. Such a store notes them beside its spec when it is first
opened, and is not used for a spec in which they differ."""
MAX_SPEC = 1 << 16  # bytes


@dataclass(frozen=True)
class Features:
    """Features of one clip. The arrays are read-only and may be views of a mapped file."""

    values: np.ndarray
    """float16 [T, D]."""
    times: np.ndarray
    """float32 [T], seconds."""
    status: str
    """`ok` or `degraded`."""
    reason: str
    """Why it is degraded, else empty."""


class FeatureStore:
    """Features of many clips, by key. Made by `open`; pickles as its folder; any thread may read."""

    def __init__(self, root: Path, name: str, spec: Mapping[str, object]) -> None:
        self._opened_with = (root, name, spec)
        self.folder = self.find_folder(root, name, spec)
        older = self.folder == _find_folder(root, name, _drop_later(spec))
        self.spec = make_canonical_spec(_drop_later(spec) if older else spec)
        self._check_spec()
        if older and self.spec != make_canonical_spec(spec):
            self._note_later(make_canonical_spec(spec))
        self._maps = ShardMaps(self.folder)
        self._index = indices.load(self.folder)
        indices.save(self.folder, self._index)

    @staticmethod
    def find_folder(root: Path, name: str, spec: Mapping[str, object]) -> Path:
        """Return the folder of the store of `spec`, whether it exists or not.

        A store of version 0.1 is used if there is no newer one and it has not noted another spec.
        """
        folder, older = _find_folder(root, name, spec), _find_folder(root, name, _drop_later(spec))
        if folder.is_dir() or not older.is_dir():
            return folder
        noted = _read_spec(older / SPEC).get("later")
        return older if noted in (None, _pick_later(make_canonical_spec(spec))) else folder

    @classmethod
    def open(cls, root: Path, name: str, spec: Mapping[str, object]) -> "FeatureStore":
        """Open the store of `spec` under `root`; create it if it does not exist.

        Args:
            root: the folder of all stores.
            name: the backbone's name, for people.
            spec: everything that shapes the features, in plain types.

        Raises:
            ValueError: `spec` holds more than plain types.
            UserError: the folder cannot be written, or is another spec's, or a shard in it is damaged.
        """
        return cls(root, name, spec)

    def __contains__(self, key: str) -> bool:
        """Whether the clip was done: it has features, or is known to fail."""
        return bool(self._index.find([key])[0] >= 0)

    def __len__(self) -> int:
        """Clips that have features."""
        return int((self._status(self._index.row_of_key) != FAILED).sum())

    @property
    def dim(self) -> int | None:
        """D, the values a frame; None while no clip has features."""
        return self._index.dim

    def missing(self, keys: Iterable[str], *, retry_failed: bool = False) -> list[str]:
        """Return those of `keys` that are still to do, in order, each once.

        Args:
            keys: the clips wanted.
            retry_failed: count a clip that failed as still to do.
        """
        wanted = list(dict.fromkeys(keys))
        rows = self._index.find(wanted)
        done = rows >= 0
        if retry_failed:
            done[done] = self._status(rows[done]) != FAILED
        return [key for key, is_done in zip(wanted, done, strict=True) if not is_done]

    def lacking(self, contents: Iterable[Content]) -> list[Content]:
        """Return those of the clips that are still to do, in order, each once.

        A clip that was not read in full is to do again if its file was written since.
        """
        wanted = list(dict.fromkeys(contents))
        return [c for c, held in zip(wanted, self.held(wanted), strict=True) if held is None]

    def held(self, contents: Sequence[Content]) -> list[str | None]:
        """Return the key under which the store has each clip, or None."""
        rows = self._index.find_contents(contents).tolist()
        keys = self._index.keys
        return [None if row < 0 else _decode(bytes(keys[row])) for row in rows]

    def refresh(self) -> None:
        """Load what other writers have published since.

        Raises:
            UserError: a shard is damaged.
        """
        index = indices.load(self.folder, self._index)
        if index is not self._index:
            self._index = index
            indices.save(self.folder, index)

    def failures(self) -> dict[str, str]:
        """Return the reason of each clip that has no features, by key."""
        rows = self._index.rows
        if rows is None:
            return {}
        failed = self._index.row_of_key[self._status(self._index.row_of_key) == FAILED]
        keys: list[bytes] = rows.keys[failed].tolist()
        return {_decode(k): _decode(rows.reasons[i]) for k, i in zip(keys, failed.tolist(), strict=True)}

    def table(self) -> "pl.DataFrame":
        """Return one row a clip (`key`, `clip`, `status`, `reason`, `frames`), sorted by key."""
        import polars as pl  # here: processes that only read features do without it

        schema = {"key": pl.Utf8, "clip": pl.Utf8, "status": pl.Utf8, "reason": pl.Utf8, "frames": pl.UInt32}
        rows, known = self._index.rows, self._index.row_of_key.tolist()
        if rows is None:
            return pl.DataFrame(schema=schema)
        keys: list[bytes] = rows.keys[known].tolist()
        clips, reasons, status = rows.clips, rows.reasons, rows.status.tolist()
        return pl.DataFrame(
            {
                "key": [_decode(k) for k in keys],
                "clip": [_decode(clips[i]) for i in known],
                "status": [STATUSES[status[i]] for i in known],
                "reason": [_decode(reasons[i]) for i in known],
                "frames": rows.frames[known],
            },
            schema=schema,
        )

    def read(self, key: str) -> Features:
        """Return the features of one clip.

        Raises:
            KeyError: it is not in the store, or has no features because it failed.
            UserError: its shard is damaged or gone.
        """
        return self.read_many([key])[0]

    def read_many(self, keys: Sequence[str]) -> list[Features]:
        """Return the features of several clips, in the order of `keys`: from a cold disk faster than `read`.

        A clip is checked against its checksum the first time that this object reads it.

        Raises:
            KeyError: one is not in the store, or has no features because it failed.
            UserError: a shard is damaged or gone.
        """
        if not keys:
            return []
        index = self._index
        found, table, verified = index.find(keys), index.rows, index.verified
        if table is None or (found < 0).any() or (table.status[found] == FAILED).any():
            raise self._missing_error(keys)
        pieces = [
            (index.shards[s], start, frames)
            for s, start, frames in zip(
                index.shard_of[found].tolist(),
                index.starts[found].tolist(),
                table.frames[found].tolist(),
                strict=True,
            )
        ]
        out = []
        for row, (shard, *_), (values_TD, times_T) in zip(
            found.tolist(), pieces, self._maps.read(pieces), strict=True
        ):
            if not verified[row]:
                if compute_crc(values_TD, times_T) != table.crc[row]:
                    raise indices.make_damage_error(
                        self.folder / shard.name, "a clip's features do not match their checksum"
                    )
                verified[row] = True
            status = int(table.status[row])
            reason = _decode(table.reasons[row]) if status else ""
            out.append(Features(values_TD, times_T, STATUSES[status], reason))
        return out

    def writer(self, *, flush_mb: float = 64, flush_s: float = 30) -> Writer:
        """Return a context manager that adds clips; what it wrote can be read here when it ends.

        Args:
            flush_mb: a shard is published when it has this many megabytes (10^6),
            flush_s: or, with the next clip, when its oldest clip has waited this many seconds.
        """
        return Writer(self.folder, self.dim, flush_mb, flush_s, self.refresh)

    def __reduce__(self) -> tuple:
        return (FeatureStore.open, self._opened_with)

    def _status(self, rows: np.ndarray) -> np.ndarray:
        return np.zeros(0, np.uint8) if self._index.rows is None else self._index.rows.status[rows]

    def _missing_error(self, keys: Sequence[str]) -> KeyError:
        failures = self.failures()
        for key in keys:
            if key in failures:
                return KeyError(f"clip {key} has no features: {failures[key]}")
        return KeyError(f"{', '.join(self.missing(keys)[:3])} not in {self.folder}")

    def _check_spec(self) -> None:
        """Write the spec into a new folder; check it in an old one."""
        path = self.folder / SPEC
        try:
            if not path.exists():
                name, digest = self._opened_with[1], compute_fingerprint(self.spec)
                about = {"format": FORMAT, "rules": RULES, "name": name, "fingerprint": digest}
                write_json(path, {**about, "spec": self.spec})
            with open(path, "rb") as file:
                text = file.read(MAX_SPEC)
        except OSError as e:
            raise UserError(f"The feature store {self.folder} cannot be used: {e.strerror or e}.") from e
        try:
            held = json.loads(text)
            spec, version = held["spec"], held["format"]
            if held.get("rules") != RULES:
                _warn_of_old_rules(self.folder)
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise UserError(f"{path} is damaged. Delete that one file: it is written again.") from e
        if version != FORMAT:
            raise UserError(
                f"{self.folder} has format {version!r}, not {FORMAT}: another version of jungle wrote it."
            )
        if spec != self.spec:
            what = describe_differences(spec, self.spec) if isinstance(spec, dict) else "not a spec"
            raise UserError(f"{self.folder} holds features of another spec ({what}). Move that folder away.")

    def _note_later(self, spec: Mapping[str, object]) -> None:
        """Add the entries that the spec of a version 0.1 store lacks, so that a change is noticed."""
        held = _read_spec(self.folder / SPEC)
        if "later" in held:
            return
        log.info(
            f"{self.folder}: version 0.1 did not note by which mean and deviation it normalised frames; they "
            "are taken to be those of the backbone now"
        )
        with suppress(OSError):  # a folder that may only be read is said again the next time
            write_json(self.folder / SPEC, {**held, "later": _pick_later(spec)})


def _find_folder(root: Path, name: str, spec: Mapping[str, object]) -> Path:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "features"
    return Path(root) / f"{safe[:100]}-{compute_fingerprint(spec)[:12]}"


def _drop_later(spec: Mapping[str, object]) -> dict[str, object]:
    return {k: v for k, v in spec.items() if k not in LATER}


def _pick_later(spec: Mapping[str, object]) -> dict[str, object]:
    return {k: spec[k] for k in LATER if k in spec}


def _read_spec(path: Path) -> dict[str, object]:
    """Return the content of a spec.json; empty if it cannot be read, which `_check_spec` reports."""
    try:
        with open(path, "rb") as file:
            held = json.loads(file.read(MAX_SPEC))
    except (OSError, ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


@cache
def _warn_of_old_rules(folder: Path) -> None:
    """Warn once that a store may hold features of frames that were never filmed."""
    log.warning(
        f"{folder}: some of its clips were read by version 0.1, which could take damaged frames for sound "
        "ones; delete the folder to read them again"
    )


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")
