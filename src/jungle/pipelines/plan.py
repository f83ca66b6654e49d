"""The plan of a recipe: what exists, what will run, and how long that takes where it has been measured."""

import sys
from collections.abc import Sequence

from jungle.config.recipe import Recipe
from jungle.pipelines.preparation import Preparations
from jungle.pipelines.stages import Job
from jungle.wording import count

TELLING = ("model", "head", "stacker", "calibration", "experiment")
"""Settings that say what a stage is."""
WIDE = 160  # columns, where no terminal says how many it has


def show(
    recipe: Recipe,
    name: str,
    before: Preparations,
    jobs: list[Job],
    seconds: dict[str, list[float]],
    scale: str,
    notes: Sequence[str],
) -> None:
    """Print the plan on stderr.

    Args:
        recipe: its stages.
        name: of the recipe, as it is typed.
        before: what is made before its stages.
        jobs: the commands of its stages.
        seconds: how long runs took, by `<scale>/<stage>`.
        scale: `full` or `tiny`.
        notes: lines below it: what a scale leaves out, what would stop it.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name}: {recipe.about}", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "what", "finished", "to run"):
        table.add_column(column)
    for step in before.steps:
        table.add_row(step, *_step(step, before))
    for stage in recipe.stages:
        mine = [j for j in jobs if j.stage is stage]
        done = sum(j.finished for j in mine)
        known = seconds.get(f"{scale}/{stage.name}", [])
        left = len(mine) - done
        time_left = _duration(sum(known) / len(known) * left if known else None)
        what = " ".join(a for a in stage.args if a.split("=")[0] in TELLING)
        table.add_row(
            stage.name,
            f"{stage.verb.replace('_', ' ')} {what}".strip(),
            f"{done} of {len(mine)}",
            time_left if left else "-",
        )
    Console(stderr=True, width=None if sys.stderr.isatty() else WIDE).print(table)
    for note in notes:
        print(note, file=sys.stderr)


def _step(step: str, before: Preparations) -> tuple[str, str, str]:
    """Return what a step before the stages does, how much of it is there, and how long the rest takes."""
    what = {
        "metadata": "index every clip's file",
        "features": "extract, one decoding for all frozen backbones",
    }[step]
    found = before.done(step)
    if found is None:
        return what, "not begun", _duration(None)
    done, clips = found
    rate = before.rate(step)
    left = _duration((clips - done) / rate if rate else None)
    return what, f"{done} of {count(clips, 'clip')}", left if done < clips else "-"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
