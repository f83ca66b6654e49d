"""Where a run's numbers go while it trains: W&B, TensorBoard or CSV."""

import os
import re
from pathlib import Path
from typing import Any

from jungle import network
from jungle.config import TrainConfig
from jungle.console import log
from jungle.errors import UserError

NO_KEY = "no key found (wandb login puts runs online)"
LONGEST_ID = 128  # characters, as W&B allows
START_S = 30.0  # for W&B's server to take a run, once it has answered
OFFLINE = "the run is kept offline in its folder (wandb sync sends it later)"


def check(cfg: TrainConfig) -> None:
    """Refuse `logger.mode=online` where W&B cannot be reached or refuses the key, before anything is read.

    Raises:
        UserError: which of these, and what to give instead.
    """
    from jungle import runs

    asked = cfg.logger.name == "wandb" and cfg.logger.mode == "online" and runs.rank() == 0
    if asked and (why := _unusable(_host())):
        raise UserError(
            f"logger.mode=online: {why}; give logger.mode=offline (wandb sync sends the run later), or "
            "logger=none"
        )


def make_logger(cfg: TrainConfig, folder: Path, name: str) -> Any:
    """Return the Lightning logger that `logger=` asks for, False for none.

    W&B goes online where a key is found (`wandb login`, or WANDB_API_KEY) and its host answers, else it keeps
    the run in the run's folder: `wandb sync` sends it later. A run that goes on keeps its W&B run.

    Raises:
        UserError: `logger.mode=online`, and W&B refuses the run.
    """
    if cfg.logger.name == "none":
        return False
    if cfg.logger.name == "csv":
        from pytorch_lightning.loggers import CSVLogger

        return CSVLogger(folder, name="", version="csv")
    if cfg.logger.name == "tensorboard":
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="tensorboard")
    from jungle import runs

    os.environ.setdefault("WANDB_SILENT", "true")
    mode = cfg.logger.mode
    if runs.rank() > 0:  # only the first process speaks to W&B
        return _wandb(cfg, folder, name, online=False)
    if mode == "auto":
        host = _host()
        why = _unusable(host, known=False) if has_key(host) else NO_KEY
        if why:
            log.info(f"W&B: {why}: {OFFLINE}")
        mode = "offline" if why else "online"
    if mode == "online":
        try:
            return _started(_wandb(cfg, folder, name, online=True))
        except Exception as e:
            if cfg.logger.mode == "online":
                raise UserError(f"logger.mode=online: W&B refuses the run: {_first_line(e)}") from None
            log.warning(f"warning: W&B refuses the run ({_first_line(e)}): {OFFLINE}")
            _forget()
    try:
        return _started(_wandb(cfg, folder, name, online=False))
    except Exception as e:
        if cfg.logger.mode == "offline":
            raise UserError(f"logger=wandb cannot be used: {_first_line(e)}; give logger=none") from None
        log.warning(f"warning: W&B cannot be used ({_first_line(e)}): history.json alone keeps the numbers")
        return False


def _wandb(cfg: TrainConfig, folder: Path, name: str, online: bool) -> Any:
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    # A job of a sweep is a numbered folder in the sweep's; an agent of W&B's own sweeps has chosen the id.
    parts = folder.parts[-2:] if folder.name.isdigit() else folder.parts[-1:]
    plain = re.sub(r"[_/\\#?%:]", "-", "-".join(parts))[-LONGEST_ID:]
    own = None if "WANDB_SWEEP_ID" in os.environ else plain
    return WandbLogger(
        project=cfg.logger.project,
        name=name,
        id=own,
        resume="allow",
        save_dir=folder,
        mode="online" if online else "offline",
        config=cfg.model_dump(mode="json"),
        settings=wandb.Settings(init_timeout=START_S),
    )


def _started(logger: Any) -> Any:
    """Return the logger, its run begun: with the first epoch a refusal would end the training."""
    assert logger.experiment is not None
    return logger


def _forget() -> None:
    """Leave nothing behind of a run that W&B refused, so that the next begins as if it were the first."""
    import wandb

    wandb.teardown()


def _host() -> str:
    """Return the address of the W&B server that this person uses."""
    import wandb

    return str(wandb.setup().settings.base_url)


def _unusable(host: str, known: bool = True) -> str | None:
    """Return why W&B cannot be used online; None where it can.

    Args:
        host: address of its server.
        known: whether to ask if it knows the key, too.
    """
    import wandb

    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return f"WANDB_MODE={os.environ['WANDB_MODE']} is set"
    if not network.answers(host):
        return f"{host} does not answer"
    if not known:
        return None
    if not has_key(host):
        return NO_KEY
    try:
        wandb.login(prompt=False, verify=True)
    except Exception as e:
        return _first_line(e)
    return None


def finish(logger: Any) -> None:
    """Close the logger's run, so that the next job of a sweep gets its own."""
    if type(logger).__name__ == "WandbLogger":
        import wandb

        wandb.finish()


def has_key(host: str = "") -> bool:
    """Tell whether a W&B key is at hand, in the environment or in netrc; the key itself is not read.

    Args:
        host: address of a server that is not W&B's own.
    """
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import netrc
    from urllib.parse import urlsplit

    own = urlsplit(host).hostname
    try:
        return any("wandb" in h or h == own for h in netrc.netrc(os.environ.get("NETRC")).hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(". ")
