"""Measures decoders and ways of picking frames beside decoding the whole clip, each on one core."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jungle.bench.decode_plot import plot
from jungle.bench.decode_table import tables
from jungle.bench.footage import render
from jungle.bench.reading import CODEC, WHOLE, Trial, Way, measure
from jungle.console import log, result, track
from jungle.errors import UserError
from jungle.files import replacing, write_json
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
) -> list[dict[str, Any]]:
    """Read each clip in each way; print a table, write `out/decode.json`, `.md` and `.png`.

    Every measurement has a process of its own, held to one core. Seconds are CPU seconds, the best of
    `repeats` (fewer where one takes seconds), so that others on the machine weigh little. What is not
    installed is left out, and says so. Interrupted, the same call goes on behind the last measurement.

    Args:
        out: folder for the figures, and for the clips rendered where none are given.
        files: clips to read.
        frames: frames a clip.
        size: (height, width) of a frame.
        repeats: times that each is measured.

    Returns:
        One dict a clip and way: `file`, `decoder`, `asked`, `frames`, `cpu_s`, `wall_s`, `clips_s`, `peak_mb`
        (of the whole process), `times_faster` (than the ffmpeg program, else than PyAV on the whole clip),
        `times_codec` (CPU seconds over those of the decoder `codec alone`, which is the least that the same
        frames can cost: the packets they need decoded, and nothing else).

    Raises:
        UserError: no way could read a clip.
    """
    paths = list(files) or render(out / "clips")
    ways = [way for way in WAYS if way.decoder != "ffmpeg" or shutil.which("ffmpeg")]
    if len(ways) < len(WAYS):
        log.warning("the ffmpeg program is not installed and is left out")
    begun = out / ".decode.json"
    plan = {"frames": frames, "size": list(size), "repeats": repeats, "files": [str(p) for p in paths]}
    found = _measured(begun, plan)
    for path, way in track([(path, way) for path in paths for way in ways], "bench decode"):
        key = f"{path} {way.decoder} {way.asked}"
        if key in found:
            continue
        found[key] = _alone(Trial(os.path.abspath(path), way, frames, size, repeats))
        write_json(begun, {"plan": plan, "found": found})
    rows: list[dict[str, Any]] = []
    for path in paths:
        for way in ways:
            facts = found[f"{path} {way.decoder} {way.asked}"]
            if facts is not None:
                faster = {"clips_s": 1 / max(facts["cpu_s"], 1e-9)}
                rows.append(
                    {"file": path.name, "decoder": way.decoder, "asked": way.asked, **facts, **faster}
                )
    for row in rows:
        beside = [r for r in rows if r["file"] == row["file"]]
        whole = [r["cpu_s"] for r in beside if r["asked"] == WHOLE]
        least = [r["cpu_s"] for r in beside if (r["decoder"], r["asked"]) == (CODEC, row["asked"])]
        row["times_faster"] = whole[0] / row["cpu_s"] if whole else None
        row["times_codec"] = row["cpu_s"] / least[0] if least else None
    if not rows:
        raise UserError("bench decode: none of the clips can be read.")
    _show(rows)
    machine = {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()}
    write_json(out / "decode.json", {"frames": frames, "size": list(size), "machine": machine, "rows": rows})
    with replacing(out / "decode.md") as part:
        part.write_text(tables(rows) + "\n", encoding="utf-8")

    plot(rows, out / "decode.png", frames)
    begun.unlink(missing_ok=True)
    return rows


def _measured(begun: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Return what an interrupted bench of the same plan has measured, by clip and way."""
    try:
        kept = json.loads(begun.read_text(encoding="utf-8"))
        return kept["found"] if kept["plan"] == plan else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _alone(trial: Trial) -> dict[str, Any] | None:
    worker = Worker(measure, MEMORY_GB << 30)
    try:
        return worker.do(trial, TIMEOUT_S)[0]
    except (TaskFailed, TaskRefused) as error:
        log.warning(f"{Path(trial.path).name}, {trial.way.decoder} {trial.way.asked}: {error}")
        return None
    finally:
        worker.close()


def _show(rows: list[dict[str, Any]]) -> None:
    for file in dict.fromkeys(row["file"] for row in rows):
        result(f"\n{file}")
        heads = f"{'frames':>7}{'CPU ms':>9}{'clips/s':>9}{'faster':>9}{'/codec':>8}{'MB':>6}"
        result(f"  {'decoder':<12}{'asked for':<14}{heads}")
        for row in rows:
            if row["file"] == file:
                faster = f"{row['times_faster']:.1f}x" if row["times_faster"] else "-"
                codec = f"{row['times_codec']:.2f}" if row["times_codec"] else "-"
                result(
                    f"  {row['decoder']:<12}{row['asked']:<14}{row['frames']:>7}{1000 * row['cpu_s']:>9.0f}"
                    f"{row['clips_s']:>9.2f}{faster:>9}{codec:>8}{row['peak_mb']:>6.0f}"
                )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
