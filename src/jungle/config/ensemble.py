"""Configs of the verbs for several trained models."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from jungle import links
from jungle.config.groups import Paths
from jungle.config.values import Section, make_list

Member = Annotated[str, AfterValidator(lambda path: str(links.follow_latest(Path(path))))]
THRESHOLD = 0.9
"""Of `ensemble_pseudo`, unless told."""

Members = Annotated[list[Member], BeforeValidator(make_list), Field(min_length=1)]


class EnsembleStackConfig(Section):
    """The whole of `configs/ensemble_stack.yaml`."""

    paths: Paths
    members: Members
    out: Path | None
    template: Path | None
    stacker: Literal[
        "auto",
        "mean",
        "weighted",
        "greedy",
        "loglinear",
        "logistic",
        "lightgbm",
        "nn",
        "lightgbm_nn",
        "primatrix_first",
    ]
    calibration: Literal["auto", "none", "temperature", "platt", "isotonic", "clip"]
    neighbours: bool
    frame_statistics: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    overwrite: bool
    report: bool
    report_paths: bool = False


class EnsembleReportConfig(Section):
    """The whole of `configs/ensemble_report.yaml`."""

    paths: Paths
    members: Members
    out: Path
    report_paths: bool = False


class EnsembleCheckConfig(Section):
    """The whole of `configs/ensemble_check.yaml`."""

    paths: Paths
    members: Members
    index: Path | None
    out: Path | None


class EnsemblePseudoConfig(Section):
    """The whole of `configs/ensemble_pseudo.yaml`."""

    paths: Paths
    members: Members
    out: Path
    split: Literal["test", "unlabelled"]
    clips: Path | None
    threshold: Annotated[float, Field(ge=0, le=1)]
    agree: PositiveInt | None
    deviation: Annotated[float, Field(gt=0)] | None = None
    """Another rule than threshold and agree: the most that the members may differ by."""
    worst: NonNegativeInt
    overwrite: bool

    @model_validator(mode="after")
    def _one_rule(self) -> "EnsemblePseudoConfig":
        if self.deviation is not None and (self.agree is not None or self.threshold != THRESHOLD):
            raise ValueError("deviation is a rule of its own: leave threshold and agree out, or deviation")
        return self
