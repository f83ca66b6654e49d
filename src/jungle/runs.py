"""Folders of training runs: which one a command writes into or resumes."""

import filecmp
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jungle import links
from jungle.console import log
from jungle.errors import UsageError, UserError
from jungle.files import Held, Lock, describe_absent, read_json, write_json

STATE = "run.json"
TRIAL = "trial.json"  # in the folder of a sweep's trial
BEST = "checkpoints/best.ckpt"
OWN = {".hydra", "train.log", "config.yaml", "settings.json", STATE, ".lock", "decoding.json", "found.json"}
CLIP_FILES = "clip_files.parquet"
OWN |= {"clips.parquet", CLIP_FILES, "inputs.json"}
"""What a run writes before it has made anything."""


Changes = Callable[[Path], list[str]]
"""What has changed of the inputs of the run in a folder since it began; empty if nothing has."""


def resolve_run(resume: str, runs: Path) -> Path:
    """Return the folder that `resume=latest` or `resume=<run folder>` means.

    Raises:
        UsageError: no run is there.
    """
    folder = find_newest(runs / "train") if resume == links.NAME else links.follow_latest(Path(resume))
    if folder is None or not (folder / STATE).is_file():
        raise UsageError(f"resume={resume}: no training run there (a run folder holds {STATE})")
    return folder


def find_unfinished(root: Path, is_same: Callable[[str], bool], look: bool, changes: Changes) -> Path:
    """Return the latest unfinished folder of a command that no process uses, else a new name.

    `is_same` tells a fingerprint of that command. A folder whose inputs have changed is left as it is, and
    that is said.
    """
    if look and root.is_dir():
        for folder in sorted(_list_runs(root), reverse=True):
            found = state(folder)
            same = is_same(found.get("fingerprint", ""))
            if same and found.get("state") == "running" and not is_held(folder):
                if not (changed := changes(folder)):
                    return folder
                log.warning(
                    f"{folder} is not resumed, its inputs changed: {'; '.join(changed)}; a new run starts"
                )
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folder, n = root / stamp, 1
    while folder.exists():
        n += 1
        folder = root / f"{stamp}_{n}"
    return folder


def check_unchanged(folder: Path, changes: Sequence[str]) -> None:
    """Refuse to resume a run whose inputs have changed.

    Raises:
        UsageError: with what has changed.
    """
    if changes:
        raise UsageError(
            f"{folder} cannot be resumed, its inputs changed: {'; '.join(changes)}; restore them, or start a "
            "new run: resume=never, and another folder where you named one"
        )


def state(folder: Path) -> dict[str, Any]:
    """Return what `run.json` of a run says; empty where there is none."""
    return read_json(folder / STATE)


def mark(folder: Path, fingerprint: str, what: str, reason: str = "") -> None:
    """Write the state of a run: `running` or `finished`, and the error that stopped it."""
    write_json(folder / STATE, {"fingerprint": fingerprint, "state": what, "reason": reason})


def hold(folder: Path) -> Lock:
    """Take the run's lock until this process ends.

    Raises:
        UsageError: another process is writing into this run.
    """
    try:
        return Lock(folder / ".lock").take()
    except Held:
        raise UsageError(f"{folder}: another process is training in this folder") from None


def is_held(folder: Path) -> bool:
    """Tell whether a process holds the run's lock; in a read-only folder none does."""
    if not (folder / ".lock").exists():
        return False
    try:
        Lock(folder / ".lock").take().release()
    except Held:
        return True
    except OSError:
        return False
    return False


def has_latest(root: Path, folder: Path) -> bool:
    """Tell whether `latest` may lead to a run: it is in `<paths.runs>/train`, and not a trial of a sweep."""
    return folder.resolve().parent == (root / "train").resolve()


def point_latest(folder: Path) -> None:
    """Make `latest` lead to the run folder; called when its first best checkpoint is written.

    So `latest` is the last run that can be predicted with. That it cannot be kept ends no run.
    """
    latest = folder.parent / links.NAME
    try:
        if not links.point(latest, folder.name):
            log.info(f"{latest}: this disk has no links, so this is a text file that names the run's folder")
    except OSError as e:
        log.warning(f"{latest} cannot be kept ({e.strerror}): use the run's own folder")


def find_newest(root: Path) -> Path | None:
    """Return the run in a folder that was started or resumed last; runs that failed at once do not count."""
    found = []
    for folder in _list_runs(root):
        known = state(folder)
        failed = known.get("reason") and not any((folder / "checkpoints").glob("*.ckpt"))
        with suppress(OSError):
            if known and not failed:
                found.append(((folder / "config.yaml").stat().st_mtime, folder))
    return max(found)[1] if found else None


def resolve_checkpoint(path: Path, setting: str = "ckpt") -> Path:
    """Return the checkpoint that a path means: the file itself, or the best one of a run's folder.

    Raises:
        UserError: it is not there; where the run has none yet, the last one that has is named.
    """
    file = path / BEST if path.is_dir() else path
    if file.is_file():
        return file
    run = file.parent.parent
    known = state(run)
    if not known:
        if path.is_dir():
            raise UserError(f"{setting}={path}: not a run's folder: it has no {BEST}.")
        raise UserError(
            f"{setting}={path}: {describe_absent(path)} A training run prints where its best checkpoint is."
        )
    if (best := run / BEST).is_file():
        raise UserError(f"{setting}={path}: no such file; there is {best.name}: {setting}={best}")
    reason = known.get("reason")
    why = (
        "is being trained and has no checkpoint yet"
        if is_held(run)
        else f"failed before its first checkpoint ({reason})"
        if reason
        else "has no checkpoint any more; give its command with resume=never to train it again"
        if known.get("state") == "finished"
        else "was stopped before its first checkpoint; the command that started it goes on"
    )
    others = [f for f in _list_runs(run.resolve().parent) if (f / BEST).is_file() and state(f)]
    last = max(others, key=lambda f: (f / BEST).stat().st_mtime, default=None)
    fix = f"The last run that has one: {setting}={run.parent / last.name}" if last else ""
    raise UserError(f"{setting}={path}: this run {why}. {fix}".rstrip())


def drop_repeated(paths: Sequence[Path], setting: str = "ckpt") -> list[Path]:
    """Return the checkpoints without repeats, and log which was given twice.

    Args:
        paths: files, or runs' folders, which mean their best; copies of one file are one.
        setting: how they were given.

    Raises:
        UserError: one is not there.
    """
    kept: dict[Path, Path] = {}
    for path in paths:
        file = resolve_checkpoint(path, setting)
        size = file.stat().st_size
        same = [k for k in kept if k.stat().st_size == size and filecmp.cmp(k, file, shallow=False)]
        if same:
            log.warning(f"{setting}={path}: the same model as {kept[same[0]]}, so it counts once")
        else:
            kept[file] = path
    return list(kept.values())


def explain_unfinished(file: Path) -> str | None:
    """Describe a checkpoint that may not be the intended one; None for others.

    Its run has not ended; or it is that of `latest`, and a later run has no checkpoint yet.
    """
    run = file.resolve().parent.parent
    if state(run).get("state") == "running":
        how = "is still being trained" if is_held(run) else "was stopped before its end"
        return f"{file}: its run, {run.name}, {how}: this is its best checkpoint so far"
    latest = links.read_target(run.parent / links.NAME)
    if latest is None or latest.resolve() != run:
        return None
    last = find_newest(run.parent)
    if last is None or last.name == run.name or (last / BEST).is_file():
        return None
    return f"{file}: of the run {run.name}; the later one, {last.name}, has no checkpoint yet"


def remove_refused(folder: Path) -> None:
    """Remove the folder of a run that ended with nothing but its settings and log.

    Any other file in it keeps it.
    """
    try:
        names = {f.name for f in folder.iterdir()}
        if not names <= OWN:
            return
        shutil.rmtree(folder)
        for above in (folder.parent, folder.parent.parent):
            above.rmdir()
    except OSError:
        return  # not empty, or not ours


def _list_runs(root: Path) -> list[Path]:
    try:
        return [f for f in root.iterdir() if f.is_dir() and not f.is_symlink()]
    except OSError:
        return []


def list_trials(folder: Path) -> list[Path]:
    """Return the folders of a sweep's trials, in their order."""
    return sorted((f.parent for f in folder.glob(f"*/{TRIAL}")), key=lambda f: (len(f.name), f.name))
