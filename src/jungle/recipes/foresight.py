"""What would stop a recipe, found by a look at the disk before anything runs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jungle.config import TrainConfig
from jungle.data.formats.primatrix import find_labels
from jungle.data.sample.library import check_room
from jungle.errors import UserError
from jungle.models.bundled import bundled_weights
from jungle.recipes.stages import Job


@dataclass(frozen=True)
class Foreseen:
    """What a look at the disk tells of a recipe's training runs."""

    stops: tuple[str, ...]
    """What is missing, or in the way: the run would end there."""
    notes: tuple[str, ...]
    """What has to come from a network, which may or may not be there."""


def foresee(jobs: Sequence[Job]) -> Foreseen:
    """Return what would stop those of the training runs that are not finished, each said once."""
    stops: dict[str, None] = {}
    notes: dict[str, None] = {}
    made = [j.folder for j in jobs]
    for cfg in (j.config for j in jobs if j.config is not None and not j.finished):
        for problem in (*_of_data(cfg), *_of_files(cfg, made)):
            stops[problem] = None
        for backbone in _fetched(cfg):
            notes[
                f"the weights of {backbone} are not on this machine: they are fetched when a stage needs "
                "them; without a network give model.weights=<file>"
            ] = None
    return Foreseen(tuple(stops), tuple(notes))


def _of_data(cfg: TrainConfig) -> list[str]:
    data, root = cfg.data, cfg.data.root
    if root is None:
        return []
    if data.format == "sample":
        try:
            check_room(root, clips=data.sample_clips)
        except UserError as e:
            return [str(e)]
        return []
    if not root.is_dir():
        return [f"data.root={root}: no such folder. It holds the clips."]
    if data.format.startswith("primatrix") and find_labels(root, data.labels) is None:
        return [f"data.root={root}: no table of labels in it or beside it: data.labels=<file>"]
    return []


def _of_files(cfg: TrainConfig, made: Sequence[Path]) -> list[str]:
    """Say which files that a config names are not there; those that earlier stages make are not missed."""
    named = {
        "data.labels": cfg.data.labels,
        "data.template": cfg.data.template,
        "data.test_labels": cfg.data.test_labels,
        "data.sites": cfg.data.sites,
        "data.duplicates": cfg.data.duplicates,
        "data.metadata": cfg.data.metadata if cfg.data.metadata != "index" else None,
        "data.pseudo": cfg.data.pseudo if cfg.data.pseudo != "self" else None,
        "model.weights": cfg.model.weights,
        "model.warm_start": cfg.model.warm_start,
    }
    lost = {k: Path(v) for k, v in named.items() if v is not None and not Path(v).exists()}
    return [f"{k}={v}: no such file" for k, v in lost.items() if not any(m in v.parents for m in made)]


def _fetched(cfg: TrainConfig) -> list[str]:
    """Return the backbones whose weights are neither given, nor installed, nor in the hub's cache."""
    if not cfg.model.pretrained:
        return []
    wanted = {cfg.model.backbone: cfg.model.weights} | {a.backbone: a.weights for a in cfg.model.also}
    kept = _hub_cache()
    return [
        name
        for name, file in wanted.items()
        if file is None and bundled_weights(name) is None and not any(kept.glob(f"models--timm--{name}*"))
    ]


def _hub_cache() -> Path:
    """Return where the hub keeps what it has fetched; importing its library takes a second."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
