"""Packages that are installed when asked for: which one offers what, and the command that installs it."""

from importlib.util import find_spec
from pathlib import Path

from jungle.errors import UsageError

# What a command asks for -> the module that offers it, and the extra that brings it ("" = none is needed).
OFFERED = {
    "hydra/sweeper=optuna": ("hydra_plugins.hydra_optuna_sweeper", "sweep"),
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "launchers"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "launchers"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "launchers"),
    "logger=tensorboard": ("tensorboard", ""),
    "logger=wandb": ("wandb", ""),
    "decoder=decord": ("decord", ""),
    "decoder=torchcodec": ("torchcodec", ""),
}


def require(asked: str, typed: str | None = None) -> None:
    """Refuse what needs a package that is not installed.

    Args:
        asked: one of `OFFERED`; anything else needs nothing.
        typed: the words that a person gave, where they are others.

    Raises:
        UsageError: with the command that installs it.
    """
    module, extra = OFFERED.get(asked, ("", ""))
    if module and not _is_there(module):
        raise UsageError(f"{typed or asked} needs a package that is not installed: {install(extra)}")


def install(extra: str) -> str:
    """Return the command that installs this package with an extra: from where it was installed itself."""
    root = Path(__file__).parents[2]
    own = (root / "pyproject.toml").is_file() and (root / "src" / "jungle").is_dir()
    what = f"[{extra}]" if extra else ""
    return f'pip install -e ".{what}"' if own else f'pip install "jungle-video{what}"'


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
