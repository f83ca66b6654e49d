"""Recipes: `python train.py experiment=primatrix/best` runs an experiment of several stages.

Each stage is a command of this program, run as a process of its own in a folder named by its settings; what
is finished there is not run again, so the same command goes on after a stop, and another scale, data set or
setting never takes an old result for its own.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jungle import runs
from jungle.config import check
from jungle.config.recipe import PLACE, Recipe, Stage
from jungle.console import log, result
from jungle.errors import Stopped, UsageError, UserError, nearest
from jungle.files import write_json

WORDS = {"scale": ("full", "tiny"), "plan": ("false", "true"), "stage": None, "template": None}
"""What a recipe takes besides the settings of its training runs, and which values where they are few."""
GRACE_S = 120  # for a stage that was told to stop: it has a step to finish and a checkpoint to write


@dataclass
class Job:
    """One command of a stage."""

    stage: Stage
    folder: Path
    args: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether its outputs stand; its folder is named by what shaped them."""
        if self.stage.verb == "train":
            return runs.state(self.folder).get("state") == "finished"
        return (self.folder / DONE[self.stage.verb]).is_file()

    @property
    def command(self) -> list[str]:
        """The words that run it."""
        where = "hydra.run.dir" if self.stage.verb == "train" else "out"
        words = self.stage.verb.split("_")
        return [*words, *self.args, f"{where}={self.folder}"]


DONE = {"ensemble_stack": "stack.json", "ensemble_pseudo": "pseudo.parquet"}


def find(argv: list[str], configs: Path) -> Path | None:
    """Return the file of the recipe that a training command names; None where it names none.

    Raises:
        UsageError: it names one that there is not.
    """
    name = next((a.split("=", 1)[1] for a in reversed(argv) if a.startswith("experiment=")), "")
    if "/" not in name:
        return None
    folder = configs / "experiment"
    known = {str(f.relative_to(folder).with_suffix("")): f for f in sorted(folder.glob("*/*.yaml"))}
    if name not in known:
        raise UsageError(f"experiment={name}: no such recipe.{nearest(name, known)}")
    return known[name]


def read(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: it is none.
    """
    import yaml

    return check(Recipe, yaml.safe_load(file.read_text(encoding="utf-8")))


def main(argv: list[str], file: Path, configs: Path) -> int:
    """Print the plan of a recipe, then run what is not finished.

    Raises:
        UsageError: a word of the command, or of a stage, is not valid; nothing has been run.
        UserError: a stage failed.
    """
    if "LOCAL_RANK" in os.environ:
        raise UsageError("a recipe starts its own processes: give trainer.devices=N instead of torchrun")
    name = str(file.relative_to(configs / "experiment").with_suffix(""))
    words, given = _split(argv)
    recipe = read(file)
    tiny = words["scale"] == "tiny"
    jobs, root, template = _jobs(recipe, name, words, given, tiny, configs)
    seconds = _seconds(root)
    chosen = [j for j in jobs if words["stage"] in ("", j.stage.name)]
    if not chosen:
        raise UsageError(
            f"stage={words['stage']}: no such stage.{nearest(words['stage'], {j.stage.name for j in jobs})}"
        )
    _show(recipe, name, jobs, seconds, str(words["scale"]))
    if words["plan"] == "true":
        return 0
    root.mkdir(parents=True, exist_ok=True)
    with runs.hold(root):
        for job in chosen:
            _check_inputs(job, jobs)
            if job.stage.verb == "ensemble_stack" and (found := template()) is not None:
                job.args.append(f"template={found}")
            if job.finished and job.stage.verb == "train":
                continue
            began = time.monotonic()
            _run(job)
            if job.stage.verb == "train":
                seconds.setdefault(f"{words['scale']}/{job.stage.name}", []).append(time.monotonic() - began)
                write_json(root / "seconds.json", seconds)
    last = chosen[-1].folder
    for what in ("submission.csv", "report.html", "metrics.json"):
        if (last / what).is_file():
            result(f"{Path(what).stem}: {last / what}")
    return 0


def _split(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part the recipe's own words from the settings that go to its training runs."""
    words, given = {"scale": "full", "plan": "false", "stage": "", "template": ""}, []
    for arg in argv:
        key, equals, value = arg.partition("=")
        if not equals or arg.startswith("-"):
            raise UsageError(
                f"{arg}: a recipe takes settings alone (key=value); plan=true shows what it would run"
            )
        if key in WORDS:
            choices = WORDS[key]
            if choices and value not in choices:
                raise UsageError(f"{arg}: {key} is {' or '.join(choices)}")
            words[key] = value
        elif key.startswith("hydra."):
            raise UsageError(f"{arg}: a recipe chooses its folders itself, below paths.runs")
        elif key in ("data.folds", "data.fold"):
            raise UsageError(f"{arg}: a recipe deals out its folds itself")
        elif key != "experiment":
            given.append(arg)
    return words, given


def _jobs(
    recipe: Recipe, name: str, words: dict[str, str], given: list[str], tiny: bool, configs: Path
) -> tuple[list[Job], Path, Any]:
    """Compose and check the command of every stage; return them, the recipe's folder, and its template."""
    from jungle import overrides

    jobs: list[Job] = []
    folders: dict[str, Path] = {}
    root, first = Path(), None
    for stage in recipe.stages:
        args = [PLACE.sub(lambda found: str(folders[found[1]]), a) for a in stage.args]
        small = [*recipe.tiny, *stage.tiny] if tiny else []
        if stage.verb == "train":
            args = _last(recipe.args, args, small, given)
            folds = min(stage.folds, recipe.tiny_folds) if stage.folds and tiny else stage.folds
            folds = None if folds == 1 else folds
            cfg = overrides.composed("train", [*args, *_fold(folds, 0)], configs)
            first = first or cfg
            root = cfg.paths.runs / "recipes" / name.replace("/", "_")
            folder = root / "members" / f"{stage.name}-{cfg.fingerprint()[:8]}"
            for k in range(folds) if folds else (None,):
                jobs.append(
                    Job(stage, folder / ("run" if k is None else f"fold{k}"), [*args, *_fold(folds, k)])
                )
        else:
            members = [str(folders[m]) for m in stage.members]
            own = [a for a in given if a.startswith("paths.")]
            args = [
                f"members=[{','.join(_quoted(m) for m in members)}]",
                *_last(args, stage.tiny if tiny else [], own),
            ]
            key = hashlib.blake2b(json.dumps(args).encode(), digest_size=4).hexdigest()
            folder = root / f"{stage.name}-{key}"
            overrides.composed(stage.verb, [*args, f"out={_quoted(folder)}"], configs)
            jobs.append(Job(stage, folder, args))
        folders[stage.name] = folder
    assert first is not None
    return jobs, root, lambda: _template(words["template"], first)


def _last(*groups: list[str]) -> list[str]:
    """Return settings of which the later ones count: Hydra takes no group twice."""
    found: dict[str, str] = {}
    for arg in (a for group in groups for a in group):
        found.pop(arg.split("=", 1)[0], None)
        found[arg.split("=", 1)[0]] = arg
    return list(found.values())


def _fold(folds: int | None, k: int | None) -> list[str]:
    return [f"data.folds={folds}", f"data.fold={k}"] if folds else []


def _quoted(path: object) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _template(given: str, cfg: Any) -> Path | None:
    """Return the submission format: the one given, the data's own, or the one that lies beside it."""
    if given or cfg.data.template:
        return Path(given or cfg.data.template)
    if cfg.data.format not in ("sample", "primatrix", "primatrix_micro"):
        return None
    from jungle.data.formats.primatrix import TEMPLATE

    root = Path(cfg.data.root)
    places = [root, root.parent, *([Path(cfg.data.labels).parent] if cfg.data.labels else [])]
    return next((p / n for p in places for n in TEMPLATE if (p / n).is_file()), None)


def _check_inputs(job: Job, jobs: list[Job]) -> None:
    """Refuse a stage by itself whose members are not there yet."""
    wanted = {*job.stage.members, *(n for a in job.stage.args for n in PLACE.findall(a))}
    for other in jobs:
        if other.stage.name in wanted and not other.finished:
            raise UsageError(
                f"stage={job.stage.name} needs {other.stage.name} first: {other.folder} is not finished"
            )


def _seconds(root: Path) -> dict[str, list[float]]:
    try:
        found = json.loads((root / "seconds.json").read_text(encoding="utf-8"))
        return {str(k): [float(v) for v in values] for k, values in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _show(recipe: Recipe, name: str, jobs: list[Job], seconds: dict[str, list[float]], scale: str) -> None:
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


def _run(job: Job) -> None:
    """Run a stage's command; tell it to stop where this process is told so.

    Raises:
        UserError: it failed.
    """
    log.info(f"stage {job.stage.name}: jungle {' '.join(job.command)}")
    env = {**os.environ, runs.STARTER: str(os.getpid())}  # a stage ends with what started it
    process = subprocess.Popen([sys.executable, "-m", "jungle", *job.command], env=env)
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    if code in (128 + signal.SIGTERM, 130):
        raise Stopped(signal.SIGTERM if code != 130 else signal.SIGINT)
    if code:
        raise UserError(
            f"stage {job.stage.name} failed (exit code {code}): what it said stands above; mend that, and "
            "give the same command again"
        )
