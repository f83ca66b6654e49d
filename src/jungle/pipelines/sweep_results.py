"""Results of a sweep: a table and a plot of all trials."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jungle import runs
from jungle.config import gate
from jungle.config.words import get_word, parse_words
from jungle.console import print_result
from jungle.data.spreadsheets import write_csv
from jungle.errors import SomeFailed, UsageError
from jungle.files import read_json, replace_atomically
from jungle.plain import read
from jungle.report.sweep import draw_sweep


@dataclass(frozen=True, slots=True)
class TrialNote:
    """Settings of a trial from its file, and the reason if it failed."""

    overrides: list[str]
    monitor: str
    best_is: str
    """`min` or `max`."""
    reason: str


def read_note(file: Path) -> TrialNote:
    """Read the file of a trial, for the table; its settings are not executed.

    Raises:
        UsageError: it is not the file of a trial.
    """
    found = read(file)
    if not isinstance(found, dict) or not isinstance(found.get("monitor"), str):
        raise UsageError(f"{file}: not the file of a trial; delete its folder to run it again")
    overrides = gate.check_words("train", found.get("overrides"), file, run=False)
    monitor = found["monitor"]
    best_is = found.get("mode")
    if best_is not in ("min", "max"):  # a file of an earlier version
        best_is = "min" if "loss" in monitor else "max"
    return TrialNote(overrides, monitor, best_is, str(found.get("reason") or ""))


def summarise(folder: Path) -> None:
    """Write `sweep_results.csv` and `sweep.png` into the sweep's folder.

    Raises:
        SomeFailed: some trials failed; the message names them, the table has the reasons.
    """
    jobs = runs.list_trials(folder)
    if not jobs:
        return
    facts = {job: read_note(job / runs.TRIAL) for job in jobs}
    monitor = facts[jobs[0]].monitor
    settings = [
        {o.key_or_group: get_word(o).partition("=")[2] for o in parse_words(facts[job].overrides)}
        for job in jobs
    ]
    swept = [k for k in settings[0] if len({s.get(k) for s in settings}) > 1]
    rows = []
    for job, chosen in zip(jobs, settings, strict=True):
        done = runs.state(job).get("state") == "finished"
        scores = read_json(job / "metrics.json") if done else {}
        rows.append(
            {
                "trial": job.name,
                "status": "ok" if done else "failed",
                "reason": None if done else facts[job].reason or "not finished",
                **{k: chosen.get(k) for k in swept},
                monitor: scores.get(monitor),
                **{k: v for k, v in scores.items() if k.count("/") == 1 and k != monitor},
                "checkpoint": str(job / "checkpoints" / "best.ckpt") if done else None,
            }
        )
    columns = list(dict.fromkeys(k for row in sorted(rows, key=len, reverse=True) for k in row))
    table = pl.DataFrame({c: [row.get(c) for row in rows] for c in columns}, strict=False)
    write_csv(table, folder / "sweep_results.csv")
    with replace_atomically(folder / "sweep.png") as part:
        draw_sweep(table.filter(pl.col("status") == "ok"), swept, monitor, facts[jobs[0]].best_is, part)
    print_result(f"sweep results: {folder / 'sweep_results.csv'} (plot: sweep.png)")
    failed = table.filter(pl.col("status") == "failed")["trial"].to_list()
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {len(rows)} trials failed ({', '.join(failed)}): the reasons are in "
            f"{folder / 'sweep_results.csv'}; the same command tries them again"
        )
