"""Folder of the YAML configs."""

from pathlib import Path


def config_dir() -> Path:
    """Return the folder of configs: inside the installed package, else at the top of the repository."""
    inside = Path(__file__).parents[1] / "configs"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "configs"
