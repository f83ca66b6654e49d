"""The plan of a recipe: what exists, what will run, and how long that takes where it has been measured."""

from jungle.config.recipe import Recipe
from jungle.recipes.stages import Job


def show(recipe: Recipe, name: str, jobs: list[Job], seconds: dict[str, list[float]], scale: str) -> None:
    """Print what exists, what will run, and how long that takes where it has been measured."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name}: {recipe.about}", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "what", "finished", "to run"):
        table.add_column(column)
    for stage in recipe.stages:
        mine = [j for j in jobs if j.stage is stage]
        done = sum(j.finished for j in mine)
        known = seconds.get(f"{scale}/{stage.name}", [])
        left = len(mine) - done
        each = sum(known) / len(known) if known else None
        time_left = "not measured" if each is None else f"about {_duration(each * left)}"
        what = " ".join(
            a for a in stage.args if a.split("=")[0] in ("model", "head", "stacker", "experiment")
        )
        table.add_row(
            stage.name,
            f"{stage.verb.replace('_', ' ')} {what}".strip(),
            f"{done} of {len(mine)}",
            "-" if not left else time_left if stage.verb == "train" else "seconds",
        )
    Console(stderr=True, soft_wrap=True).print(table)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
