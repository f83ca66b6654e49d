"""Group `optim`: optimizer, learning rate and its schedule."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from jungle.config.values import Fraction, Section


class Plateau(Section):
    """Settings of `schedule=plateau`: see `jungle.models.plateau.Plateau`."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: PositiveInt
    lowest: Annotated[float, Field(ge=0)]
    first_patience: PositiveInt | None = None
    threshold: Annotated[float, Field(gt=0)] | None = None


Optimizer = Literal[
    "adamw",
    "sgd",
    "adafactor",
    "adamp",
    "adopt",
    "lamb",
    "lars",
    "lion",
    "madgradw",
    "muon",
    "nadamw",
    "radam",
    "rmsproptf",
]


class OptimStage(Section):
    """The optimizer from an epoch on, to the next stage or the end."""

    epoch: PositiveInt
    name: Optimizer
    lr: Annotated[float, Field(gt=0)]


class Optim(Section):
    """Optimizer, learning rate and its schedule."""

    name: Optimizer
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None
    backbone_lr: Annotated[float, Field(gt=0)] | None
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant", "onecycle", "plateau"]
    warmup: Fraction
    plateau: Plateau | None
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    stages: list[OptimStage] | None = None
    """Other optimizers than that of the first epochs, in their order."""
    head_l1: Annotated[float, Field(gt=0)] | None = None
    """The penalty on each weight of the head's last layer."""

    @model_validator(mode="after")
    def _one_search(self) -> "Optim":
        if self.lr == "auto" and self.backbone_lr is not None:
            raise ValueError(
                "lr=auto finds one rate for all: leave optim.backbone_lr out (optim.layer_decay is kept)"
            )
        if self.plateau is not None and self.schedule != "plateau":
            raise ValueError("plateau belongs to optim.schedule=plateau: add that, or leave it out")
        if self.stages and (self.schedule != "constant" or self.warmup):
            raise ValueError(
                "stages have one rate each: add optim.schedule=constant optim.warmup=0, or leave them out"
            )
        epochs = [stage.epoch for stage in self.stages or ()]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"stages begin at the epochs {epochs}: each begins after the one before it")
        if self.stages and (self.lr == "auto" or self.backbone_lr is not None):
            raise ValueError(
                "stages have one rate each, for the backbone as for the head: give optim.lr a number or null "
                "and leave optim.backbone_lr out"
            )
        return self
