"""Stages of a recipe: their commands and folders."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from jungle import runs
from jungle.config import TrainConfig
from jungle.config.compose import compose
from jungle.config.recipe import PLACE, Recipe, Stage
from jungle.config.words import quote
from jungle.data.formats import primatrix
from jungle.training.loggers.run_names import prefer_variable

DONE = {"ensemble_stack": "stack.json", "ensemble_pseudo": "pseudo.parquet"}
SAMPLE = ("data=sample", "data.sample_clips=40")
"""Data of scale=tiny if none are given."""


@dataclass(frozen=True)
class Job:
    """One command of a stage."""

    stage: Stage
    folder: Path
    args: tuple[str, ...] = ()
    config: TrainConfig | None = None
    """The checked config of a training run."""

    @property
    def finished(self) -> bool:
        """Whether its outputs exist; its folder is named by the settings that determine them."""
        if self.stage.verb == "train":
            return runs.state(self.folder).get("state") == "finished"
        return (self.folder / DONE[self.stage.verb]).is_file()

    @property
    def command(self) -> list[str]:
        """Arguments of `jungle` that run it."""
        where = "hydra.run.dir" if self.stage.verb == "train" else "out"
        words = self.stage.verb.split("_")
        return [*words, *self.args, f"{where}={quote(self.folder)}"]


class ComposedRecipe(NamedTuple):
    """Commands of a recipe, its folder, and the config of its first training run."""

    jobs: list[Job]
    folder: Path
    first: TrainConfig


def compose_recipe(
    recipe: Recipe, name: str, given: Sequence[str], *, tiny: bool, configs: Path, original: bool = False
) -> ComposedRecipe:
    """Compose and check the command of every stage.

    Args:
        recipe: the recipe.
        name: its name, as the user types it.
        given: settings of the command line, for its training runs.
        tiny: scale the stages down, and use the rendered sample if no data are given.
        configs: the folder of configs.
        original: use the recipe's original settings.

    Raises:
        UsageError: a setting is not valid.
    """
    jobs: list[Job] = []
    folders: dict[str, Path] = {}
    root, first = Path(), None
    own = any(a.split("=", 1)[0] in ("data", "data.root", "data.labels") for a in given)
    sample = () if own else SAMPLE
    for stage in (recipe.small() if tiny else recipe).stages:
        args = [PLACE.sub(lambda found: str(folders[found[1]]), a) for a in stage.args]
        letter = [*recipe.original, *stage.original] if original else []
        small = [*sample, *recipe.tiny, *stage.tiny] if tiny else []
        if stage.verb == "train":
            args = _merge(recipe.args, args, letter, small, given)
            folds = min(stage.folds, recipe.tiny_folds) if stage.folds and tiny else stage.folds
            folds = None if folds == 1 else folds
            cfg = compose("train", [*args, *_fold(folds, 0)], configs)
            first = first or cfg
            root = cfg.paths.runs / "recipes" / name.replace("/", "_")
            folder = root / "members" / f"{stage.name}-{cfg.fingerprint()[:8]}"
            for k in range(folds) if folds else (None,):
                where = folder / ("run" if k is None else f"fold{k}")
                jobs.append(Job(stage, where, (*args, *_fold(folds, k)), cfg))
        else:
            members = [str(folders[m]) for m in stage.members]
            own = [a for a in given if a.startswith("paths.")]
            args = [
                f"members=[{','.join(quote(m) for m in members)}]",
                *_merge(args, stage.original if original else [], stage.tiny if tiny else [], own),
            ]
            key = hashlib.blake2b(json.dumps(args).encode(), digest_size=4).hexdigest()
            folder = root / f"{stage.name}-{key}"
            compose(stage.verb, [*args, f"out={quote(folder)}"], configs)
            jobs.append(Job(stage, folder, tuple(args)))
        folders[stage.name] = folder
    assert first is not None
    return ComposedRecipe(_group(jobs, name), root, first)


def _group(jobs: list[Job], name: str) -> list[Job]:
    """Set W&B's group for a recipe's training runs, and the stage as job type, unless settings do."""
    trained = [job for job in jobs if job.config is not None and job.config.logger.name == "wandb"]
    made_of = json.dumps([job.folder.parent.name for job in trained])
    group = f"{name} {hashlib.blake2b(made_of.encode(), digest_size=4).hexdigest()}"

    def add_words(job: Job) -> Job:
        words: list[str] = []
        if job.config is None or job.config.logger.name != "wandb":
            return job
        if job.config.logger.group is None and (shared := prefer_variable("WANDB_RUN_GROUP", group)):
            words.append(f"logger.group={quote(shared)}")
        if job.config.logger.job_type is None and (kind := prefer_variable("WANDB_JOB_TYPE", job.stage.name)):
            words.append(f"logger.job_type={quote(kind)}")
        return replace(job, args=(*job.args, *words))

    return [add_words(job) for job in jobs]


def _merge(*groups: Sequence[str]) -> list[str]:
    """Return settings without repetitions; the last one counts, because Hydra rejects a repeated group."""
    found: dict[str, str] = {}
    for arg in (a for group in groups for a in group):
        found.pop(arg.split("=", 1)[0], None)
        found[arg.split("=", 1)[0]] = arg
    return list(found.values())


def _fold(folds: int | None, k: int | None) -> list[str]:
    return [f"data.folds={folds}", f"data.fold={k}"] if folds else []


def find_template(given: str, cfg: TrainConfig) -> Path | None:
    """Return the submission format: the given one, that of the data, or the one next to the data."""
    if template := given or cfg.data.template:
        return Path(template)
    if cfg.data.format not in ("sample", "primatrix", "primatrix_micro"):
        return None
    return primatrix.find_template(cfg.data.roots[0], next(iter(cfg.data.tables), None))
