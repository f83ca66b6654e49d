"""Recipes: `python train.py experiment=primatrix/best` runs an experiment of several stages.

Each stage is a command of this program that runs as a separate process, in a folder named by its settings. A
finished stage does not run again, so the same command resumes an interrupted recipe, and a result is never
used for another scale, data set or setting.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jungle import runs
from jungle.config.options import parse_options
from jungle.config.recipe import PLACE, Recipe
from jungle.config.words import check_blanks, quote
from jungle.console import log, print_result
from jungle.data.validation_report import Problems
from jungle.errors import UsageError, UserError, suggest
from jungle.files import read_json, write_json
from jungle.pipelines import subprocesses
from jungle.pipelines.foresight import foresee
from jungle.pipelines.plan import print_plan
from jungle.pipelines.preparation import Preparations, select_frozen
from jungle.pipelines.recipe_files import WORDS, name_recipe, read_recipe
from jungle.pipelines.stages import ComposedRecipe, Job, compose_recipe, find_template
from jungle.training.run_inputs import Comparisons

ANSWERS = ("submission.csv", "report.html", "metrics.json")
"""Files of the last stage that the program names at the end."""


@dataclass(frozen=True, slots=True)
class RecipeCommand:
    """Command line of a recipe: settings of the recipe, and settings of its training runs."""

    settings: Sequence[str] = ()
    scale: str = "full"
    fidelity: str = "improved"
    plan: str = "false"
    stage: str = ""
    template: str = ""

    @property
    def is_tiny(self) -> bool:
        """Whether the stages are scaled down."""
        return self.scale == "tiny"


def main(argv: list[str], file: Path, configs: Path) -> int:
    """Print the plan of a recipe, then run unfinished stages.

    Raises:
        UsageError: a setting of the command or of a stage is not valid; nothing has run.
        UserError: something is missing, which the plan reports too, or a stage failed.
    """
    if "LOCAL_RANK" in os.environ:
        raise UsageError("a recipe starts its own processes: give trainer.devices=N instead of torchrun")
    recipe, name, command = read_recipe(file), name_recipe(file, configs), parse_command(argv)
    notes: list[str] = []
    if command.is_tiny and recipe.left_out:
        notes.append(f"scale=tiny leaves out {', '.join(recipe.left_out)}")
        recipe = recipe.small()
    composed = _compose(recipe, name, command, configs)
    jobs, folder, _ = composed
    before = Preparations(folder, [j.config for j in jobs if j.config is not None])
    steps = [*before.steps, *(stage.name for stage in recipe.stages)]
    if command.stage and command.stage not in steps:
        raise UsageError(f"stage={command.stage}: no such stage.{suggest(command.stage, steps)}")
    chosen = [j for j in jobs if command.stage in ("", j.stage.name)]
    if command.plan == "true":
        _set_changed_aside(jobs, dry_run=True)
    stops = foresee(chosen or jobs, folder)
    if command.plan == "true":
        notes += [f"would stop it: {stop}" for stop in stops]
    else:
        _raise_stops(stops, name)
    seconds = read_json(folder / "seconds.json")
    print_plan(recipe, name, before=before, jobs=jobs, seconds=seconds, scale=command.scale, notes=notes)
    if command.plan == "true":
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with runs.hold(folder):
        _set_changed_aside(jobs)
        waiting = [j.config for j in chosen if j.config is not None and not j.finished]
        if not chosen or len(select_frozen(waiting)) > 1:
            _prepare(argv)
        for job in chosen:
            _run_stage(job, composed, command, seconds)
    for answer in ANSWERS:
        if chosen and (chosen[-1].folder / answer).is_file():
            print_result(f"{Path(answer).stem}: {chosen[-1].folder / answer}")
    return 0


def _raise_stops(stops: Sequence[UserError], name: str) -> None:
    """Raise the errors that would stop a recipe as one error.

    Raises:
        UsageError: a setting is not valid.
        UserError: something is missing.
    """
    problems = Problems()
    for stop in stops:
        problems.say(str(stop))
    try:
        problems.raise_if_any(f"experiment={name}")
    except UserError as e:
        raise (UsageError(str(e)) if any(isinstance(s, UsageError) for s in stops) else e) from None


def _run_stage(
    job: Job, composed: ComposedRecipe, command: RecipeCommand, seconds: dict[str, list[float]]
) -> None:
    """Run the command of an unfinished stage, and note its duration.

    Raises:
        UsageError: a member of the stage is not finished.
        UserError: it failed.
    """
    jobs = composed.jobs
    _check_members(job, jobs)
    if job.finished and job.stage.verb == "train":
        return
    was_finished, began = job.finished, time.monotonic()
    template = find_template(command.template, composed.first) if job.stage.verb == "ensemble_stack" else None
    _run(job if template is None else replace(job, args=(*job.args, f"template={quote(template)}")))
    if was_finished:
        return
    if any(later.finished for later in jobs[jobs.index(job) + 1 :]):
        _set_changed_aside(jobs)  # later stages may be based on its earlier predictions
    seconds.setdefault(f"{command.scale}/{job.stage.name}", []).append(time.monotonic() - began)
    write_json(composed.folder / "seconds.json", seconds)


def _set_changed_aside(jobs: Sequence[Job], dry_run: bool = False) -> None:
    """Rename folders of stages whose labels, clips or files have changed, so that these stages run again.

    Later stages depend on earlier ones, so all stages from the first changed one on are renamed.

    Args:
        jobs: of all stages, in order.
        dry_run: only log what would be done.
    """
    comparisons = Comparisons()
    trained = [job for job in jobs if job.stage.verb == "train"]
    changed = next(((job, c) for job in trained if (c := comparisons.changes_in(job.folder))), None)
    if changed is None:
        return
    first, changes = changed
    found = f"stage {first.stage.name}: its inputs changed: {'; '.join(changes)}; it and later stages"
    if dry_run:
        log.warning(f"{found} would run again")
        return
    mark = f".before-{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    later = jobs[next(n for n, job in enumerate(jobs) if job.stage is first.stage) :]
    tops = {job.folder.parent if job.stage.verb == "train" else job.folder for job in later}
    for folder in sorted(f for f in tops if f.is_dir()):
        folder.rename(folder.with_name(folder.name + mark))
    log.warning(f"{found} run again; their earlier results are kept as <folder>{mark}")


def _compose(recipe: Recipe, name: str, command: RecipeCommand, configs: Path) -> ComposedRecipe:
    """Compose the stages for a command line, as `compose_recipe` does.

    Raises:
        UsageError: a setting is not valid, or the recipe has no original.
    """
    original = command.fidelity == "original"
    if original and not recipe.has_original:
        raise UsageError(f"fidelity=original: experiment={name} has no original settings; leave it out")
    return compose_recipe(
        recipe, name, command.settings, tiny=command.is_tiny, configs=configs, original=original
    )


def find_preparations(argv: list[str], file: Path, configs: Path) -> tuple[Preparations, tuple[str, ...]]:
    """Return the preparations of a recipe, and the steps that a command selects.

    Raises:
        UsageError: a setting is not valid, or there is nothing to prepare.
    """
    command, name = parse_command(argv), name_recipe(file, configs)
    jobs, folder, _ = _compose(read_recipe(file), name, command, configs)
    found = Preparations(folder, [j.config for j in jobs if j.config is not None])
    steps = found.steps or ("features",)
    if not found.frozen:
        raise UsageError(f"experiment={name}: it has no frozen backbone, so there are no features to store")
    if command.plan == "true":
        raise UsageError("plan=true: use jungle train, which shows the plan, features included")
    if command.stage not in ("", *steps):
        raise UsageError(f"stage={command.stage}: jungle extract has only these stages: {', '.join(steps)}")
    return found, (command.stage,) if command.stage else steps


def _prepare(argv: list[str]) -> None:
    """Index each clip's file, and decode each clip once for all backbones.

    Raises:
        UserError: it failed.
    """
    if code := subprocesses.run(["extract", *argv]):
        raise UserError(f"preparing the clips failed (exit code {code}); the reason is shown above")


def parse_command(argv: list[str]) -> RecipeCommand:
    """Separate the settings of the recipe from those of its training runs.

    Raises:
        UsageError: an argument is not a setting, or is not valid here.
    """
    check_blanks(argv)
    words: dict[str, str] = {}
    settings: list[str] = []
    for arg in argv:
        key, equals, value = arg.partition("=")
        key = key.lstrip("+")
        if not equals or arg.startswith(("-", "~")):
            parse_options("train", argv)  # suggests the intended option
            raise UsageError(
                f"{arg}: a recipe takes only settings (key=value); plan=true shows what it would run"
            )
        if key in WORDS:
            choices = WORDS[key]
            if choices and value not in choices:
                raise UsageError(f"{arg}: {key} is {' or '.join(choices)}")
            words[key] = value
        elif key.startswith("hydra"):
            raise UsageError(f"{arg}: a recipe chooses its folders itself, in paths.runs")
        elif key in ("data.folds", "data.fold"):
            raise UsageError(f"{arg}: a recipe chooses its folds itself; leave it out")
        elif key != "experiment":
            settings.append(arg)
    return RecipeCommand(settings, **words)


def _check_members(job: Job, jobs: Sequence[Job]) -> None:
    """Check that the members of a single stage are finished.

    Raises:
        UsageError: one is not; the message names it and its folder.
    """
    wanted = {*job.stage.members, *(n for a in job.stage.args for n in PLACE.findall(a))}
    for other in jobs:
        if other.stage.name in wanted and not other.finished:
            raise UsageError(
                f"stage={job.stage.name} needs {other.stage.name} first: {other.folder} is not finished"
            )


def _run(job: Job) -> None:
    """Run a stage's command; stop it if this process is stopped.

    Raises:
        UserError: it failed.
    """
    log.info(f"stage {job.stage.name}: jungle {' '.join(job.command)}")
    if code := subprocesses.run(job.command):
        raise UserError(
            f"stage {job.stage.name} failed (exit code {code}); the reason is shown above: fix it, and run "
            "the same command again"
        )
