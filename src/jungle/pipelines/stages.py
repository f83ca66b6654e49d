"""The commands that the stages of a recipe are, and the folders of what they make."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jungle import runs
from jungle.config.recipe import PLACE, Recipe, Stage
from jungle.training.loggers.run_names import prefer_variable

DONE = {"ensemble_stack": "stack.json", "ensemble_pseudo": "pseudo.parquet"}
SAMPLE = ("data=sample", "data.sample_clips=40")
"""What a small scale runs on where no data are given."""


@dataclass
class Job:
    """One command of a stage."""

    stage: Stage
    folder: Path
    args: list[str] = field(default_factory=list)
    config: Any = None
    """The checked config of a training run."""

    @property
    def finished(self) -> bool:
        """Whether its outputs stand; its folder is named by what shaped them."""
        if self.stage.verb == "train":
            return runs.state(self.folder).get("state") == "finished"
        return (self.folder / DONE[self.stage.verb]).is_file()

    @property
    def command(self) -> list[str]:
        """The words that run it."""
        from jungle.config.words import quoted  # not above: --help needs no Hydra

        where = "hydra.run.dir" if self.stage.verb == "train" else "out"
        words = self.stage.verb.split("_")
        return [*words, *self.args, f"{where}={quoted(self.folder)}"]


def jobs_of(
    recipe: Recipe, name: str, given: list[str], tiny: bool, configs: Path, original: bool = False
) -> tuple[list[Job], Path, Any]:
    """Compose and check the command of every stage.

    Args:
        recipe: what it is made of.
        name: of the recipe, as it is typed.
        given: settings of the command line, for its training runs.
        tiny: whether it is scaled down, and without data of one's own runs on the rendered sample.
        configs: the folder of configs.
        original: whether it is the old solution's to the letter, where its recipe says how.

    Returns:
        The commands, the recipe's folder, and the config of its first training run.

    Raises:
        UsageError: a setting is not valid.
    """
    from jungle.config.compose import composed
    from jungle.config.words import quoted

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
            args = _last(recipe.args, args, letter, small, given)
            folds = min(stage.folds, recipe.tiny_folds) if stage.folds and tiny else stage.folds
            folds = None if folds == 1 else folds
            cfg = composed("train", [*args, *_fold(folds, 0)], configs)
            first = first or cfg
            root = cfg.paths.runs / "recipes" / name.replace("/", "_")
            folder = root / "members" / f"{stage.name}-{cfg.fingerprint()[:8]}"
            for k in range(folds) if folds else (None,):
                where = folder / ("run" if k is None else f"fold{k}")
                jobs.append(Job(stage, where, [*args, *_fold(folds, k)], cfg))
        else:
            members = [str(folders[m]) for m in stage.members]
            own = [a for a in given if a.startswith("paths.")]
            args = [
                f"members=[{','.join(quoted(m) for m in members)}]",
                *_last(args, stage.original if original else [], stage.tiny if tiny else [], own),
            ]
            key = hashlib.blake2b(json.dumps(args).encode(), digest_size=4).hexdigest()
            folder = root / f"{stage.name}-{key}"
            composed(stage.verb, [*args, f"out={quoted(folder)}"], configs)
            jobs.append(Job(stage, folder, args))
        folders[stage.name] = folder
    assert first is not None
    _group(jobs, name)
    return jobs, root, first


def _group(jobs: list[Job], name: str) -> None:
    """Have W&B show a recipe's training runs together, each as what its stage is, unless told otherwise."""
    from jungle.config.words import quoted

    trained = [job for job in jobs if job.stage.verb == "train" and job.config.logger.name == "wandb"]
    made_of = json.dumps([job.folder.parent.name for job in trained])
    group = f"{name} {hashlib.blake2b(made_of.encode(), digest_size=4).hexdigest()}"
    for job in trained:
        if job.config.logger.group is None and (shared := prefer_variable("WANDB_RUN_GROUP", group)):
            job.args.append(f"logger.group={quoted(shared)}")
        if job.config.logger.job_type is None and (kind := prefer_variable("WANDB_JOB_TYPE", job.stage.name)):
            job.args.append(f"logger.job_type={quoted(kind)}")


def _last(*groups: list[str]) -> list[str]:
    """Return settings of which the later ones count: Hydra takes no group twice."""
    found: dict[str, str] = {}
    for arg in (a for group in groups for a in group):
        found.pop(arg.split("=", 1)[0], None)
        found[arg.split("=", 1)[0]] = arg
    return list(found.values())


def _fold(folds: int | None, k: int | None) -> list[str]:
    return [f"data.folds={folds}", f"data.fold={k}"] if folds else []


def template_of(given: str, cfg: Any) -> Path | None:
    """Return the submission format: the one given, the data's own, or the one that lies beside it."""
    if given or cfg.data.template:
        return Path(given or cfg.data.template)
    if cfg.data.format not in ("sample", "primatrix", "primatrix_micro"):
        return None
    from jungle.data.formats.primatrix import find_template

    return find_template(cfg.data.root, cfg.data.labels)
