"""The group `optim`: how weights are moved."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from jungle.config.values import Fraction, Section


class Plateau(Section):
    """What a plateau does to the learning rate."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: PositiveInt
    """Epochs in a row without a better value, after which the rate falls."""
    lowest: Annotated[float, Field(ge=0)]


class Optim(Section):
    """How weights are moved."""

    name: Literal[
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
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] | None
    backbone_lr: Annotated[float, Field(gt=0)] | None
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant", "onecycle", "plateau"]
    warmup: Fraction
    plateau: Plateau | None
    ema: Annotated[float, Field(gt=0, lt=1)] | None

    @model_validator(mode="after")
    def _one_search(self) -> "Optim":
        if self.lr == "auto" and self.backbone_lr is not None:
            raise ValueError(
                "lr=auto finds one rate for all: leave optim.backbone_lr out (optim.layer_decay is kept)"
            )
        if self.plateau is not None and self.schedule != "plateau":
            raise ValueError("plateau belongs to optim.schedule=plateau: add that, or leave it out")
        return self
