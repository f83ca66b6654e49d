"""Where a run's numbers go while it trains: W&B, TensorBoard or CSV."""

import os
from pathlib import Path
from typing import Any

from jungle.config import TrainConfig
from jungle.console import log


def make_logger(cfg: TrainConfig, folder: Path, name: str) -> Any:
    """Return the Lightning logger that `logger=` asks for, False for none.

    W&B goes online where a key is found (`wandb login`, or WANDB_API_KEY), else it keeps the run in the run's
    folder: `wandb sync` sends it later. A run that goes on keeps its W&B run.
    """
    if cfg.logger.name == "none":
        return False
    if cfg.logger.name == "csv":
        from pytorch_lightning.loggers import CSVLogger

        return CSVLogger(folder, name="", version="csv")
    if cfg.logger.name == "tensorboard":
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="tensorboard")
    from pytorch_lightning.loggers import WandbLogger

    online = cfg.logger.mode == "online" or (cfg.logger.mode == "auto" and has_key())
    os.environ.setdefault("WANDB_SILENT", "true")
    if not online and cfg.logger.mode == "auto":
        log.info("W&B: no key found, the run is kept offline in its folder (wandb login puts runs online)")
    # A job of a sweep is a numbered folder in the sweep's; an agent of W&B's own sweeps has chosen the id.
    parts = folder.parts[-2:] if folder.name.isdigit() else folder.parts[-1:]
    own = None if "WANDB_SWEEP_ID" in os.environ else "-".join(parts).replace("_", "-")
    return WandbLogger(
        project=cfg.logger.project,
        name=name,
        id=own,
        resume="allow",
        save_dir=folder,
        mode="online" if online else "offline",
        config=cfg.model_dump(mode="json"),
    )


def finish(logger: Any) -> None:
    """Close the logger's run, so that the next job of a sweep gets its own."""
    if type(logger).__name__ == "WandbLogger":
        import wandb

        wandb.finish()


def has_key() -> bool:
    """Tell whether a W&B key is at hand, in the environment or in netrc; the key itself is not read."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    try:
        return any("wandb" in host for host in netrc.netrc(os.environ.get("NETRC")).hosts)
    except (OSError, netrc.NetrcParseError):
        return False
