"""Sweeps: `python train.py -m head=mean,max`, on any number of devices; a killed sweep resumes.

Hydra chooses the trials (its grid, or a plugin such as Optuna). Each trial is a separate process with the
command that would train it by itself. So all devices work on the same trial, a trial that crashes or runs out
of memory does not stop the sweep, and a trial leaves nothing to the next one (process group, W&B run, GPU
memory).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from jungle import runs
from jungle.config import TrainConfig, gate, parse_config, resuming
from jungle.config.words import get_text, parse_words, quote
from jungle.console import log
from jungle.errors import UsageError, UserError, shorten_error
from jungle.files import read_json, write_json
from jungle.pipelines import subprocesses

if TYPE_CHECKING:
    from jungle.training.run_inputs import Comparisons

_FOLDER = "hydra.sweep.dir="


class _Note(TypedDict):
    """Content of a trial's file."""

    overrides: list[str]
    monitor: str
    mode: str


def is_sweep(multirun: bool, overrides: list[str]) -> bool:
    """Tell whether a training command is a sweep: `-m`, or `sweep=<choice>`, but not a trial of one."""
    chosen = any(o.startswith("sweep=") and o != "sweep=null" for o in (o.lstrip("+") for o in overrides))
    return multirun or (chosen and not any(o.startswith("hydra.run.dir=") for o in overrides))


def choose(cfg: TrainConfig, argv: list[str]) -> Path:
    """Return the sweep's folder: an unfinished one of the same command and inputs, or a new one.

    Raises:
        UsageError: this process is one of several.
    """
    if "LOCAL_RANK" in os.environ:
        raise UsageError("a sweep starts its own processes: give trainer.devices=N instead of torchrun")

    def changes(folder: Path) -> list[str]:
        return next((c for trial in runs.list_trials(folder) if (c := _comparisons().changes_in(trial))), [])

    digest = _digest(argv)
    return runs.find_unfinished(
        cfg.paths.runs / "sweep", lambda found: found == digest, cfg.resume != "never", changes
    )


@cache
def _comparisons() -> Comparisons:
    """Return the comparisons of trials' inputs with the present ones, one object per process."""
    from jungle.training.run_inputs import Comparisons  # here: --help needs no polars

    return Comparisons()


def folder_of(argv: list[str]) -> Path | None:
    """Return the folder of the sweep that a prepared command line starts; None if it starts none."""
    found = [get_text(o) for o in parse_words([a for a in argv if a.startswith(_FOLDER)])]
    return Path(found[-1]) if found and "-m" in argv else None


def run(folder: Path, argv: list[str], go: Callable[[], object]) -> None:
    """Run the trials with `go`, then write the table of results.

    Raises:
        SomeFailed: the sweep has finished, but some trials failed.
    """
    digest = _digest([a for a in argv if a != "-m" and not a.startswith(_FOLDER)])
    folder.mkdir(parents=True, exist_ok=True)
    with runs.hold(folder):
        runs.mark(folder, digest, "running")
        go()
        from jungle.pipelines.sweep_results import summarise  # here: --help needs no polars

        summarise(folder)
        runs.mark(folder, digest, "finished")


def _digest(argv: list[str]) -> str:
    return hashlib.blake2b(json.dumps(argv).encode(), digest_size=8).hexdigest()


def trial(raw: DictConfig, options: Sequence[str] = ()) -> float | None:
    """Run one trial in a separate process; return its score, None if it failed.

    For a finished trial, return its score if its settings are unchanged: files and environment variables that
    its arguments refer to may have changed.

    Args:
        raw: its config, as Hydra composed it.
        options: options of the sweep's command that the trial's command needs too.

    Raises:
        UsageError: the folder contains a trial with other settings or inputs.
    """
    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), list(hydra.overrides.task)
    gate.check_folder(folder)
    known, done = read_json(folder / runs.TRIAL), runs.state(folder)
    if known.get("overrides", overrides) != overrides:  # a sampler that is not reproducible
        raise UsageError(f"{folder} holds a trial of other settings; give resume=never to start a new sweep")
    note: _Note = {"overrides": overrides, "monitor": raw.callbacks.monitor, "mode": raw.callbacks.mode}
    try:
        cfg = parse_config(TrainConfig, raw)
    except UsageError as e:  # this combination is not valid; other trials may be
        return _failed(folder, note, shorten_error(e))
    if (other := resuming.compare_settings(folder, cfg)) is not None and not other.is_a_move:
        raise UsageError(
            f"{folder} holds a trial of other settings ({other}); give resume=never to start a new sweep"
        )
    if done.get("state") == "finished":
        runs.check_unchanged(folder, _comparisons().changes_in(folder, cfg))
    else:
        write_json(folder / runs.TRIAL, note)
        if why := _trained(folder, cfg, [*options, *overrides]):
            return _failed(folder, note, why)
    return read_json(folder / "metrics.json").get(raw.callbacks.monitor)


def _failed(folder: Path, note: _Note, why: str) -> None:
    """Write the reason of a failure to the trial's file."""
    log.warning(f"trial {folder.name} failed: {why}")
    write_json(folder / runs.TRIAL, {**note, "reason": why})


def _trained(folder: Path, cfg: TrainConfig, words: Sequence[str]) -> str:
    """Train a trial in a separate process; return the reason of a failure, empty if it succeeded."""
    from jungle.pipelines import preflight  # here: --help needs no polars

    try:
        # The process checks this too, but before it has a folder for the reason.
        preflight.check(cfg)
    except UserError as e:
        return shorten_error(e)
    code = subprocesses.run(["train", *words, f"hydra.run.dir={quote(folder)}"])
    if not code:
        return ""
    said = f"killed by signal {-code}, perhaps out of memory" if code < 0 else f"exit code {code}"
    return runs.state(folder).get("reason") or said
