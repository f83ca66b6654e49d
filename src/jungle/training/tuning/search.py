"""Settings given as `auto`: found by short trials before training, kept with the run, not searched twice.

A trial trains a copy of the model, and the random state is put back behind it: training then starts as it
would have with the number given.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities.seed import isolate_rng

from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.errors import UsageError
from jungle.files import read_json, write_json, write_text
from jungle.plain import read_settings
from jungle.training import build
from jungle.training.tuning import batch_size, lr_finder
from jungle.training.tuning.trial import Make
from jungle.video import ClipSpec

FOUND = "found.json"


def check(cfg: TrainConfig, folder: Path) -> None:
    """Refuse a search where it cannot be, before anything is read.

    Raises:
        UsageError: what to give instead.
    """
    todo = [name for name in cfg.searched if name not in _known(folder)]
    devices = build.devices_of(cfg)
    if todo and len(devices) * cfg.trainer.num_nodes > 1:
        raise UsageError(
            f"{todo[0]}=auto is looked for on one device, for its batch: try it with trainer.devices=1, then "
            f"give {todo[0]}=<number> here"
        )
    if "data.batch_size" in todo and not devices[0].startswith("cuda"):
        raise UsageError(
            "data.batch_size=auto fills the memory of a GPU; a CPU's memory has no such end (it swaps, then "
            "the process is killed): give a number"
        )


def with_batch_size(
    cfg: TrainConfig, folder: Path, make: Make, specs: tuple[ClipSpec, ClipSpec], clips: int
) -> TrainConfig:
    """Return the config with `data.batch_size` a number.

    Args:
        cfg: as given.
        folder: of the run.
        make: builds a model for the trials.
        specs: how clips become frames in training and in evaluation.
        clips: how many there are to train on.
    """
    return _with(cfg, folder, "data.batch_size", lambda: batch_size.find(cfg, make, specs, clips))


def with_rate(cfg: TrainConfig, folder: Path, make: Make, data: Any) -> TrainConfig:
    """Return the config with `optim.lr` a number, found on the training batches of `data`."""
    return _with(cfg, folder, "optim.lr", lambda: lr_finder.find(cfg, folder, make, data))


def _with(cfg: TrainConfig, folder: Path, name: str, find: Callable[[], float]) -> TrainConfig:
    if name not in cfg.searched:
        return cfg

    known = _known(folder)
    if name not in known:
        with log_time(f"{name}=auto"), isolate_rng():
            known[name] = find()
        write_json(folder / FOUND, known)
    log.info(f"{name}={known[name]:.4g} (found by a search, kept in {folder / FOUND})")
    group, key = name.split(".")
    _note(folder / "config.yaml", group, key, known[name])
    return cfg.model_copy(update={group: getattr(cfg, group).model_copy(update={key: known[name]})})


def _known(folder: Path) -> dict[str, Any]:
    return read_json(folder / FOUND)


def _note(file: Path, group: str, key: str, value: float) -> None:
    """Put the number into the run's `config.yaml`, which then repeats the run without a search."""
    if file.is_file():
        plain = read_settings(file)
        plain[group][key] = value
        write_text(file, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
