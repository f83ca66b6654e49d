"""What may stand in a composed config: types, ranges and choices, checked in the first second of a run.

The defaults live in `configs/`, one comment each; here is only what a value may be. No value names a Python
object to be built, so a config from a stranger cannot run code.
"""

from typing import Any, TypeVar

from jungle.config.train import TrainConfig
from jungle.config.values import Section
from jungle.config.verbs import DownloadConfig, IndexConfig, PredictConfig, ShrinkConfig
from jungle.errors import UsageError, nearest

__all__ = [
    "CONFIGS",
    "DownloadConfig",
    "IndexConfig",
    "PredictConfig",
    "ShrinkConfig",
    "TrainConfig",
    "check",
    "typed",
]

S = TypeVar("S", bound=Section)

# verb -> what its composed config may be
CONFIGS: dict[str, type[Section]] = {
    "train": TrainConfig,
    "predict": PredictConfig,
    "download": DownloadConfig,
    "index": IndexConfig,
    "shrink": ShrinkConfig,
}


def typed(kind: type[S], raw: Any) -> S:
    """Make a typed config of what Hydra composed.

    Raises:
        UsageError: as `check`.
    """
    from omegaconf import OmegaConf

    return check(kind, OmegaConf.to_container(raw, resolve=True))


def check(kind: type[S], plain: Any) -> S:
    """Make a typed config of a plain dict.

    Raises:
        UsageError: every wrong value in one line, with what is valid there.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(plain)
    except ValidationError as e:
        lines = {_where(err): _explain(err) for err in reversed(e.errors())}
        raise UsageError("; ".join(lines.values())) from None


def _where(err: Any) -> str:
    """Return the key that an error speaks of, without the names of a union's members."""
    parts = [str(part) for part in err["loc"]]
    return ".".join(p for p in parts if p not in ("int", "str") and "[" not in p and "-" not in p)


def _explain(err: Any) -> str:
    where = _where(err)
    if err["type"] == "literal_error":
        choices = [c.strip("' ") for c in err["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where}={err['input']} is not valid.{nearest(str(err['input']), choices)}"
    if err["type"] == "value_error":
        return f"{where + ': ' if where else ''}{err['ctx']['error']}"
    return f"{where}={err['input']}: {err['msg'][0].lower()}{err['msg'][1:]}"
