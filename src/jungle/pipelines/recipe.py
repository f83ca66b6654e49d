"""Recipes: `python train.py experiment=primatrix/best` runs an experiment of several stages.

Each stage is a command of this program, run as a process of its own in a folder named by its settings; what
is finished there is not run again, so the same command goes on after a stop, and another scale, data set or
setting never takes an old result for its own.
"""

import os
import time
from pathlib import Path
from textwrap import fill
from typing import Any

from jungle import plain, runs
from jungle.config import check
from jungle.config.options import parted
from jungle.config.recipe import PLACE, STEPS, Recipe
from jungle.console import log, result
from jungle.errors import UsageError, UserError, nearest
from jungle.files import read_json, write_json
from jungle.pipelines import subprocesses
from jungle.pipelines.plan import show
from jungle.pipelines.preparation import Preparations, frozen_of
from jungle.pipelines.stages import Job, jobs_of, template_of

WORDS = {
    "scale": ("full", "tiny"),
    "fidelity": ("improved", "original"),
    "plan": ("false", "true"),
    "stage": None,
    "template": None,
}
"""What a recipe takes besides the settings of its training runs, and which values where they are few."""


def find(argv: list[str], configs: Path) -> Path | None:
    """Return the file of the recipe that a training command names; None where it names none.

    Raises:
        UsageError: it names one that there is not.
    """
    given = (a.lstrip("+") for a in reversed(argv))
    name = next((a.split("=", 1)[1] for a in given if a.startswith("experiment=")), "")
    if "/" not in name:
        return None
    folder = configs / "experiment"
    known = {_name(f, configs): f for f in sorted(folder.glob("*/*.yaml"))}
    if name not in known:
        if any(a.startswith(("--config-dir", "-cd")) for a in argv):
            return None  # an experiment of that folder
        raise UsageError(f"experiment={name}: no such recipe.{nearest(name, known)}")
    return known[name]


def check_words(argv: list[str], configs: Path) -> None:
    """Refuse words of a recipe in a command that names none.

    Raises:
        UsageError: with the recipes that there are.
    """
    for arg in argv:
        key, equals, _ = arg.partition("=")
        if equals and key in ("scale", "fidelity", "plan", "stage"):
            names = ", ".join(_name(f, configs) for f in sorted((configs / "experiment").glob("*/*.yaml")))
            raise UsageError(f"{key} belongs to a recipe: add experiment=<one of {names}>")


def _name(file: Path, configs: Path) -> str:
    """Return a recipe's name as it is typed."""
    return str(file.relative_to(configs / "experiment").with_suffix(""))


def read(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: it is none.
    """
    from jungle.config import gate  # not above: --help needs no Hydra

    recipe = check(Recipe, plain.read(file))
    shared = [PLACE.sub("x", word) for word in (*recipe.args, *recipe.original, *recipe.tiny)]
    gate.check_words("train", shared, file)
    for stage in recipe.stages:
        own = (*stage.args, *stage.original, *stage.tiny)
        gate.check_words(stage.verb, [PLACE.sub("x", word) for word in own], file)
    return recipe


def usage(file: Path, configs: Path) -> str:
    """Return what a recipe is, and the words that it takes."""
    recipe, name = read(file), _name(file, configs)
    names = ", ".join(stage.name for stage in recipe.stages)
    alone = fill(f"one of these alone: {names}; or what is made before: {', '.join(STEPS)}", 100)
    alone = alone.replace("\n", "\n" + " " * 18)
    letter = "improved, or original = as it was to the letter, where our way is another on purpose"
    letter = letter if recipe.has_original else "improved: of this recipe there is no original"
    return f"""python train.py experiment={name} [key=value] ...

{recipe.about}

    scale=full    tiny = the same stages small, on the sample where no data are given
    fidelity=     {letter}
    plan=false    true = show what exists, what would run and how long it takes, and stop
    stage=        {alone}
    template=     the submission format, where it does not lie beside the clips

Other settings go to all training runs: python train.py --help tells them"""


def main(argv: list[str], file: Path, configs: Path) -> int:
    """Print the plan of a recipe, then run what is not finished.

    Raises:
        UsageError: a word of the command, or of a stage, is not valid; nothing has been run.
        UserError: something is not there, which the plan says too, or a stage failed.
    """
    from jungle.config.words import quoted

    if "LOCAL_RANK" in os.environ:
        raise UsageError("a recipe starts its own processes: give trainer.devices=N instead of torchrun")
    from jungle.data.validation_report import Problems  # here: --help needs no polars
    from jungle.pipelines.foresight import foresee

    recipe, name = read(file), _name(file, configs)
    words, given = _split(argv)
    notes: list[str] = []
    if words["scale"] == "tiny" and recipe.left_out:
        notes.append(f"scale=tiny leaves out {', '.join(recipe.left_out)}")
        recipe = recipe.small()
    jobs, root, first = _jobs(recipe, name, words, given, configs)
    seconds = read_json(root / "seconds.json")
    before = Preparations(root, [j.config for j in jobs if j.config is not None])
    known = [*before.steps, *(stage.name for stage in recipe.stages)]
    if words["stage"] and words["stage"] not in known:
        raise UsageError(f"stage={words['stage']}: no such stage.{nearest(words['stage'], known)}")
    chosen = [j for j in jobs if words["stage"] in ("", j.stage.name)]
    if words["plan"] == "true":
        _set_changed_aside(jobs, only_said=True)
        notes += [f"would stop it: {stop}" for stop in foresee(chosen or jobs, root)]
        show(recipe, name, before, jobs, seconds, words["scale"], notes)
        return 0
    stops, problems = foresee(chosen or jobs, root), Problems()
    for stop in stops:
        problems.say(str(stop))
    try:
        problems.raise_if_any(f"experiment={name}")
    except UserError as e:
        raise (UsageError(str(e)) if any(isinstance(s, UsageError) for s in stops) else e) from None
    show(recipe, name, before, jobs, seconds, words["scale"], notes)
    root.mkdir(parents=True, exist_ok=True)
    with runs.hold(root):
        _set_changed_aside(jobs)
        waiting = [j.config for j in chosen if j.config is not None and not j.finished]
        if not chosen or len(frozen_of(waiting)) > 1:
            _prepare(argv)
        for job in chosen:
            _check_inputs(job, jobs)
            if (
                job.stage.verb == "ensemble_stack"
                and (found := template_of(words["template"], first)) is not None
            ):
                job.args.append(f"template={quoted(found)}")
            if job.finished and job.stage.verb == "train":
                continue
            unfinished, began = not job.finished, time.monotonic()
            _run(job)
            if unfinished and any(later.finished for later in jobs[jobs.index(job) + 1 :]):
                _set_changed_aside(jobs)  # what follows may have been made of its earlier answers
            if unfinished:
                seconds.setdefault(f"{words['scale']}/{job.stage.name}", []).append(time.monotonic() - began)
                write_json(root / "seconds.json", seconds)
    for what in ("submission.csv", "report.html", "metrics.json"):
        if chosen and (chosen[-1].folder / what).is_file():
            result(f"{Path(what).stem}: {chosen[-1].folder / what}")
    return 0


def _set_changed_aside(jobs: list[Job], only_said: bool = False) -> None:
    """Rename what was made of other labels, clips or files than today's, so that it is made again.

    Later stages build on earlier ones: from the first stage whose inputs changed, none is kept.

    Args:
        jobs: of all stages, in their order.
        only_said: say what would be done.
    """
    from jungle.training.run_inputs import Comparisons  # here: --help needs no polars

    found = Comparisons()
    trained = [job for job in jobs if job.stage.verb == "train"]
    changed = next(((job, c) for job in trained if (c := found.changes_in(job.folder))), None)
    if changed is None:
        return
    first, changes = changed
    said = f"stage {first.stage.name}: its inputs changed: {'; '.join(changes)}; it and later stages"
    if only_said:
        log.warning(f"{said} would run again")
        return
    mark = f".before-{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    later = jobs[next(n for n, job in enumerate(jobs) if job.stage is first.stage) :]
    tops = {job.folder.parent if job.stage.verb == "train" else job.folder for job in later}
    for folder in sorted(f for f in tops if f.is_dir()):
        folder.rename(folder.with_name(folder.name + mark))
    log.warning(f"{said} run again; what they made before is kept as <folder>{mark}")


def _jobs(
    recipe: Recipe, name: str, words: dict[str, str], given: list[str], configs: Path
) -> tuple[list[Job], Path, Any]:
    """Return what `jobs_of` does, given the words of a command.

    Raises:
        UsageError: a setting is not valid, or the recipe knows no original.
    """
    original = words["fidelity"] == "original"
    if original and not recipe.has_original:
        raise UsageError(f"fidelity=original: experiment={name} says nothing of one; leave it out")
    return jobs_of(recipe, name, given, words["scale"] == "tiny", configs, original)


def preparations(argv: list[str], file: Path, configs: Path) -> tuple[Preparations, tuple[str, ...]]:
    """Return what a recipe makes before its stages, and which steps of that a command asks for.

    Raises:
        UsageError: a word of the command is not valid, or there is nothing to prepare.
    """
    words, given = _split(argv)
    name = _name(file, configs)
    jobs, root, _ = _jobs(read(file), name, words, given, configs)
    found = Preparations(root, [j.config for j in jobs if j.config is not None])
    steps = found.steps or ("features",)
    if not found.frozen:
        raise UsageError(f"experiment={name}: it has no frozen backbone, whose features are kept")
    if words["plan"] == "true":
        raise UsageError("plan=true: jungle train shows the plan, features included")
    if words["stage"] not in ("", *steps):
        raise UsageError(f"stage={words['stage']}: jungle extract makes {' and '.join(steps)} alone")
    return found, (words["stage"],) if words["stage"] else steps


def _prepare(argv: list[str]) -> None:
    """Have one look into each clip's file, and one decoding feed all backbones.

    Raises:
        UserError: it failed.
    """
    if code := subprocesses.run(["extract", *argv]):
        raise UserError(f"preparing the clips failed (exit code {code}): what it said stands above")


def _split(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part the recipe's own words from the settings that go to its training runs."""
    from jungle.config.words import check_blanks

    check_blanks(argv)
    words = {"scale": "full", "fidelity": "improved", "plan": "false", "stage": "", "template": ""}
    given: list[str] = []
    for arg in argv:
        key, equals, value = arg.partition("=")
        key = key.lstrip("+")
        if not equals or arg.startswith(("-", "~")):
            parted("train", argv)  # what was meant by an option that there is not
            raise UsageError(
                f"{arg}: a recipe takes settings alone (key=value); plan=true shows what it would run"
            )
        if key in WORDS:
            choices = WORDS[key]
            if choices and value not in choices:
                raise UsageError(f"{arg}: {key} is {' or '.join(choices)}")
            words[key] = value
        elif key.startswith("hydra"):
            raise UsageError(f"{arg}: a recipe chooses its folders itself, below paths.runs")
        elif key in ("data.folds", "data.fold"):
            raise UsageError(f"{arg}: a recipe deals out its folds itself")
        elif key != "experiment":
            given.append(arg)
    return words, given


def _check_inputs(job: Job, jobs: list[Job]) -> None:
    """Refuse a stage by itself whose members are not there yet."""
    wanted = {*job.stage.members, *(n for a in job.stage.args for n in PLACE.findall(a))}
    for other in jobs:
        if other.stage.name in wanted and not other.finished:
            raise UsageError(
                f"stage={job.stage.name} needs {other.stage.name} first: {other.folder} is not finished"
            )


def _run(job: Job) -> None:
    """Run a stage's command; tell it to stop where this process is told so.

    Raises:
        UserError: it failed.
    """
    log.info(f"stage {job.stage.name}: jungle {' '.join(job.command)}")
    if code := subprocesses.run(job.command):
        raise UserError(
            f"stage {job.stage.name} failed (exit code {code}): what it said stands above; fix that, and "
            "give the same command again"
        )
