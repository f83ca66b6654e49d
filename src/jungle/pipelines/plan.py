"""Plan of a recipe: finished stages, stages to run, and their measured duration."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jungle.config.recipe import Recipe
from jungle.pipelines.preparation import Preparations
from jungle.pipelines.stages import Job
from jungle.wording import count

SHOWN = ("model", "head", "stacker", "calibration", "experiment")
"""Settings of a stage that the plan shows."""
WIDTH = 160  # columns without a terminal


def print_plan(
    recipe: Recipe,
    name: str,
    *,
    before: Preparations,
    jobs: list[Job],
    seconds: dict[str, list[float]],
    scale: str,
    notes: Sequence[str],
) -> None:
    """Print the plan on stderr.

    Args:
        recipe: the recipe.
        name: its name, as the user types it.
        before: its preparations.
        jobs: the commands of its stages.
        seconds: durations of finished runs, by `<scale>/<stage>`.
        scale: `full` or `tiny`.
        notes: lines below the table: stages that the scale leaves out, errors that would stop the recipe.
    """
    table = Table(title=f"{name}: {recipe.about}", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "what", "finished", "to run"):
        table.add_column(column)
    for step in before.steps:
        table.add_row(step, *_describe_step(step, before))
    for stage in recipe.stages:
        mine = [j for j in jobs if j.stage is stage]
        done = sum(j.finished for j in mine)
        measured = seconds.get(f"{scale}/{stage.name}", [])
        left = len(mine) - done
        time_left = _format_duration(sum(measured) / len(measured) * left if measured else None)
        # Of the command itself: scale and fidelity may replace a setting of the recipe.
        words = dict(a.split("=", 1) for a in (mine[0].args if mine else stage.args) if "=" in a)
        what = " ".join(f"{name}={words[name]}" for name in SHOWN if name in words)
        table.add_row(
            stage.name,
            f"{stage.verb.replace('_', ' ')} {what}".strip(),
            f"{done} of {len(mine)}",
            time_left if left else "-",
        )
    Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH).print(table)
    for note in notes:
        print(note, file=sys.stderr)


def _describe_step(step: str, before: Preparations) -> tuple[str, str, str]:
    """Return what a step before the stages does, how much is done, and how long the rest takes."""
    what = {
        "metadata": "index every clip's file",
        "features": "extract, one decoding for all frozen backbones",
    }[step]
    found = before.done(step)
    if found is None:
        return what, "not started", _format_duration(None)
    done, clips = found
    rate = before.rate(step)
    left = _format_duration((clips - done) / rate if rate else None)
    return what, f"{done} of {count(clips, 'clip')}", left if done < clips else "-"


def _format_duration(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
