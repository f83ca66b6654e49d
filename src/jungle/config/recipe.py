"""Settings of a recipe: an experiment of several stages, each a command of this program."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jungle.config.values import Section

STEPS = ("metadata", "features")
"""What is made before the first stage; `stage=` names them too."""
PLACE = re.compile(r"\{(\w+)\}")
"""`{name}` in an argument: the folder of the stage of that name."""


class Stage(Section):
    """One command, or one per fold."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    verb: Literal["train", "ensemble_stack", "ensemble_pseudo"]
    args: list[str] = Field([])
    members: list[str] = Field([])
    """Train stages whose runs an ensemble joins."""
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    original: list[str] = Field([])
    """What is different with fidelity=original."""
    tiny: list[str] = Field([])
    """What is different with scale=tiny."""
    full_only: bool = False
    """Left out with scale=tiny."""


class Recipe(Section):
    """The whole of `configs/experiment/<folder>/<name>.yaml`."""

    about: str
    args: list[str] = Field([])
    """Of every train stage."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    original: list[str] = Field([])
    """Of every train stage with fidelity=original."""
    tiny: list[str] = Field([])
    """Of every train stage with scale=tiny."""
    tiny_folds: Annotated[int, Field(ge=1, le=100)] = 2
    """Folds with scale=tiny; 1 = a run without folds."""

    @property
    def has_original(self) -> bool:
        """Whether the recipe supports `fidelity=original`."""
        return bool(self.original) or any(stage.original for stage in self.stages)

    @model_validator(mode="after")
    def _in_order(self) -> "Recipe":
        known: dict[str, str] = {}
        for stage in self.stages:
            if stage.name in STEPS:
                raise ValueError(f"a stage may not be named {stage.name}: that is made before all stages")
            if stage.name in known:
                raise ValueError(f"two stages are named {stage.name}")
            wanted = {*stage.members, *(n for a in stage.args for n in PLACE.findall(a))}
            if lost := sorted(wanted - known.keys()):
                raise ValueError(f"stage {stage.name} needs {lost[0]}, which is no stage before it")
            placed = {n for a in stage.args for n in PLACE.findall(a)}
            if not stage.full_only and (lost := sorted(placed & set(self.left_out))):
                raise ValueError(f"stage {stage.name} needs {lost[0]}, which scale=tiny leaves out")
            if wrong := [m for m in stage.members if known[m] != "train"]:
                raise ValueError(f"stage {stage.name}: {wrong[0]} trains no model, so it is no member")
            if (stage.verb == "train") == bool(stage.members):
                raise ValueError(f"stage {stage.name}: an ensemble has members, a training run has none")
            if stage.folds is not None and stage.verb != "train":
                raise ValueError(f"stage {stage.name}: only training has folds")
            known[stage.name] = stage.verb
        for stage in self.small().stages:
            if not stage.members and stage.verb != "train":
                raise ValueError(f"stage {stage.name}: scale=tiny leaves out all of its members")
        if all(stage.full_only for stage in self.stages):
            raise ValueError("scale=tiny would leave out every stage")
        return self

    @property
    def left_out(self) -> list[str]:
        """The stages that scale=tiny leaves out."""
        return [stage.name for stage in self.stages if stage.full_only]

    def small(self) -> "Recipe":
        """Return the recipe without those stages; ensembles have the members that are left."""
        gone = self.left_out
        if not gone:
            return self
        kept = [
            stage.model_copy(update={"members": [m for m in stage.members if m not in gone]})
            for stage in self.stages
            if stage.name not in gone
        ]
        return self.model_copy(update={"stages": kept})
