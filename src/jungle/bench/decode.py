"""Benchmark of decoders and frame selection against decoding the whole clip, each on one core."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from jungle.bench.decode_report import Measured, Row, format_tables, plot_speed
from jungle.bench.footage import render_all
from jungle.bench.reading import CODEC, WHOLE, Trial, Way, measure
from jungle.console import log, print_result, track
from jungle.errors import UserError
from jungle.files import write_json, write_text
from jungle.video.workers.process_pool import TaskFailed, TaskRefused, Worker

MEMORY_GB = 8
TIMEOUT_S = 600
WAYS = (
    Way("ffmpeg", WHOLE),
    Way("pyav", WHOLE),
    *(Way("pyav", kind) for kind in ("uniform", "keyframe", "motion")),
    *(Way(decoder, kind) for decoder in ("decord", "torchcodec") for kind in ("uniform", "keyframe")),
    *(Way(CODEC, kind) for kind in ("uniform", "keyframe")),
)


def bench_decode(
    out: Path,
    files: Sequence[Path] = (),
    *,
    frames: int = 16,
    size: tuple[int, int] = (224, 224),
    repeats: int = 3,
) -> list[Row]:
    """Read each clip in each way; print a table, write `out/decode.json`, `.md` and `.png`.

    Every measurement has a process of its own on one core. Seconds are CPU seconds, the best of `repeats`
    (fewer where one takes seconds), so that other load on the machine matters little. Decoders that are not
    installed are skipped with a warning. After an interruption the same call resumes.
    Without `files`, clips are rendered into `out`.

    Returns:
        A row per clip and way. `peak_mb` is of the whole process. `times_faster` is relative to the ffmpeg
        program, else to PyAV on the whole clip. `times_codec` relates CPU seconds to those of `codec alone`,
        which only decodes the packets that the same frames need.

    Raises:
        UserError: no clip could be read.
    """
    paths = list(files) or render_all(out / "clips")
    ways = [way for way in WAYS if way.decoder != "ffmpeg" or shutil.which("ffmpeg")]
    if len(ways) < len(WAYS):
        log.warning("ffmpeg is skipped: the program is not installed")
    journal = out / ".decode.json"
    plan = {"frames": frames, "size": list(size), "repeats": repeats, "files": [str(p) for p in paths]}
    measured = _read_journal(journal, plan)
    for path, way in track([(path, way) for path in paths for way in ways], "bench decode"):
        key = f"{path} {way.decoder} {way.asked}"
        if key not in measured:
            measured[key] = _run_trial(Trial(os.path.abspath(path), way, frames, size, repeats))
            write_json(journal, {"plan": plan, "found": measured})
    rows = [
        row
        for path in paths
        for row in _compare(path.name, {way: measured[f"{path} {way.decoder} {way.asked}"] for way in ways})
    ]
    if not rows:
        raise UserError("bench decode: none of the clips can be read")
    _print(rows)
    machine = {"cores": os.cpu_count(), "processor": _get_processor(), "python": platform.python_version()}
    write_json(out / "decode.json", {"frames": frames, "size": list(size), "machine": machine, "rows": rows})
    write_text(out / "decode.md", format_tables(rows) + "\n")
    plot_speed(rows, out / "decode.png", frames)
    journal.unlink(missing_ok=True)
    return rows


def _compare(file: str, measured: dict[Way, Measured | None]) -> list[Row]:
    """Return the rows of one clip, each related to the whole clip and to the codec alone."""
    read = {way: m for way, m in measured.items() if m is not None}
    whole = [m["cpu_s"] for way, m in read.items() if way.asked == WHOLE]
    rows: list[Row] = []
    for way, m in read.items():
        codec = read.get(Way(CODEC, way.asked))
        rows.append(
            {
                "file": file,
                "decoder": way.decoder,
                "asked": way.asked,
                **m,
                "clips_s": 1 / max(m["cpu_s"], 1e-9),
                "times_faster": whole[0] / m["cpu_s"] if whole else None,
                "times_codec": m["cpu_s"] / codec["cpu_s"] if codec else None,
            }
        )
    return rows


def _read_journal(path: Path, plan: dict[str, object]) -> dict[str, Measured | None]:
    """Return what an interrupted benchmark of the same plan has measured, by clip and way."""
    try:
        journal = json.loads(path.read_text(encoding="utf-8"))
        return journal["found"] if journal["plan"] == plan else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _run_trial(trial: Trial) -> Measured | None:
    worker = Worker(measure, MEMORY_GB << 30)
    try:
        return cast("Measured", worker.do(trial, TIMEOUT_S)[0])
    except (TaskFailed, TaskRefused) as error:
        log.warning(f"{Path(trial.path).name}, {trial.way.decoder} {trial.way.asked}: {error}")
        return None
    finally:
        worker.close()


def _print(rows: Sequence[Row]) -> None:
    file = None
    for row in rows:
        if row["file"] != file:
            file = row["file"]
            heads = f"{'frames':>7}{'CPU ms':>9}{'clips/s':>9}{'faster':>9}{'/codec':>8}{'MB':>6}"
            print_result(f"\n{file}\n  {'decoder':<12}{'frames of':<14}{heads}")
        faster = f"{row['times_faster']:.1f}x" if row["times_faster"] else "-"
        codec = f"{row['times_codec']:.2f}" if row["times_codec"] else "-"
        print_result(
            f"  {row['decoder']:<12}{row['asked']:<14}{row['frames']:>7}{1000 * row['cpu_s']:>9.0f}"
            f"{row['clips_s']:>9.2f}{faster:>9}{codec:>8}{row['peak_mb']:>6.0f}"
        )


def _get_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
