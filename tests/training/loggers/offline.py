"""Read what W&B keeps of an offline run: records in the framing of LevelDB's log, each a protobuf message."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

Record: Any = vars(wandb_internal_pb2)["Record"]
BLOCK = 32_768  # bytes; no record's header lies across its end
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def payloads(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log; one that spans blocks is joined."""
    assert data[:4] in (b":W&B", b"")
    at, joined = 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part = data[at + 7 : at + 7 + length]
        if len(part) < length:
            return  # it is being written
        at += 7 + length
        joined = part if kind in (WHOLE, FIRST) else joined + part
        if kind in (WHOLE, LAST):
            yield joined


class OfflineRun:
    """One offline run: what it was begun with, its history, its summary, its artifacts."""

    def __init__(self, folder: Path) -> None:
        """Read the last session of a run in a folder of this program.

        W&B's own process writes it, and may be a little behind.
        """
        self.folder = sorted(folder.glob("wandb/offline-run-*"))[-1]
        for _ in range(300):
            self.history: list[dict[str, Any]] = []
            self.summary: dict[str, Any] = {}
            self.config: dict[str, Any] = {}
            self.artifacts: list[Any] = []
            self.run: Any = None
            kinds = [self._take(p) for p in payloads(next(self.folder.glob("*.wandb")).read_bytes())]
            if "exit" in kinds:
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.folder}: the run has no end: {kinds}")

    def table(self, key: str) -> dict[str, Any]:
        """Return the table of a key as its page shows it: columns and rows."""
        files = [f for a in self.artifacts for f in a.manifest.contents if f.path == f"{key}.table.json"]
        return json.loads(Path(files[-1].local_path).read_text())

    def _take(self, payload: bytes) -> str:
        record = Record()
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.run = record.run
            self.config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        elif kind == "config":
            self.config |= {i.key: json.loads(i.value_json) for i in record.config.update}
        elif kind == "history":
            self.history.append(_items(record.history.item))
        elif kind == "summary":
            self.summary |= _items(record.summary.update)
        elif kind == "artifact":
            self.artifacts.append(record.artifact)
        return str(kind)


def _items(items: Any) -> dict[str, Any]:
    return {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in items}
