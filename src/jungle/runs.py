"""Folders of training runs: which one a command writes into, and which one it goes on with."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from jungle.errors import UsageError
from jungle.files import read_json, write_json

STATE = "run.json"
STARTER = "JUNGLE_STARTER"


def choose(cfg: Any) -> Path:
    """Return the folder for a training command: an unfinished one of the same settings, or a new name.

    A run counts as unfinished where its `run.json` says so and no living process holds its lock.

    Raises:
        UsageError: `resume` names a folder that is no run.
    """
    root = cfg.paths.runs / "train"
    if cfg.resume not in ("auto", "never"):
        folder = named(cfg.resume, cfg.paths.runs)
        if state(folder).get("fingerprint") != cfg.fingerprint():
            raise UsageError(
                f"resume={cfg.resume}: that run had other settings (see {folder}/config.yaml); "
                "give resume alone to go on with its own, or leave it out to start anew"
            )
        return folder
    return unfinished(root, cfg.fingerprint(), cfg.resume == "auto")


def named(resume: str, runs: Path) -> Path:
    """Return the folder that `resume=latest` or `resume=<run folder>` means.

    Raises:
        UsageError: no run is there.
    """
    folder = (runs / "train" / "latest").resolve() if resume == "latest" else Path(resume)
    if not (folder / STATE).is_file():
        raise UsageError(f"resume={resume}: no training run there (a run folder holds {STATE})")
    return folder


def unfinished(root: Path, fingerprint: str, look: bool = True) -> Path:
    """Return the latest unfinished folder of that fingerprint which nobody works in, else a new name."""
    if look and root.is_dir():
        for folder in sorted((f for f in root.iterdir() if f.is_dir() and not f.is_symlink()), reverse=True):
            found = state(folder)
            same = found.get("fingerprint") == fingerprint
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
    return read_json(folder / STATE)


def mark(folder: Path, fingerprint: str, what: str, reason: str = "") -> None:
    """Write the state of a run: `running` or `finished`, and why it stopped where an error stopped it."""
    write_json(folder / STATE, {"fingerprint": fingerprint, "state": what, "reason": reason})


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


def point_latest(folder: Path) -> Path | None:
    """Make `latest` beside the run folder point at it, in one step; return which run it pointed at."""
    link = folder.parent / "latest"
    if link.exists() and not link.is_symlink():
        return None  # a real folder of that name is the user's
    before = link.parent / os.readlink(link) if link.is_symlink() else None
    beside = folder.parent / f".latest.{os.getpid()}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(folder.name)
    beside.replace(link)
    return before if before is not None and before.is_dir() and before.name != folder.name else None


def end_with_starter() -> None:
    """Let this process end when the one that started it is gone: another device's, or a sweep (`STARTER`)."""
    starter = os.getppid() if rank() > 0 else int(os.environ.get(STARTER, 0))
    if starter:
        from jungle.video.serving import die_with

        threading.Thread(target=die_with, args=(starter,), daemon=True).start()


def rank() -> int:
    """Return this process's rank in a DDP run, 0 where there is none."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
