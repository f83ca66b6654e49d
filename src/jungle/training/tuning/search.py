"""Settings given as `auto`: short trials before training find them, and the run keeps them.

A trial trains a copy of the model and restores the random state: training then starts as it would have with
the number given.
"""

from collections.abc import Callable
from pathlib import Path

import yaml
from pytorch_lightning.utilities.seed import isolate_rng

from jungle.config import TrainConfig
from jungle.console import log, log_time
from jungle.data.datamodule import ClipData
from jungle.errors import UsageError
from jungle.files import read_json, write_json, write_text
from jungle.plain import read_settings
from jungle.training.hardware import resolve_hardware
from jungle.training.tuning import batch_size, lr_finder
from jungle.training.tuning.trial import ModelFactory
from jungle.video import ClipSpec

FOUND = "found.json"


def check(cfg: TrainConfig, folder: Path) -> None:
    """Refuse a search that cannot be made, before anything is read.

    Raises:
        UsageError: what to give instead.
    """
    todo = [name for name in cfg.searched if name not in _read_found(folder)]
    hardware = resolve_hardware(cfg)
    if todo and hardware.processes > 1:
        raise UsageError(
            f"{todo[0]}=auto searches on one device alone: run it with trainer.devices=1, then "
            f"give {todo[0]}=<number> here"
        )
    if "data.batch_size" in todo and not hardware.is_gpu:
        raise UsageError(
            "data.batch_size=auto needs a GPU (a CPU's memory has no clear limit): give a number"
        )


def resolve_batch_size(
    cfg: TrainConfig, folder: Path, make: ModelFactory, specs: tuple[ClipSpec, ClipSpec], clips: int
) -> TrainConfig:
    """Return the config with `data.batch_size` a number.

    Args:
        cfg: as given.
        folder: of the run.
        make: builds a model for the trials.
        specs: how clips become frames in training and in evaluation.
        clips: how many there are to train on.
    """
    return _resolve(cfg, folder, "data.batch_size", lambda: batch_size.find(cfg, make, specs, clips))


def resolve_learning_rate(cfg: TrainConfig, folder: Path, make: ModelFactory, data: ClipData) -> TrainConfig:
    """Return the config with `optim.lr` a number, found on the training batches of `data`."""
    return _resolve(cfg, folder, "optim.lr", lambda: lr_finder.find(cfg, folder, make, data))


def _resolve(cfg: TrainConfig, folder: Path, name: str, find: Callable[[], float]) -> TrainConfig:
    if name not in cfg.searched:
        return cfg

    known = _read_found(folder)
    if name not in known:
        with log_time(f"{name}=auto"), isolate_rng():
            known[name] = find()
        write_json(folder / FOUND, known)
    log.info(f"{name}={known[name]:.4g} (found by a search, kept in {folder / FOUND})")
    group, key = name.split(".")
    _write_value(folder / "config.yaml", group, key, known[name])
    return cfg.model_copy(update={group: getattr(cfg, group).model_copy(update={key: known[name]})})


def _read_found(folder: Path) -> dict[str, float]:
    return {str(k): v for k, v in read_json(folder / FOUND).items()}


def _write_value(file: Path, group: str, key: str, value: float) -> None:
    """Put the number into the run's `config.yaml`, which then repeats the run without a search."""
    if file.is_file():
        plain = read_settings(file)
        plain[group][key] = value
        write_text(file, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
