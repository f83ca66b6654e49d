"""Recipe files: search by name, reading, checks, and the help page, without polars or torch."""

from pathlib import Path
from textwrap import fill

from jungle import plain
from jungle.config import check
from jungle.config.recipe import PLACE, STEPS, Recipe
from jungle.errors import UsageError, suggest

WORDS = {
    "scale": ("full", "tiny"),
    "fidelity": ("improved", "original"),
    "plan": ("false", "true"),
    "stage": None,
    "template": None,
}
"""Settings of a recipe itself, with their possible values; None = any value."""


def find_recipe(argv: list[str], configs: Path) -> Path | None:
    """Return the file of the recipe that a training command names; None if it names none.

    Raises:
        UsageError: the recipe does not exist.
    """
    given = (a.lstrip("+") for a in reversed(argv))
    name = next((a.split("=", 1)[1] for a in given if a.startswith("experiment=")), "")
    if "/" not in name:
        return None
    folder = configs / "experiment"
    recipes = {name_recipe(f, configs): f for f in sorted(folder.glob("*/*.yaml"))}
    if name not in recipes:
        if any(a.startswith(("--config-dir", "-cd")) for a in argv):
            return None  # an experiment of that folder
        raise UsageError(f"experiment={name}: no such recipe.{suggest(name, recipes)}")
    return recipes[name]


def check_words(argv: list[str], configs: Path) -> None:
    """Check that a command without a recipe has no settings of recipes.

    Raises:
        UsageError: it has; the message lists the recipes.
    """
    for arg in argv:
        key, equals, _ = arg.partition("=")
        if equals and key in ("scale", "fidelity", "plan", "stage"):
            names = ", ".join(
                name_recipe(f, configs) for f in sorted((configs / "experiment").glob("*/*.yaml"))
            )
            raise UsageError(f"{key} belongs to a recipe: add experiment=<one of {names}>")


def name_recipe(file: Path, configs: Path) -> str:
    """Return a recipe's name as the user types it."""
    return str(file.relative_to(configs / "experiment").with_suffix(""))


def read_recipe(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: the file is not a recipe, or a setting of a stage is not valid.
    """
    from jungle.config import gate  # here: commands without a recipe do not need it

    recipe = check(Recipe, plain.read(file))
    shared = [PLACE.sub("x", word) for word in (*recipe.args, *recipe.original, *recipe.tiny)]
    gate.check_words("train", shared, file)
    for stage in recipe.stages:
        own = (*stage.args, *stage.original, *stage.tiny)
        gate.check_words(stage.verb, [PLACE.sub("x", word) for word in own], file)
    return recipe


def format_usage(file: Path, configs: Path) -> str:
    """Return the help page of a recipe: its purpose and its settings."""
    recipe, name = read_recipe(file), name_recipe(file, configs)
    names = ", ".join(stage.name for stage in recipe.stages)
    alone = fill(f"only one of these: {names}; or a step before them: {', '.join(STEPS)}", 100)
    alone = alone.replace("\n", "\n" + " " * 18)
    letter = "improved, or original = without some of the deliberate differences from the old solution"
    letter = letter if recipe.has_original else "improved; this recipe has no original"
    return f"""python train.py experiment={name} [key=value] ...

{recipe.about}

    scale=full    tiny = the same stages at a small size, on the sample if no data are given
    fidelity=     {letter}
    plan=false    true = show what exists, what would run and how long it takes, and stop
    stage=        {alone}
    template=     the submission format, if it is not next to the clips

Other settings go to all training runs: see python train.py --help"""
