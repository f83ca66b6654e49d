"""The sample on disk: rendered once, over all cores, resumed where it was interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from jungle.console import Progress, log
from jungle.errors import UserError
from jungle.files import Lock, write_json, write_text
from jungle.names import show
from jungle.sample.plan import CLASSES, Shot, plan
from jungle.system import share_of_cores
from jungle.wording import count

VERSION = 3  # raised when the pictures change, so that caches are rendered again
MANIFEST, BEGUN = "sample.json", ".rendering.json"
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
    the splits train and val) and `submission_format.csv` (those of test, with the class priors); also
    `sites.csv` (`filename,site,split,time,night`, all clips) and `test_labels.csv`.
    Killed at any moment, the same call resumes from the clips that are whole. Processes that call it at once
    wait for the first.

    Args:
        root: a folder of the sample's own.
        clips: how many, at least 8.
        sites: over how many cameras, at least 3.
        seed: another seed gives other clips; the same gives the same frames, on any number of workers.
        workers: rendering processes; None takes one a core, 0 renders in this process.
        only: names of the clips that are needed; the tables hold all of them. None = all.

    Returns:
        `root`.

    Raises:
        UserError: `root` holds another sample or is not writable, or a rendering process died.
    """
    root = Path(root)
    wanted = {"version": VERSION, "clips": clips, "sites": sites, "seed": seed}
    check_room(root, clips=clips, sites=sites, seed=seed)  # before anything is written there
    if _read(root / MANIFEST) == wanted:
        return root
    if clips < 8 or sites < 3:
        raise UserError(
            f"sample: {clips} clips at {sites} sites are too few; give 8 clips and 3 sites or more"
        )
    try:
        (root / "raw").mkdir(parents=True, exist_ok=True)
        with Lock(root / ".lock"):
            if _read(root / MANIFEST) != wanted:  # another process may have finished it meanwhile
                _render(root, wanted, workers, only)
    except OSError as e:
        raise UserError(f"{root}: the sample cannot be written there ({e.strerror or e})") from e
    return root


def check_room(root: Path, *, clips: int = 240, sites: int = 20, seed: int = 0) -> None:
    """Refuse a folder that holds another sample, or files that are not the sample's. Nothing is written.

    Raises:
        UserError: what it holds, and what to do.
    """
    found = _read_begun(root)
    if strange := _find_strange(root, found is not None):
        raise UserError(
            f"data.root={root} holds files that are not the sample's ({show(strange)}): add data=csv "
            "data.labels=<table>, or leave data.root out"
        )
    if found is not None and {**found, "version": 0} != {
        "version": 0,
        "clips": clips,
        "sites": sites,
        "seed": seed,
    }:
        held = f"{found.get('clips')} clips, {found.get('sites')} sites, seed {found.get('seed')}"
        raise UserError(
            f"{root}: holds a sample of {held}, not of {clips} clips; give data.root=<another folder>, or "
            f"rename this one, as to {root.name}_{found.get('clips')}"
        )


def _find_strange(root: Path, begun: bool) -> str:
    """Return one of the files in a folder that are not the sample's, or an empty text.

    Next to a sample (`begun`) people may keep what they made of it, but no clips: those are theirs, in a
    folder that the sample was once rendered into by mistake.
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


def _read(path: Path) -> dict[str, object] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def _read_begun(root: Path) -> dict[str, object] | None:
    """Return the numbers of the sample that a folder holds, or that was begun there."""
    return _read(root / MANIFEST) or _read(root / BEGUN)


def _render(root: Path, wanted: dict[str, int], workers: int | None, only: Collection[str] | None) -> None:
    shots = plan(wanted["clips"], wanted["sites"], wanted["seed"])
    raw = root / "raw"
    check_room(root, clips=wanted["clips"], sites=wanted["sites"], seed=wanted["seed"])
    if _read_begun(root) not in (None, wanted):
        log.info("the sample's pictures have changed; rendering it again")
        for clip in [p for p in raw.iterdir() if p.suffix in CLIPS]:
            clip.unlink()
    write_json(root / BEGUN, wanted)
    (root / MANIFEST).unlink(missing_ok=True)
    for left in raw.glob(".*.part*"):
        left.unlink(missing_ok=True)
    _write_tables(root, shots)
    needed = shots if only is None else [s for s in shots if s.filename in only]
    todo = [s for s in sorted(needed, key=lambda s: (s.site, s.index)) if not (raw / s.filename).exists()]
    if todo:
        log.info(f"rendering the sample: {count(len(todo), 'clip')} into {root}")
        workers = min(share_of_cores() if workers is None else workers, len(todo))
        render = _render_in_processes if workers else _render_here
        with Progress("rendering the sample", len(needed), done=len(needed) - len(todo)) as bar:
            for _ in render(root, wanted, todo, workers):
                bar.advance()
    if all((raw / s.filename).exists() for s in shots):
        write_json(root / MANIFEST, wanted)  # first: at any moment one of the two says whose clips they are
        (root / BEGUN).unlink(missing_ok=True)


def _render_here(root: Path, wanted: dict[str, int], todo: list[Shot], _: int) -> Iterator[int]:
    from jungle.sample.worker import render  # draws with OpenCV, which a complete sample does not need

    for shot in todo:
        render(root, shot, wanted["seed"])()
        yield shot.index


def _render_in_processes(root: Path, wanted: dict[str, int], todo: list[Shot], workers: int) -> Iterator[int]:
    """Yield the number of each finished clip. A worker gets neighbours: it paints a site but once."""
    source = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    running: list[subprocess.Popen[str]] = []
    read, write = os.pipe()
    with tempfile.TemporaryFile() as errors, os.fdopen(read) as finished:
        try:
            for i in range(workers):
                mine = todo[len(todo) * i // workers : len(todo) * (i + 1) // workers]
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "jungle.sample.worker"],
                    stdin=subprocess.PIPE, stdout=write, stderr=errors, env=env, text=True,
                )  # fmt: skip
                running.append(process)
                order = {**wanted, "root": str(root.resolve()), "indices": [shot.index for shot in mine]}
                print(json.dumps(order), file=process.stdin, flush=True)
            os.close(write)
            left = len(todo)
            for line in finished:  # until all have ended
                yield int(line)
                left -= 1
            if left:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                reason = "".join(last) or "killed"
                raise UserError(f"sample: a rendering process died ({reason}); the same command resumes")
        finally:
            for process in running:
                process.kill()
                process.wait()
                with suppress(OSError):
                    process.stdin.close()  # type: ignore[union-attr]  # a pipe


def _write_tables(root: Path, shots: list[Shot]) -> None:
    known, asked = ([s for s in shots if (s.split == "test") == test] for test in (False, True))
    header = ["filename", *CLASSES]
    priors = [f"{sum(c in s.labels for s in known) / len(known):.4f}" for c in CLASSES]
    tables: dict[str, list[Sequence[object]]] = {
        "train_labels.csv": [header, *([s.filename, *(int(c in s.labels) for c in CLASSES)] for s in known)],
        "test_labels.csv": [header, *([s.filename, *(int(c in s.labels) for c in CLASSES)] for s in asked)],
        "submission_format.csv": [header, *([s.filename, *priors] for s in asked)],
        "sites.csv": [
            ["filename", "site", "split", "time", "night"],
            *([s.filename, s.site_name, s.split, s.time.isoformat(), int(s.night)] for s in shots),
        ],
    }
    for name, rows in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_text(root / name, text.getvalue())
