"""Sweeps: `python train.py -m head=mean,max`, on any number of devices, that go on after a kill.

Hydra chooses the trials (its grid, or a plugin such as Optuna); each trial is a process of its own, started
by the command that would train it alone. So every device's process is in the same trial, a trial that crashes
or runs out of memory takes nothing with it, and nothing of one (process group, W&B run, GPU memory) is left
for the next.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jungle import processes, runs
from jungle.console import log, result
from jungle.errors import SomeFailed, UsageError
from jungle.files import read_json, write_json

TRIAL = "trial.json"
_FOLDER = "hydra.sweep.dir="


def is_sweep(multirun: bool, overrides: list[str]) -> bool:
    """Tell whether a training command is a sweep: `-m`, or `sweep=<choice>`, but not a trial of one."""
    chosen = any(o.startswith("sweep=") and o != "sweep=null" for o in overrides)
    return multirun or (chosen and not any(o.startswith("hydra.run.dir=") for o in overrides))


def choose(cfg: Any, argv: list[str]) -> Path:
    """Return the sweep's folder: an unfinished one of the same command, or a new name.

    Raises:
        UsageError: this process is one of several.
    """
    if "LOCAL_RANK" in os.environ:
        raise UsageError("a sweep starts its own processes: give trainer.devices=N instead of torchrun")
    return runs.unfinished(cfg.paths.runs / "sweep", _digest(argv), cfg.resume != "never")


def folder_of(argv: list[str]) -> Path | None:
    """Return the folder of the sweep that a prepared command line is, None where it is none."""
    found = [a.removeprefix(_FOLDER).strip("'") for a in argv if a.startswith(_FOLDER)]
    return Path(found[-1]) if found and "-m" in argv else None


def run(folder: Path, argv: list[str], go: Callable[[], Any]) -> None:
    """Run the trials by `go`, then write what came out.

    Raises:
        SomeFailed: the sweep is done, but some trials failed.
    """
    digest = _digest([a for a in argv if a != "-m" and not a.startswith(_FOLDER)])
    folder.mkdir(parents=True, exist_ok=True)
    with runs.hold(folder):
        runs.mark(folder, digest, "running")
        go()
        summarise(folder)
        runs.mark(folder, digest, "finished")


def _digest(argv: list[str]) -> str:
    return hashlib.blake2b(json.dumps(argv).encode(), digest_size=8).hexdigest()


def trial(raw: Any) -> float | None:
    """Run one trial in a process of its own; return its score, None where it failed.

    A trial that has finished before gives the score it had.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), list(hydra.overrides.task)
    known = read_json(folder / TRIAL)
    if known.get("overrides", overrides) != overrides:  # a sampler that does not repeat itself
        raise UsageError(f"{folder} holds a trial of other settings; give resume=never to start a new sweep")
    write_json(folder / TRIAL, {"overrides": overrides, "monitor": raw.callbacks.monitor})
    if runs.state(folder).get("state") != "finished":
        code = processes.run(["train", *overrides, f"hydra.run.dir='{folder}'"])
        if code:
            why = runs.state(folder).get("reason") or (
                f"killed by signal {-code}; for want of memory?" if code < 0 else f"exit code {code}"
            )
            log.warning(f"trial {folder.name} failed: {why}")
            write_json(
                folder / TRIAL, {"overrides": overrides, "monitor": raw.callbacks.monitor, "reason": why}
            )
            return None
    return read_json(folder / "metrics.json").get(raw.callbacks.monitor)


def summarise(folder: Path) -> None:
    """Write `sweep_results.csv` and `sweep.png` into the sweep's folder, and say so.

    Raises:
        SomeFailed: trials that failed, by number; the table has their reasons.
    """
    import polars as pl

    from jungle.files import replacing, write_text
    from jungle.report.parallel import parallel_coordinates

    jobs = sorted((f.parent for f in folder.glob(f"*/{TRIAL}")), key=lambda f: (len(f.name), f.name))
    if not jobs:
        return
    facts = {job: read_json(job / TRIAL) for job in jobs}
    monitor = facts[jobs[0]]["monitor"]
    settings = [dict(o.lstrip("+").split("=", 1) for o in facts[job]["overrides"]) for job in jobs]
    swept = [k for k in settings[0] if len({s.get(k) for s in settings}) > 1]
    rows = []
    for job, chosen in zip(jobs, settings, strict=True):
        done = runs.state(job).get("state") == "finished"
        scores = read_json(job / "metrics.json") if done else {}
        rows.append(
            {
                "trial": job.name,
                "status": "ok" if done else "failed",
                "reason": None if done else facts[job].get("reason", "not run to its end"),
                **{k: chosen.get(k) for k in swept},
                monitor: scores.get(monitor),
                **{k: v for k, v in scores.items() if "/class/" not in k and k != monitor},
                "checkpoint": str(job / "checkpoints" / "best.ckpt") if done else None,
            }
        )
    columns = list(dict.fromkeys(k for row in sorted(rows, key=len, reverse=True) for k in row))
    table = pl.DataFrame({c: [row.get(c) for row in rows] for c in columns}, strict=False)
    write_text(folder / "sweep_results.csv", table.write_csv())
    with replacing(folder / "sweep.png") as part:
        parallel_coordinates(table.filter(pl.col("status") == "ok"), swept, monitor, part)
    result(f"sweep results: {folder / 'sweep_results.csv'} (plot: sweep.png)")
    failed = table.filter(pl.col("status") == "failed")["trial"].to_list()
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {len(rows)} trials failed ({', '.join(failed)}); their reasons are in "
            f"{folder / 'sweep_results.csv'}, the same command tries them again"
        )
