"""Errors that would stop a recipe, found before it runs."""

from collections.abc import Sequence
from pathlib import Path

from jungle.errors import UserError
from jungle.pipelines import preflight
from jungle.pipelines.stages import Job


def foresee(jobs: Sequence[Job], root: Path) -> tuple[UserError, ...]:
    """Return the errors that would stop unfinished training runs, each once.

    Args:
        jobs: of the stages to run.
        root: the recipe's folder; earlier stages write the files in it.
    """
    stops: dict[str, UserError] = {}
    for cfg in {id(j.config): j.config for j in jobs if j.config is not None and not j.finished}.values():
        try:
            preflight.check(cfg, made=root)
        except UserError as e:
            stops.setdefault(str(e), e)
    return tuple(stops.values())
