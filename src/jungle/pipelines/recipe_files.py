"""Files of recipes: found by name, read, checked, and their help page; without polars or torch."""

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
"""Settings of a recipe itself, with their values if these are few."""


def find_recipe(argv: list[str], configs: Path) -> Path | None:
    """Return the file of the recipe that a training command names; None where it names none.

    Raises:
        UsageError: there is no such recipe.
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
    """Refuse words of a recipe in a command that names none.

    Raises:
        UsageError: with the recipes that there are.
    """
    for arg in argv:
        key, equals, _ = arg.partition("=")
        if equals and key in ("scale", "fidelity", "plan", "stage"):
            names = ", ".join(
                name_recipe(f, configs) for f in sorted((configs / "experiment").glob("*/*.yaml"))
            )
            raise UsageError(f"{key} belongs to a recipe: add experiment=<one of {names}>")


def name_recipe(file: Path, configs: Path) -> str:
    """Return a recipe's name as it is typed."""
    return str(file.relative_to(configs / "experiment").with_suffix(""))


def read_recipe(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: the file holds no recipe, or a word of a stage is not valid.
    """
    from jungle.config import gate  # here: a command that is no recipe does without it

    recipe = check(Recipe, plain.read(file))
    shared = [PLACE.sub("x", word) for word in (*recipe.args, *recipe.original, *recipe.tiny)]
    gate.check_words("train", shared, file)
    for stage in recipe.stages:
        own = (*stage.args, *stage.original, *stage.tiny)
        gate.check_words(stage.verb, [PLACE.sub("x", word) for word in own], file)
    return recipe


def format_usage(file: Path, configs: Path) -> str:
    """Return the help page of a recipe: what it does, and the words that it takes."""
    recipe, name = read_recipe(file), name_recipe(file, configs)
    names = ", ".join(stage.name for stage in recipe.stages)
    alone = fill(f"one of these alone: {names}; or what is made before: {', '.join(STEPS)}", 100)
    alone = alone.replace("\n", "\n" + " " * 18)
    letter = "improved, or original = without some of the deliberate differences from the old solution"
    letter = letter if recipe.has_original else "improved; this recipe has no original"
    return f"""python train.py experiment={name} [key=value] ...

{recipe.about}

    scale=full    tiny = the same stages small, on the sample where no data are given
    fidelity=     {letter}
    plan=false    true = show what exists, what would run and how long it takes, and stop
    stage=        {alone}
    template=     the submission format, if it is not next to the clips

Other settings go to all training runs: see python train.py --help"""
