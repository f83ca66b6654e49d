"""Folders of training runs: which one a command writes into, and which one it goes on with."""

import json
import os
import time
from pathlib import Path
from typing import Any

from jungle.errors import UsageError
from jungle.files import write_json

STATE = "run.json"


def choose(cfg: Any) -> Path:
    """Return the folder for a training command: an unfinished one of the same settings, or a new name.

    A run counts as unfinished where its `run.json` says so and no living process holds its lock.

    Raises:
        UsageError: `resume` names a folder that is no run.
    """
    root = cfg.paths.runs / "train"
    if cfg.resume not in ("auto", "never"):
        folder = (root / "latest").resolve() if cfg.resume == "latest" else Path(cfg.resume)
        if not (folder / STATE).is_file():
            raise UsageError(f"resume={cfg.resume}: no training run there (a run folder holds {STATE})")
        found = state(folder)
        if found.get("fingerprint") != cfg.fingerprint():
            raise UsageError(
                f"resume={cfg.resume}: that run had other settings (see {folder}/config.yaml); "
                "give the same command, or leave resume out to start anew"
            )
        return folder
    if cfg.resume == "auto" and root.is_dir():
        for folder in sorted((f for f in root.iterdir() if f.is_dir() and not f.is_symlink()), reverse=True):
            found = state(folder)
            same = found.get("fingerprint") == cfg.fingerprint()
            if same and found.get("state") == "running" and not is_held(folder):
                return folder
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder, n = root / stamp, 1
    while folder.exists():
        n += 1
        folder = root / f"{stamp}_{n}"
    return folder


def state(folder: Path) -> dict[str, Any]:
    """Return what `run.json` of a run says; empty where there is none."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def mark(folder: Path, fingerprint: str, what: str) -> None:
    """Write the state of a run: `running` or `finished`."""
    write_json(folder / STATE, {"fingerprint": fingerprint, "state": what})


def hold(folder: Path) -> Any:
    """Take the run's lock for the life of this process.

    Raises:
        UsageError: another process is writing into this run.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{folder}: another process is training in this folder") from None
    return lock


def is_held(folder: Path) -> bool:
    """Tell whether a living process holds the run's lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def point_latest(folder: Path) -> None:
    """Make `latest` beside the run folder point at it, in one step."""
    link = folder.parent / "latest"
    if link.exists() and not link.is_symlink():
        return  # a real folder of that name is the user's
    beside = folder.parent / f".latest.{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(folder.name)
    beside.replace(link)


def rank() -> int:
    """Return this process's rank in a DDP run, 0 where there is none."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
