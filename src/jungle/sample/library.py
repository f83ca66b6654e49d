"""The sample on disk: rendered once, over all cores, resumed where it was interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jungle.console import Progress, log
from jungle.errors import UserError
from jungle.files import Lock, write_json, write_text
from jungle.names import show
from jungle.wording import count

if TYPE_CHECKING:
    from jungle.sample.plan import Shot

VERSION = 2  # raised when the pictures change, so that caches are rendered again
MANIFEST = "sample.json"
CLIPS = (".mp4", ".avi")


def ensure_sample(
    root: Path | str,
    *,
    clips: int = 240,
    sites: int = 20,
    seed: int = 0,
    workers: int | None = None,
    only: Collection[str] | None = None,
) -> Path:
    """Render the sample into `root`, or some of its clips, unless they are there.

    `root` then holds, in the competition's own form, `raw/` with the clips, `train_labels.csv` (the clips of
    the splits train and val) and `submission_format.csv` (those of test, with the class priors); and beside
    them `sites.csv` (`filename,site,split,time,night`, all clips) and `test_labels.csv`.
    Killed at any moment, the same call goes on from the clips that are whole. Processes that call it at once
    wait for the first.

    Args:
        root: a folder of the sample's own.
        clips: how many, at least 8.
        sites: over how many cameras, at least 3.
        seed: another seed gives other clips; the same gives the same frames, on any number of workers.
        workers: rendering processes; None takes one a core, 0 renders in this process.
        only: names of the clips that are needed; the tables tell of all of them all the same. None = all.

    Returns:
        `root`.

    Raises:
        UserError: `root` holds another sample or is not writable, or a rendering process died.
    """
    root = Path(root)
    wanted = {"version": VERSION, "clips": clips, "sites": sites, "seed": seed}
    check_room(root, clips=clips, sites=sites, seed=seed)  # before anything is written there
    if _read_manifest(root) == wanted:
        return root
    if clips < 8 or sites < 3:
        raise UserError(f"sample: {clips} clips at {sites} sites are too few; it takes 8 clips and 3 sites.")
    try:
        (root / "raw").mkdir(parents=True, exist_ok=True)
        with Lock(root / ".lock"):
            if _read_manifest(root) != wanted:  # another process may have finished it meanwhile
                _render(root, wanted, workers, only)
    except OSError as e:
        raise UserError(f"{root}: the sample cannot be written there ({e.strerror or e}).") from e
    return root


def _read_manifest(root: Path) -> dict | None:
    with suppress(OSError, ValueError):
        found = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return None


def _render(root: Path, wanted: dict, workers: int | None, only: Collection[str] | None) -> None:
    from jungle.sample.plan import plan
    from jungle.sample.worker import render

    shots = plan(wanted["clips"], wanted["sites"], wanted["seed"])
    _make_room(root, wanted)
    for left in (root / "raw").glob(".*.part*"):
        left.unlink(missing_ok=True)
    _write_tables(root, shots)
    needed = shots if only is None else [s for s in shots if s.filename in set(only)]
    todo = [
        s for s in sorted(needed, key=lambda s: (s.site, s.index)) if not (root / "raw" / s.filename).exists()
    ]
    if todo:
        log.info(f"rendering the sample: {count(len(todo), 'clip')} into {root}")
    workers = min(_cores() if workers is None else workers, len(todo), 32)
    if todo:
        with Progress("rendering the sample", len(needed), done=len(needed) - len(todo)) as bar:
            if workers == 0:
                for shot in todo:
                    render(root, shot, wanted["seed"])()
                    bar.advance()
            else:
                for _ in _in_processes(root, wanted, todo, workers):
                    bar.advance()
    if all((root / "raw" / s.filename).exists() for s in shots):
        write_json(root / MANIFEST, wanted)  # first: one of the two tells at any moment whose clips they are
        (root / ".rendering.json").unlink(missing_ok=True)


def check_room(root: Path, *, clips: int = 240, sites: int = 20, seed: int = 0) -> None:
    """Refuse a folder that holds another sample, or files that are not the sample's. Nothing is written.

    Raises:
        UserError: what it holds, and what to do.
    """
    wanted = {"version": VERSION, "clips": clips, "sites": sites, "seed": seed}
    found = _begun(root)
    if strange := _strangers(root, found is not None):
        raise UserError(
            f"data.root={root} holds files that are not the sample's ({show(strange)}): add data=csv "
            "data.labels=<table>, or leave data.root out"
        )
    if found is not None and {**found, "version": VERSION} != wanted:
        held = f"{found.get('clips')} clips, {found.get('sites')} sites, seed {found.get('seed')}"
        raise UserError(
            f"{root}: holds a sample of {held}, not of {clips} clips; give data.root=<another folder>, or "
            f"rename this one, as to {root.name}_{found.get('clips')}."
        )


def _strangers(root: Path, begun: bool) -> str:
    """One of the files in a folder that are not the sample's, or an empty text.

    Beside a sample that is there or begun (`begun`) people may keep what they made of it, but no clips: those
    are theirs, in a folder that the sample was once rendered into by mistake.
    """
    if not root.is_dir():
        return ""
    there = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    if begun:
        strange = [p for p in there if p.suffix.lower() in CLIPS]
    else:
        strange = [p for p in there if p.name != "raw" or not p.is_dir()]
        strange += [p for p in (root / "raw").glob("*") if not p.name.startswith(".")]
    return strange[0].relative_to(root).as_posix() if strange else ""


def _begun(root: Path) -> dict | None:
    """The numbers of the sample that a folder holds, or that was begun there."""
    found = _read_manifest(root)
    if found is None:
        with suppress(OSError, ValueError):
            found = json.loads((root / ".rendering.json").read_text(encoding="utf-8"))
    return found


def _make_room(root: Path, wanted: dict) -> None:
    """Drop the clips of an older version; refuse a folder with another sample or with other files."""
    check_room(root, clips=wanted["clips"], sites=wanted["sites"], seed=wanted["seed"])
    if _begun(root) not in (None, wanted):
        log.info("the sample's pictures have changed; rendering it again")
        for clip in (root / "raw").iterdir():
            if clip.suffix in CLIPS:
                clip.unlink()
    write_json(root / ".rendering.json", wanted)
    (root / MANIFEST).unlink(missing_ok=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(root: Path, wanted: dict, todo: list[Shot], workers: int) -> Iterator[int]:
    """Yield the index of each finished clip. A worker takes the clips of one site: it paints it but once."""
    most = -(-len(todo) // (3 * workers))
    batches: deque[list[int]] = deque()
    for _, group in groupby(todo, key=lambda shot: shot.site):
        indices = [shot.index for shot in group]
        batches += [indices[i : i + most] for i in range(0, len(indices), most)]
    finished: queue.Queue[int | Exception] = queue.Queue()
    source = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    order = json.dumps({**wanted, "root": str(root.resolve())})
    running: list[subprocess.Popen] = []
    with tempfile.TemporaryFile() as said:
        try:
            for _ in range(workers):
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "jungle.sample.worker"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=env, text=True,
                )  # fmt: skip
                running.append(process)
                threading.Thread(target=_feed, args=(process, order, batches, finished), daemon=True).start()
            for _ in todo:
                done = finished.get()
                if isinstance(done, Exception):
                    said.seek(0)
                    last = said.read().decode(errors="replace").strip().splitlines()[-1:]
                    raise UserError(
                        f"sample: a rendering process died ({''.join(last) or done}); start again to go on."
                    )
                yield done
        finally:
            for process in running:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):
                        pipe.close()  # type: ignore[union-attr]  # both are pipes


def _feed(process: subprocess.Popen, order: str, batches: deque[list[int]], finished: queue.Queue) -> None:
    """Hand a worker one clip after the other, one ahead of its answers, and pass those on."""
    to: IO[str] = process.stdin  # type: ignore[assignment]  # a pipe
    answers: IO[str] = process.stdout  # type: ignore[assignment]  # a pipe

    def indices() -> Iterator[int]:
        with suppress(IndexError):
            while True:
                yield from batches.popleft()

    def pass_on() -> None:
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"exit code {process.wait()}")
        finished.put(int(answer))

    try:
        to.write(order + "\n")
        waiting = False
        for index in indices():
            to.write(f"{index}\n")
            to.flush()
            if waiting:
                pass_on()
            waiting = True
        if waiting:
            pass_on()
    except Exception as e:
        finished.put(e)


def _write_tables(root: Path, shots: list[Shot]) -> None:
    from jungle.sample.plan import CLASSES

    known = [s for s in shots if s.split != "test"]
    asked = [s for s in shots if s.split == "test"]
    header = ["filename", *CLASSES]

    def labels(some: list[Shot]) -> list[list]:
        return [[s.filename, *(int(c in s.labels) for c in CLASSES)] for s in some]

    priors = [f"{sum(c in s.labels for s in known) / len(known):.4f}" for c in CLASSES]
    _write_csv(root / "train_labels.csv", header, labels(known))
    _write_csv(root / "test_labels.csv", header, labels(asked))
    _write_csv(root / "submission_format.csv", header, [[s.filename, *priors] for s in asked])
    places = [[s.filename, s.site_name, s.split, s.time.isoformat(), int(s.night)] for s in shots]
    _write_csv(root / "sites.csv", ["filename", "site", "split", "time", "night"], places)


def _write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
