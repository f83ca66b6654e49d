"""Checks at the start of a command: missing files, GPUs, packages and weights.

They run before a folder is created and before torch is imported, which takes seconds.
"""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants

from jungle import extras, network, runs, system
from jungle.config import PredictConfig, TrainConfig
from jungle.config.groups import SEVERAL
from jungle.config.train import ClipsConfig
from jungle.data.formats.primatrix import find_labels
from jungle.devices import count_gpus, require_device, require_gpus, require_trainer
from jungle.errors import UsageError, UserError
from jungle.files import describe_absent
from jungle.models.backbones.bundled_weights import bundled_weights
from jungle.sample.library import check_room

_TABLES = ("template", "test_labels", "sites", "rename", "duplicates", "metadata", "pseudo")


def check(cfg: object, made: Path | None = None) -> None:
    """Check that this machine has what a valid config needs.

    Args:
        cfg: of any command.
        made: a folder that earlier commands will have filled by then; files in it are not checked.

    Raises:
        UsageError: a GPU or a package is missing.
        UserError: files are missing, all of them in one message; or weights are neither here nor available.
    """
    if system.get_rank() > 0:
        return  # the first process reports for all
    if isinstance(cfg, ClipsConfig | PredictConfig) and cfg.decoder.name is not None:
        extras.require(f"decoder={cfg.decoder.name}")
    if isinstance(cfg, TrainConfig):
        _check_gpus(cfg)
        extras.require(f"logger={cfg.logger.name}")
    if isinstance(cfg, PredictConfig):
        require_device(cfg.device, count_gpus())
        _check_decoding(cfg.decoder.name, cfg.decoder.device, cfg.device == "cpu")
    if problems := list(_missing(cfg, made)):
        raise UserError(" ".join(problems))
    if isinstance(cfg, TrainConfig):
        _check_weights(cfg)


def _check_gpus(cfg: TrainConfig) -> None:
    require_trainer(cfg.trainer.accelerator, cfg.trainer.devices, count_gpus())
    _check_decoding(cfg.decoder.name, cfg.decoder.device, cfg.trainer.accelerator == "cpu")


def _check_decoding(decoder: str | None, device: str, on_cpu: bool) -> None:
    if device not in ("gpu", "cuda"):
        return
    if decoder == "decord":
        from jungle.video.workers.device_selection import require_gpu  # here, since it opens decord

        require_gpu(decoder, "cuda")
    instead = "leave decoder.device out, or give decoder.device=cpu"
    require_gpus(1, count_gpus(), f"decoder.device={device}", instead)
    if on_cpu:
        raise UsageError(f"decoder.device={device}: the model runs on the CPU: {instead}")


def _missing(cfg: object, made: Path | None) -> Iterator[str]:
    """Yield a sentence for each missing file or folder that a config names."""
    for setting, path, folder in _named(cfg):
        if made is not None and path.absolute().is_relative_to(made.absolute()):
            continue
        if folder and not path.is_dir():
            yield f"{setting}={path}: " + (
                "not a folder." if path.exists() else describe_absent(path, "folder")
            )
        elif not folder and path.is_dir():
            yield f"{setting}={path}: a folder, not a file."
        elif not folder and not path.exists():
            yield f"{setting}={path}: {describe_absent(path)}"
    if isinstance(cfg, ClipsConfig):
        yield from _missing_set(cfg)
    for setting, path in _checkpoints(cfg):
        if made is not None and path.absolute().is_relative_to(made.absolute()):
            continue
        try:
            runs.resolve_checkpoint(path, setting)
        except UserError as e:
            yield str(e)


def _checkpoints(cfg: object) -> Iterator[tuple[str, Path]]:
    """Yield each checkpoint or run that a config names, with its setting."""
    if isinstance(cfg, PredictConfig):
        yield from (("ckpt", path) for path in cfg.ckpt)
    elif isinstance(cfg, ClipsConfig) and cfg.model.warm_start is not None:
        yield "model.warm_start", cfg.model.warm_start


def _missing_set(cfg: ClipsConfig) -> Iterator[str]:
    """Yield what is missing in a data set of a known format, or what prevents rendering the sample."""
    data = cfg.data
    root = next(iter(data.roots), None)
    if data.format == "sample" and root is not None:
        try:
            check_room(root, clips=data.sample_clips)
        except UserError as e:
            yield str(e)
    if data.format.startswith("primatrix") and root is not None:
        if not root.is_dir():
            said = describe_absent(root, "folder")
            how = (
                "jungle download out=data fetches it."
                if data.format == "primatrix_micro"
                else "docs/competition-data.md says how to get the clips (jungle download: small ones)."
            )
            yield f"data.root={root}: {said} {how}"
        elif find_labels(root, *data.tables) is None:
            yield f"data.root={root}: no table of labels in it or next to it; give data.labels=<file>"


def _named(cfg: object) -> Iterator[tuple[str, Path, bool]]:
    """Yield each path that a config names: its setting, the path, and whether it must be a folder."""
    if isinstance(cfg, ClipsConfig):
        data, model = cfg.data, cfg.model
        if data.format in SEVERAL["root"]:
            yield from (("data.root", root, True) for root in data.roots)
        for path in data.tables:
            yield "data.labels", path, False
        for name in _TABLES:
            if isinstance(path := getattr(data, name), Path):
                yield f"data.{name}", path, False
        for i, one in enumerate((model, *model.also)):
            if one.weights is not None:
                yield "model.weights" if i == 0 else f"model.also.{i - 1}.weights", one.weights, False
        given = cfg.frames.weights
        for path in given if isinstance(given, list) else [given] if given else []:
            if not glob.has_magic(str(path)):
                yield "frames.weights", path, True
        return
    for name in ("template", "metadata", "index"):
        if isinstance(path := getattr(cfg, name, None), Path):
            yield name, path, False


def _check_weights(cfg: TrainConfig) -> None:
    """Check that weights are in a cache, or that their host answers.

    Only timm knows for certain what is in a cache; it checks that itself before any clip is read.

    Raises:
        UserError: weights cannot be loaded; the message gives the alternatives.
    """
    wanted = [
        one.backbone
        for one in (cfg.model, *cfg.model.also)
        if cfg.model.pretrained and one.weights is None and bundled_weights(one.backbone) is None
    ]
    lost = [name for name in wanted if not _may_be_kept(name)]
    if not lost:
        return
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    hub = _hub()
    if offline or not network.is_reachable(hub):
        why = "HF_HUB_OFFLINE is set" if offline else f"{hub} does not answer"
        raise UserError(
            f"model.backbone={lost[0]}: its weights are not on this machine and cannot be downloaded: {why}. "
            f"Connect once (they are kept in {_hub_cache()}), give a file "
            "(model.weights=<.safetensors|.pth>), or use random weights (model.pretrained=false)"
        )


def _may_be_kept(backbone: str) -> bool:
    """Tell whether a cache may contain the weights of a timm model."""
    plain = re.sub(r"\W|_", "", backbone.split(".")[0]).lower()
    for folder, pattern in ((_hub_cache(), "models--*"), (_torch_cache(), "*.*")):
        for found in folder.glob(pattern):
            # The names of timm's own repositories identify the model; other names do not.
            timms = found.name.startswith("models--timm--")
            if not timms or plain in re.sub(r"\W|_", "", found.name).lower():
                return True
    return False


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def _hub_cache() -> Path:
    return Path(constants.HF_HUB_CACHE)


def _torch_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
